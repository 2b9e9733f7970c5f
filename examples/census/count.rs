//! What a worker does: it reads files, splits them into words, and looks the words up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::table::Table;

/// What was found, in one task or in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Text files.
    pub(crate) files: u64,
    /// Files that are no text.
    pub(crate) binary: u64,
    /// Files that could not be read.
    pub(crate) unreadable: u64,
    pub(crate) words: u64,
    pub(crate) known: u64,
    /// How often each word occurs that the dictionary does not have. The known ones are only counted,
    /// which keeps the results of tasks small.
    pub(crate) unknown: HashMap<String, u64>,
}

impl Count {
    /// Adds the result of another task. The order of tasks makes no difference.
    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.binary += other.binary;
        self.unreadable += other.unreadable;
        self.words += other.words;
        self.known += other.known;
        for (word, times) in other.unknown {
            *self.unknown.entry(word).or_default() += times;
        }
    }

    fn add_text(&mut self, table: &Table, text: &str) {
        for word in words(text) {
            self.words += 1;
            if table.contains(&word) {
                self.known += 1;
            } else if let Some(times) = self.unknown.get_mut(&*word) {
                *times += 1;
            } else {
                self.unknown.insert(word.into_owned(), 1);
            }
        }
    }
}

/// The task. Its worker's state is the dictionary.
pub(crate) fn count_files(table: &mut Table, paths: Vec<OsString>) -> Count {
    let mut count = Count::default();
    let mut bytes = Vec::new();
    for path in &paths {
        match read_text(path, &mut bytes) {
            Ok(true) => {
                count.files += 1;
                // Bytes that are no UTF-8 end a word, like all that is no letter.
                count.add_text(table, &String::from_utf8_lossy(&bytes));
            }
            Ok(false) => count.binary += 1,
            Err(_) => count.unreadable += 1,
        }
    }
    count
}

/// A file with a zero byte among its first is taken for one that is no text, as git does it.
const HEAD: u64 = 8 << 10;

/// Reads a whole file, or, if it is no text, its beginning.
fn read_text(path: &OsStr, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    let mut file = File::open(path)?;
    file.by_ref().take(HEAD).read_to_end(bytes)?;
    if bytes.contains(&0) {
        return Ok(false);
    }
    file.read_to_end(bytes)?;
    Ok(true)
}

/// Runs of letters of more bytes are encoded data. The longest word of the dictionary has 58.
const LONGEST: usize = 64;

/// The words of a text, in lower case: all that lies between things that are no letters. `don't` is two
/// words, `camelCase` is one, `snake_case` is two.
fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(|letter: char| !letter.is_alphabetic())
        .filter(|word| (1..=LONGEST).contains(&word.len()))
        .map(|word| match word.bytes().all(|byte| byte.is_ascii_lowercase()) {
            true => Cow::Borrowed(word),
            false => Cow::Owned(word.to_lowercase()),
        })
}
