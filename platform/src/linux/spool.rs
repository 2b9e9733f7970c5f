//! Bytes on their way between processes: a memfd that is written and read, and never mapped.
//!
//! It has no name, so nothing is left behind by a SIGKILL. A lack of memory is an error of the write, where
//! touching a mapping would raise SIGBUS. What was read is given back by punching holes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::unix::checked;
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
    /// When the process or the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the name ends with a zero and is copied.
        let raw = checked(unsafe { libc::memfd_create(c"offspring".as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: the kernel just made this number for us.
        Ok(Self(File::from(lift(unsafe { OwnedFd::from_raw_fd(raw) })?)))
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
    /// When there is no memory.
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

    /// Gives back the memory of bytes that nobody will read. They read as zeroes then.
    ///
    /// # Errors
    ///
    /// What `fallocate(2)` reports.
    pub fn release(&self, from: u64, to: u64) -> io::Result<()> {
        let signed = |place| libc::off_t::try_from(place).map_err(io::Error::other);
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (from, length) = (signed(from)?, signed(to - from)?);
        // SAFETY: the call takes integers.
        checked(unsafe { libc::fallocate(self.0.as_raw_fd(), mode, from, length) })?;
        Ok(())
    }
}

impl AsFd for Spool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
