//! Resource limits of a process: asking for them, setting them, and asking before they end it.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[cfg(not(target_os = "freebsd"))]
const ADDRESS_SPACE: Resource = Resource::RLIMIT_AS;
/// `RLIMIT_AS` is another name of it there.
#[cfg(target_os = "freebsd")]
const ADDRESS_SPACE: Resource = Resource::RLIMIT_VMEM;

/// Limits the address space of this process to `bytes`; allocations beyond it fail.
///
/// Address space, not resident memory: mappings count in full. Nothing happens on macOS: before version 12 it
/// does not enforce such a limit, and since then it refuses one that is below what the process has, and each has hundreds
/// of gigabytes there (xnu, `vm_map_set_size_limit`).
///
/// # Errors
///
/// What `setrlimit(2)` reports.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    let (_, hard) = getrlimit(ADDRESS_SPACE)?;
    setrlimit(ADDRESS_SPACE, as_limit(bytes, hard).min(hard), hard)?;
    Ok(())
}

/// How many descriptors this process may have (`ulimit -n`).
///
/// # Errors
///
/// What `getrlimit(2)` reports.
pub fn descriptors() -> io::Result<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(as_number(soft))
}

/// Lets this process have so many descriptors, or as many as it may allow itself.
///
/// # Errors
///
/// What `setrlimit(2)` reports.
pub fn allow_descriptors(wanted: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = as_limit(wanted, hard).min(hard);
    if wanted != soft {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

/// The limit for the size of a file (`ulimit -f`) holds for what is written to memory without a name on Linux,
/// too, and the kernel sends SIGXFSZ to who goes beyond it, which ends a process. So it is asked for before.
pub(crate) fn check_file_size(end: u64) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    let end = as_limit(end, libc::RLIM_INFINITY);
    if end > limit { Err(io::Error::from_raw_os_error(libc::EFBIG)) } else { Ok(()) }
}

/// Out of the type that the system has for limits, which has a sign on FreeBSD.
fn as_number<T: TryInto<u64>>(limit: T) -> u64 {
    limit.try_into().unwrap_or(u64::MAX)
}

/// In the type that the system has for limits, which has a sign on FreeBSD.
fn as_limit<T: TryFrom<u64>>(bytes: u64, most: T) -> T {
    T::try_from(bytes).unwrap_or(most)
}
