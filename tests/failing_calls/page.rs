//! The page by which the library is told what to do: the same words as in tests/faults/failing_call.c.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use crate::torture::ledger::{Words, map};

/// Names the file to the library.
pub(crate) const PATH: &str = "OFFSPRING_FAILING_CALLS";

#[derive(Clone, Copy)]
enum Word {
    Armed,
    Owner,
    Distance,
    Error,
    Wanted,
    Counted,
    Lasting,
    Failed,
    Name,
    /// Not known to the library: how many calls have failed so far.
    Done = 14,
}

/// How many words the name of a function takes.
const NAME: usize = 6;
const _: () = assert!(Word::Done as usize == Word::Name as usize + NAME);

/// Which call fails, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// 0: in this process; 1: in its children; 2: in theirs.
    pub(crate) distance: u64,
    pub(crate) error: i32,
    /// From 1 on.
    pub(crate) nth: u64,
    /// All later calls of the same function fail too.
    pub(crate) lasting: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct Page(Words);

impl Page {
    pub(crate) fn open(path: &Path) -> Self {
        Self(map(path, Word::Done as usize + 1))
    }

    fn set(self, word: Word, value: u64) {
        self.0[word as usize].store(value, SeqCst);
    }

    fn get(self, word: Word) -> u64 {
        self.0[word as usize].load(SeqCst)
    }

    /// From now on calls are counted, and one fails.
    pub(crate) fn arm(self, fault: Fault) {
        self.set(Word::Owner, std::process::id().into());
        self.set(Word::Distance, fault.distance);
        self.set(Word::Error, u64::from(fault.error.unsigned_abs()));
        self.set(Word::Wanted, fault.nth);
        self.set(Word::Lasting, fault.lasting.into());
        for word in [Word::Counted, Word::Failed] {
            self.set(word, 0);
        }
        self.0[Word::Name as usize..][..NAME].iter().for_each(|word| word.store(0, SeqCst));
        self.resume();
    }

    /// Goes on as before [`Page::disarm`].
    pub(crate) fn resume(self) {
        self.set(Word::Armed, 1);
    }

    pub(crate) fn disarm(self) {
        self.set(Word::Armed, 0);
    }

    /// How many calls were made that could have had the error.
    pub(crate) fn counted(self) -> u64 {
        self.get(Word::Counted)
    }

    /// The function of which a call failed, if one did.
    pub(crate) fn failed(self) -> Option<String> {
        if self.get(Word::Failed) == 0 {
            return None;
        }
        let words = &self.0[Word::Name as usize..][..NAME];
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| word.load(SeqCst).to_ne_bytes()).collect();
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// One more is done.
    pub(crate) fn progress(self) {
        self.0[Word::Done as usize].fetch_add(1, SeqCst);
    }

    pub(crate) fn done(self) -> u64 {
        self.get(Word::Done)
    }
}
