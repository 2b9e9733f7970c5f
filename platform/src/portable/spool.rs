//! Bytes on their way between processes: a file without a name.
//!
//! Shared memory objects know no `write` here, and touching a mapping that has no memory ends the process.
//! The file loses its name at once; nothing is left behind by a SIGKILL, except in the few microseconds
//! between. What was read is given back by punching holes, where the file system can.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::os::leaf;
use crate::unix::fd::lift;
use crate::unix::limits::check_file_size;
use crate::unix::random;

/// Whole blocks only, on macOS (<sys/fcntl.h>).
const BLOCK: u64 = 4096;

/// The bytes. All processes that have it see the same.
#[derive(Debug)]
pub struct Spool(File);

impl Spool {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, or the directory for temporary files takes no more.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("offspring-{:032x}", random::nonce()?));
        // Born with close-on-exec, as all files of std; for nobody but this user.
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self(File::from(lift(file.into())?)))
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
    /// When there is no room.
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

    /// Gives back the room of bytes that nobody will read. They read as zeroes then.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn release(&self, from: u64, to: u64) -> io::Result<()> {
        let (first, last) = (from.next_multiple_of(BLOCK), to / BLOCK * BLOCK);
        if first >= last {
            return Ok(());
        }
        leaf::punch_hole(self.0.as_fd(), first, last - first)
    }
}

impl AsFd for Spool {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
