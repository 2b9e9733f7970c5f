//! The fuzz targets, and how they read their input: as choices, so that most inputs get past the first check, and as
//! edits of something valid.

pub mod targets;

use std::collections::BTreeSet;

/// What is left of the input.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Zero at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit.max(1)
    }

    /// A number at which something may change, or any.
    pub fn number(&mut self) -> u64 {
        let byte = self.byte();
        match byte {
            0..=63 => u64::from(byte),
            64..=127 => (1u64 << (byte - 64)).wrapping_sub(1),
            128..=191 => 1 << (byte - 128),
            192..=220 => u64::MAX - u64::from(byte - 192),
            _ => {
                let mut bytes = [0; 8];
                bytes.fill_with(|| self.byte());
                u64::from_ne_bytes(bytes)
            }
        }
    }

    /// So many bytes, or as many as are left.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        first
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// Changes something valid, as often as the next byte says.
    pub fn edit(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.byte() % 8 {
            let at = self.below(bytes.len() + 1);
            match self.byte() % 6 {
                0 => bytes.insert(at, self.byte()),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    let length = usize::from(self.byte() % 16);
                    let piece = self.bytes(length).to_vec();
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..end, piece);
                }
                4 => {
                    // What is far too much, for whatever reads a length there.
                    let number = self.number().to_be_bytes();
                    let end = (at + 8).min(bytes.len());
                    bytes[at..end].copy_from_slice(&number[..end - at]);
                }
                _ if at < bytes.len() => bytes[at] = self.byte(),
                _ => bytes.push(self.byte()),
            }
        }
    }
}

/// The open descriptors of this process: what comes in with a message must be gone when the message is.
pub fn descriptors() -> BTreeSet<i32> {
    // SAFETY: no memory is involved; a number that is closed is an error and nothing else.
    let is_open = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } >= 0;
    (0..64).filter(is_open).collect()
}
