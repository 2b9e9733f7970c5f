//! Pages of atomic words.
//!
//! # Safety
//!
//! The object cannot shrink, and is only ever reached through atomics, in every process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use memmap2::{MmapMut, MmapOptions};

use crate::os;
use crate::unix::fd::{duplicate, lift};

/// A page of 64-bit words that two processes read and write with atomic operations.
///
/// It survives the death of either.
#[derive(Debug)]
pub struct Words {
    map: MmapMut,
    count: usize,
}

impl Words {
    /// Makes `count` words, all zero, and a descriptor by which another process can map them.
    ///
    /// # Errors
    ///
    /// When the process or the system has no descriptor or no memory left.
    pub fn new(count: usize) -> io::Result<(Self, OwnedFd)> {
        let length = count * size_of::<u64>();
        let fd = lift(os::shared::Object::new()?.fixed(length, length)?)?;
        Ok((Self::map(fd.as_fd(), count)?, fd))
    }

    /// Maps words that another process made.
    ///
    /// # Errors
    ///
    /// `InvalidData` when the object is smaller than that, or could shrink.
    pub fn receive(fd: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        os::shared::verify_fixed(fd, count * size_of::<u64>())?;
        Self::map(fd, count)
    }

    fn map(fd: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        let file = File::from(duplicate(fd)?);
        let length = count * size_of::<u64>();
        // SAFETY: `os::shared` says that the object has `length` bytes and cannot shrink. Others may
        // write to it, so the mapping is only reached through `words`, as atomics.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&file) }?;
        Ok(Self { map, count })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        let first = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY:
        // - the mapping starts at a page and has `count` times 8 bytes, and lives as long as `self`;
        // - every bit pattern is a valid `AtomicU64`, and nothing else refers to this memory in this
        //   process: `map` is private, and `as_ptr` makes no reference to its bytes;
        // - other processes reach it through this function too, so all accesses are atomic.
        unsafe { std::slice::from_raw_parts(first, self.count) }
    }
}
