//! Whether a process lives, and since when.
//!
//! The kernel knows how long after the boot a process began, and adds the time of the boot when it is asked (sys/kern/kern_proc.c,
//! `fill_kinfo_proc_only`), which moves when somebody sets the clock. So that is taken off again.

use std::io;

use super::process;

/// When a process began, in microseconds; `None` if there is no such process, or it has ended.
pub(crate) fn began(pid: u32) -> io::Result<Option<u64>> {
    let pid = libc::c_int::try_from(pid).map_err(io::Error::other)?;
    loop {
        let boot = process::boot()?;
        let Some(told) = process::one(pid)?.filter(|told| told.ki_stat != libc::SZOMB) else {
            return Ok(None);
        };
        // Nobody has set the clock in between.
        if process::boot()? == boot {
            return Ok(Some(microseconds(told.ki_start).wrapping_sub(boot)));
        }
    }
}

pub(super) fn microseconds(time: libc::timeval) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_usec).unwrap_or(0);
    seconds.wrapping_mul(1_000_000).wrapping_add(rest)
}
