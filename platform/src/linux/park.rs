//! Sleeping until a word in shared memory changes: futex(2).

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::unix::checked;

/// Sleeps while `word` is `value`, until [`wake`], for at most `limit`. May return early.
pub fn wait(word: &AtomicU32, value: u32, limit: Duration) {
    let limit = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // Without `FUTEX_PRIVATE_FLAG`: the word is shared between processes.
    // SAFETY: the word is valid and aligned, the time is valid; both outlive the call. All outcomes mean
    // the same: look again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            &raw const limit,
            std::ptr::null::<u32>(),
            0,
        )
    };
}

/// Wakes one process or thread that sleeps on `word`.
///
/// # Errors
///
/// What futex(2) reports; only on memory that is not there.
pub fn wake(word: &AtomicU32) -> io::Result<()> {
    wake_up_to(word, 1)
}

/// Wakes all processes and threads that sleep on `word`.
///
/// # Errors
///
/// As [`wake`].
pub fn wake_all(word: &AtomicU32) -> io::Result<()> {
    wake_up_to(word, i32::MAX)
}

fn wake_up_to(word: &AtomicU32, most: i32) -> io::Result<()> {
    let nothing = std::ptr::null::<libc::timespec>();
    // SAFETY: the word is valid and aligned; nothing else is read.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            most,
            nothing,
            std::ptr::null::<u32>(),
            0,
        )
    };
    checked(woken).map(drop)
}
