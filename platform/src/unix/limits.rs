//! Resource limits of a process: setting them, and asking before they end it.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Limits the address space of this process to `bytes`; allocations beyond it fail.
///
/// Address space, not resident memory: mappings count in full. macOS accepts the limit and does not
/// enforce it.
///
/// # Errors
///
/// What `setrlimit(2)` reports.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS)?;
    setrlimit(Resource::RLIMIT_AS, bytes.min(hard), hard)?;
    Ok(())
}

/// The limit for the size of a file (`ulimit -f`) holds for what is written to memory without a name on Linux,
/// too, and the kernel sends SIGXFSZ to who goes beyond it, which ends a process. So it is asked for before.
pub(crate) fn check_file_size(end: u64) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if end > limit { Err(io::Error::from_raw_os_error(libc::EFBIG)) } else { Ok(()) }
}
