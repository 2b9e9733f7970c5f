//! Whether a process lives, and since when.

use std::io;

use super::process;

/// When a process began, in microseconds; `None` if there is no such process, or it has ended.
pub(crate) fn began(pid: u32) -> io::Result<Option<u64>> {
    let pid = libc::c_int::try_from(pid).map_err(io::Error::other)?;
    let Some(told) = process::one(pid)?.filter(|told| told.ki_stat != libc::SZOMB) else {
        return Ok(None);
    };
    let seconds = u64::try_from(told.ki_start.tv_sec).unwrap_or(0);
    let rest = u64::try_from(told.ki_start.tv_usec).unwrap_or(0);
    Ok(Some(seconds.wrapping_mul(1_000_000).wrapping_add(rest)))
}
