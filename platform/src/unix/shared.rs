//! Memory that several processes map: sealed tables, and pages of atomic words.
//!
//! # Safety
//!
//! A mapping handed out as `&[u8]` must never change and never shrink. `os::shared` makes objects for
//! which the kernel guarantees both, and [`Sealed::receive`] asks the kernel again before it maps
//! what another process sent. Pages of atomic words are only ever reached through atomics.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use memmap2::{Mmap, MmapMut, MmapOptions};

use super::fd::lift;
use crate::os;

/// Read-only memory that no process can change any more.
#[derive(Debug)]
pub struct Sealed {
    fd: OwnedFd,
    /// `None` when there are no bytes, since an empty mapping does not exist.
    map: Option<Mmap>,
    length: usize,
}

impl Sealed {
    fn map(fd: OwnedFd, length: usize) -> io::Result<Self> {
        let map = if length == 0 {
            None
        } else {
            // SAFETY: `os::shared::freeze` or `os::shared::verify` has just made sure that the object
            // has `length` bytes, and that nobody can write to it, shrink it, or undo that.
            Some(unsafe { MmapOptions::new().len(length).map(&fd) }?)
        };
        Ok(Self { fd, map, length })
    }

    /// Takes over memory that another process sealed, after asking the kernel that it really is.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it is not sealed, or has fewer than `length` bytes.
    pub fn receive(fd: OwnedFd, length: usize) -> io::Result<Self> {
        os::shared::verify(fd.as_fd(), length)?;
        Self::map(fd, length)
    }

    /// The bytes. They start at a page, so every alignment up to 4096 holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    /// How many bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Memory that is being filled, by its only owner, and sealed afterwards.
#[derive(Debug)]
pub struct Unsealed {
    object: os::shared::Object,
    length: usize,
}

impl Unsealed {
    /// Makes an empty object of no name, which vanishes with the last process that holds it.
    ///
    /// # Errors
    ///
    /// When the process or the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { object: os::shared::Object::new()?, length: 0 })
    }

    /// Appends all that `file` has left, without bringing it into this process where that is possible.
    ///
    /// # Errors
    ///
    /// As [`Write::write`], and what reading the file reports.
    pub fn append_file(&mut self, file: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals the memory: from here on nobody, this process included, can change or resize it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, because somebody still has a writable mapping.
    pub fn seal(self) -> io::Result<Sealed> {
        let fd = lift(self.object.freeze(self.length)?)?;
        Sealed::map(fd, self.length)
    }
}

impl Write for Unsealed {
    /// Appends bytes. No space left is an error here, at creation, and never a SIGBUS later.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.object.append(bytes, self.length)?;
        self.length += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
        let file = File::from(super::fd::duplicate(fd)?);
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
