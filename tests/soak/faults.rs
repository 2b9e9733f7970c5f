//! One system call that fails for want of memory, in the owner or the supervisor, now and then.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, SharedSlice};

use crate::torture::ledger::{Words, map};

/// Names the page to the library.
pub(crate) const PAGE: &str = "OFFSPRING_SOAK_PAGE";

const OWNER: usize = 0;
const DISTANCE: usize = 1;
const WANTED: usize = 2;
const FAILED: usize = 3;
const WORDS: usize = 4;

/// As in tests/faults/enomem.c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Fork = 1,
    PosixSpawn,
    Mmap,
    Socketpair,
    Pipe,
    MemfdCreate,
    Duplicate,
}

/// When the call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// When the owner asks for the next worker.
    OwnerReplaces,
    /// When the supervisor starts it.
    SupervisorReplaces,
    /// When the owner makes a table.
    Table,
}

use Function::{Duplicate, Fork, MemfdCreate, Mmap, Pipe, PosixSpawn, Socketpair};
use Moment::{OwnerReplaces, SupervisorReplaces, Table};

const ALL: [(Moment, Function); 11] = [
    (OwnerReplaces, Socketpair),
    (SupervisorReplaces, Fork),
    (SupervisorReplaces, PosixSpawn),
    (Table, MemfdCreate),
    (OwnerReplaces, MemfdCreate),
    (SupervisorReplaces, Mmap),
    (OwnerReplaces, Pipe),
    (Table, Mmap),
    (SupervisorReplaces, Duplicate),
    (OwnerReplaces, Mmap),
    (OwnerReplaces, Duplicate),
];

/// Makes the page, which must be there when the library is loaded.
pub(crate) fn make_page(path: &Path) {
    map(path, WORDS);
}

/// Makes calls fail, each kind in its turn.
pub(crate) struct Faults {
    page: Words,
    turns: Vec<(Moment, Function)>,
    turn: usize,
    since: Option<Instant>,
    /// How often each has failed, and how often its call was not made in time.
    pub(crate) failed: Vec<(u64, u64)>,
}

impl Faults {
    pub(crate) fn new(context: Context) -> Self {
        let path = std::env::var_os(PAGE).expect("the case makes a page");
        let page = map(path.as_ref(), WORDS);
        page[OWNER].store(std::process::id().into(), SeqCst);
        let other = if context == Context::Spawn { Fork } else { PosixSpawn };
        let mut turns = ALL.to_vec();
        turns.retain(|(_, function)| *function != other);
        if cfg!(offspring_force_portable) {
            // There memory that is shared is a file.
            turns.retain(|(_, function)| *function != MemfdCreate);
        }
        let failed = vec![(0, 0); turns.len()];
        Self { page, turns, turn: 0, since: None, failed }
    }

    /// Whether a call is to fail that was not made yet.
    pub(crate) fn is_armed(&self) -> bool {
        self.since.is_some()
    }

    /// Lets a call fail. True if workers are to be replaced, so that it is made.
    pub(crate) fn next(&mut self) -> bool {
        assert!(self.since.is_none(), "one after the other");
        let (moment, function) = self.turns[self.turn];
        self.page[DISTANCE].store(u64::from(moment == SupervisorReplaces), SeqCst);
        self.page[WANTED].store(function as u64, SeqCst);
        self.since = Some(Instant::now());
        if moment == Table {
            let made = SharedSlice::from_slice(&[7u8; 10_000]);
            let error = made.err().unwrap_or_else(|| panic!("a table without {function:?}"));
            assert_eq!(error.kind(), ErrorKind::System, "{error:?}");
            let table = SharedSlice::from_slice(&[7u8; 10_000]).expect("there is memory again");
            assert_eq!(table.len(), 10_000);
        }
        moment != Table
    }

    /// Takes note of the failure, or gives up waiting for it.
    pub(crate) fn look(&mut self, limit: Duration) {
        let Some(since) = self.since else { return };
        let failed = self.page[WANTED].load(SeqCst) == 0;
        if failed || since.elapsed() > limit {
            let reached = failed || self.page[WANTED].swap(0, SeqCst) == 0;
            let (times, missed) = &mut self.failed[self.turn];
            *(if reached { times } else { missed }) += 1;
            self.turn = (self.turn + 1) % self.turns.len();
            self.since = None;
        }
    }

    /// What failed how often.
    pub(crate) fn report(&self) -> String {
        let total = self.page[FAILED].load(SeqCst);
        let each =
            self.turns.iter().zip(&self.failed).map(|((moment, function), (times, missed))| {
                format!("{moment:?} {function:?} {times} (not called {missed})")
            });
        format!("{total} calls failed: {}", each.collect::<Vec<_>>().join(", "))
    }
}
