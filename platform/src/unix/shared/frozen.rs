//! Memory that nobody changes, whoever sees to that, and texts in it.
//!
//! # Safety
//!
//! The bytes of a [`Frozen`] are the same as long as it lives, so what was checked about them once holds.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::str::Utf8Error;
use std::sync::Arc;

use super::{Identity, MappedFile, Sealed};

/// Memory that nobody changes.
#[derive(Debug)]
pub enum Frozen {
    /// The kernel sees to that.
    Sealed(Sealed),
    /// Its owner has promised it.
    File(MappedFile),
}

impl Frozen {
    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sealed(memory) => memory.bytes(),
            Self::File(file) => file.bytes(),
        }
    }

    /// Which file it is, if it is one.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        match self {
            Self::Sealed(_) => None,
            Self::File(file) => Some(file.identity()),
        }
    }
}

impl AsFd for Frozen {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Sealed(memory) => memory.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

/// A range of such memory that is UTF-8.
#[derive(Debug, Clone)]
pub struct Utf8 {
    memory: Arc<Frozen>,
    range: Range<usize>,
}

impl Utf8 {
    /// Checks a range, which lies inside of the memory.
    ///
    /// # Errors
    ///
    /// Where it is not UTF-8.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    pub fn new(memory: Arc<Frozen>, range: Range<usize>) -> Result<Self, Utf8Error> {
        std::str::from_utf8(&memory.bytes()[range.clone()])?;
        Ok(Self { memory, range })
    }

    /// A part, which shares the memory.
    ///
    /// # Panics
    ///
    /// When the range is not inside, or begins or ends in the middle of a character.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        // Makes both checks.
        let part = &self.as_str()[range.clone()];
        let start = self.range.start + range.start;
        Self { memory: self.memory.clone(), range: start..start + part.len() }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = &self.memory.bytes()[self.range.clone()];
        // SAFETY: checked in `new`, or a part between characters of what was checked there; and the bytes do
        // not change.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }
}
