//! What the kernel tells about processes: sysctl(3), `KERN_PROC`.

use std::io;

use libc::{c_int, kinfo_proc};

use super::life::microseconds;
use crate::unix::checked;
use crate::unix::wait::Pid;

/// One process, also one that has ended and was not collected. `None` if there is none with this number.
pub(super) fn one(pid: Pid) -> io::Result<Option<kinfo_proc>> {
    match ask(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, pid]) {
        Ok(bytes) => Ok(processes(&bytes).next()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// When the system was booted by its clock, in microseconds, which changes when the clock is set.
pub(super) fn boot() -> io::Result<u64> {
    let bytes = ask(&[libc::CTL_KERN, libc::KERN_BOOTTIME])?;
    if bytes.len() < size_of::<libc::timeval>() {
        return Err(io::Error::other("the system does not tell when it was booted"));
    }
    // SAFETY: as many bytes as the structure has; it consists of integers, so any are valid.
    Ok(microseconds(unsafe { bytes.as_ptr().cast::<libc::timeval>().read_unaligned() }))
}

/// The processes that this user may know of.
pub(super) fn all() -> Vec<kinfo_proc> {
    let bytes = ask(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PROC]).unwrap_or_default();
    processes(&bytes).collect()
}

/// What a process was started with: its environment, each variable ending with a zero.
pub(super) fn environment(pid: Pid) -> Vec<u8> {
    ask(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_ENV, pid]).unwrap_or_default()
}

/// The path of the file that this process runs, ending with a zero.
pub(super) fn own_path() -> io::Result<Vec<u8>> {
    ask(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PATHNAME, -1])
}

fn processes(bytes: &[u8]) -> impl Iterator<Item = kinfo_proc> + '_ {
    bytes.chunks_exact(size_of::<kinfo_proc>()).map(|chunk| {
        // SAFETY: as many bytes as the structure has; it consists of integers, and of addresses in the
        // kernel that nobody here follows, so any bytes are valid.
        unsafe { chunk.as_ptr().cast::<kinfo_proc>().read_unaligned() }
    })
}

/// Asks, with as much room as it takes.
fn ask(question: &[c_int]) -> io::Result<Vec<u8>> {
    let count = u32::try_from(question.len()).map_err(io::Error::other)?;
    loop {
        let mut size = 0;
        // SAFETY: the question has that many numbers; without a buffer the size is told.
        checked(unsafe {
            libc::sysctl(
                question.as_ptr(),
                count,
                std::ptr::null_mut(),
                &raw mut size,
                std::ptr::null(),
                0,
            )
        })?;
        // There may be more by then.
        size += size / 8 + 64;
        let mut bytes = vec![0u8; size];
        // SAFETY: as above; the buffer has the size stated.
        let told = checked(unsafe {
            libc::sysctl(
                question.as_ptr(),
                count,
                bytes.as_mut_ptr().cast(),
                &raw mut size,
                std::ptr::null(),
                0,
            )
        });
        match told {
            Ok(_) => {
                bytes.truncate(size);
                return Ok(bytes);
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {}
            Err(error) => return Err(error),
        }
    }
}
