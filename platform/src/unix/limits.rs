//! Resource limits of a child.

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
