//! Bytes on their way between processes: a file without a name.
//!
//! Shared memory objects know no `write` here, and touching a mapping that has no memory ends the process.
//! The file loses its name at once; nothing is left behind by a SIGKILL, except in the few microseconds
//! between. What was read is given back by punching holes, where the file system can.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::os::leaf;
use crate::unix::random;

/// Whole blocks only, on macOS (<sys/fcntl.h>).
const BLOCK: u64 = 4096;

pub(crate) fn create() -> io::Result<OwnedFd> {
    let path = std::env::temp_dir().join(format!("offspring-{:032x}", random::nonce()?));
    // Born with close-on-exec, as all files of std; for nobody but this user.
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

/// How far bytes reach. Which of them are there is not told: a file system may write late, or compress.
pub(crate) fn holds(file: &Metadata) -> u64 {
    file.len()
}

pub(crate) fn release(fd: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<()> {
    let (first, last) = (from.next_multiple_of(BLOCK), to / BLOCK * BLOCK);
    if first >= last {
        return Ok(());
    }
    leaf::punch_hole(fd, first, last - first)
}
