//! Whether a process lives, and since when.
//!
//! `proc_pidinfo` tells when a process began, to the microsecond, so a number that is used again is another
//! process; it does not find zombies (xnu, `proc_find`); and one that is stopped is found.

use std::io;

/// When a process began, in microseconds; `None` if there is no such process, or it has ended.
pub(crate) fn began(pid: u32) -> io::Result<Option<u64>> {
    let pid = libc::c_int::try_from(pid).map_err(io::Error::other)?;
    let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).map_err(io::Error::other)?;
    // SAFETY: the place has as many bytes as it is said to have.
    let written = unsafe {
        libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size)
    };
    if written != size {
        let error = io::Error::last_os_error();
        let gone = error.raw_os_error() == Some(libc::ESRCH);
        return if gone { Ok(None) } else { Err(error) };
    }
    // SAFETY: integers, for which zeroes were valid before the kernel wrote them.
    let info = unsafe { info.assume_init() };
    if info.pbi_status == libc::SZOMB {
        return Ok(None);
    }
    Ok(Some(info.pbi_start_tvsec.wrapping_mul(1_000_000).wrapping_add(info.pbi_start_tvusec)))
}
