//! Bytes on their way between processes, written and read by calls: where they lie, and how their room is given back, is
//! the system's (`os::spool`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::os::spool;
use crate::unix::fd::lift;
use crate::unix::limits::check_file_size;

/// The bytes. All processes that have it see the same.
#[derive(Debug)]
pub struct Spool(File);

impl Spool {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// When the process or the system has no descriptor left; where it is a file, also when the directory for temporary
    /// files takes no more.
    pub fn new() -> io::Result<Self> {
        Ok(Self(File::from(lift(spool::create()?)?)))
    }

    /// Takes over one that another process made.
    #[must_use]
    pub fn received(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }

    /// Writes all of `parts`, one behind the other, from the place `at` on.
    ///
    /// # Errors
    ///
    /// When there is no room, or no memory.
    pub fn write(&self, at: u64, parts: [&[u8]; 2]) -> io::Result<()> {
        let [first, second] = parts;
        let between = at + first.len() as u64;
        check_file_size(between + second.len() as u64)?;
        self.0.write_all_at(first, at)?;
        self.0.write_all_at(second, between)
    }

    /// Whether the limit for the size of files (`ulimit -f`) lets this process write up to the place `end`.
    #[must_use]
    pub fn may_reach(&self, end: u64) -> bool {
        check_file_size(end).is_ok()
    }

    /// Fills `into` from the place `at` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when so much was never written.
    pub fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, at)
    }

    /// Whether so many bytes can lie in it, as far as the system tells without reading them.
    ///
    /// # Errors
    ///
    /// What `fstat(2)` reports.
    pub fn has(&self, bytes: u64) -> io::Result<bool> {
        Ok(spool::holds(&self.0.metadata()?) >= bytes)
    }

    /// Gives back the room of bytes that nobody will read. They read as zeroes then.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn release(&self, from: u64, to: u64) -> io::Result<()> {
        spool::release(self.0.as_fd(), from, to)
    }
}

impl AsFd for Spool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
