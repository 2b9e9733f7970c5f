//! The dictionary: a sorted table in shared memory, made once and searched by every worker.

use std::iter;

use offspring::SharedSlice;
use serde::{Deserialize, Serialize};

/// English words in lower case, sorted by bytes. `../data/README.md` says where they come from.
const WORDS: &str = include_str!("../data/words.txt");

/// All words, one after the other without anything between, and where each begins.
///
/// Both slices are in shared memory. A clone, or a copy that was sent to a worker, is another view of the
/// same pages: [`Table::contains`] in a worker searches the very bytes that [`Table::build`] wrote in the
/// parent.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    /// Where in `bytes` each word begins, and, as the last, where the last word ends.
    offsets: SharedSlice<u32>,
    bytes: SharedSlice<u8>,
}

impl Table {
    /// Writes the dictionary into shared memory, with as much filling as makes it about `mib` MiB large.
    pub(crate) fn build(mib: u32) -> offspring::Result<Self> {
        debug_assert!(WORDS.lines().is_sorted(), "the list is not sorted by bytes");
        let filling = filling(mib);
        let spellings = || WORDS.lines().flat_map(move |word| spellings(word, filling));
        let ends = spellings().scan(0, |end, spelling| {
            *end += spelling.len() as u32;
            Some(*end)
        });
        Ok(Self {
            offsets: SharedSlice::from_iter(iter::once(0).chain(ends))?,
            bytes: SharedSlice::from_iter(spellings().flat_map(Spelling::bytes))?,
        })
    }

    /// Whether the dictionary has this word, which must be in lower case.
    pub(crate) fn contains(&self, word: &str) -> bool {
        let (offsets, bytes): (&[u32], &[u8]) = (&self.offsets, &self.bytes);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let found = &bytes[offsets[middle] as usize..offsets[middle + 1] as usize];
            match found.cmp(word.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// How many words, with the filling.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// How many bytes of shared memory it takes.
    pub(crate) fn size(&self) -> usize {
        size_of_val(&*self.offsets) + size_of_val(&*self.bytes)
    }

    /// Where it is in this process.
    pub(crate) fn addresses(&self) -> [usize; 2] {
        [self.offsets.as_ptr().addr(), self.bytes.as_ptr().addr()]
    }
}

/// A word of the list, or one that was made from it to fill the table.
#[derive(Clone, Copy)]
struct Spelling {
    word: &'static str,
    /// 0 for the word itself.
    number: u16,
}

/// What a made-up word has after the word that it was made from: a byte that no text has in a word and
/// that sorts before all that have, and a number. So the table stays sorted, and no search finds it.
const MARK: u8 = 1;
const ENDING: usize = 1 + size_of::<u16>();

impl Spelling {
    fn len(self) -> usize {
        self.word.len() + if self.number > 0 { ENDING } else { 0 }
    }

    fn bytes(self) -> impl Iterator<Item = u8> {
        let ending = iter::once(MARK).chain(self.number.to_be_bytes());
        self.word.bytes().chain(ending.take(self.len() - self.word.len()))
    }
}

fn spellings(word: &'static str, filling: u16) -> impl Iterator<Item = Spelling> {
    (0..=filling).map(move |number| Spelling { word, number })
}

/// How many words to make up from each word. They lie among the words and not behind them, so that the
/// searches for real words lead all over the table.
fn filling(mib: u32) -> u16 {
    let wanted = (mib as usize) << 20;
    let plain: usize = WORDS.lines().map(|word| word.len() + size_of::<u32>()).sum();
    let round = plain + WORDS.lines().count() * ENDING;
    wanted.saturating_sub(plain).div_ceil(round).try_into().unwrap_or(u16::MAX)
}
