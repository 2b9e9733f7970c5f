//! Bytes on their way between processes: a memfd that is written and read, and never mapped.
//!
//! It has no name, so nothing is left behind by a SIGKILL. A lack of memory is an error of the write, where
//! touching a mapping would raise SIGBUS. What was read is given back by punching holes.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use crate::unix::checked;

pub(crate) fn create() -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a zero and is copied.
    let raw = checked(unsafe { libc::memfd_create(c"offspring".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the kernel just made this number for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// How many bytes have memory, of this or of swap: a hole has none.
pub(crate) fn holds(file: &Metadata) -> u64 {
    file.blocks().saturating_mul(512)
}

pub(crate) fn release(fd: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<()> {
    let signed = |place| libc::off_t::try_from(place).map_err(io::Error::other);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let (from, length) = (signed(from)?, signed(to - from)?);
    // SAFETY: the call takes integers.
    checked(unsafe { libc::fallocate(fd.as_raw_fd(), mode, from, length) })?;
    Ok(())
}
