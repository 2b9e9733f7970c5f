//! Sleeping until a word in shared memory changes: the calls behind `os_sync_wait_on_address`.
//!
//! `os_sync_wait_on_address` itself exists since macOS 14.4 only. `__ulock_wait` and `__ulock_wake` are what
//! it calls, exported by libSystem since macOS 10.12 (xnu, `bsd/sys/ulock.h`).

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::ffi::{__ulock_wait, __ulock_wake};

/// `UL_COMPARE_AND_WAIT_SHARED`: 32 bits, found by the object and not by the address.
const SHARED: u32 = 3;
/// `ULF_NO_ERRNO`: errors are returned as negative numbers.
const NO_ERRNO: u32 = 0x0100_0000;
/// `ULF_WAKE_ALL`.
const ALL: u32 = 0x0000_0100;

/// Sleeps while `word` is `value`, until [`wake`], for at most `limit`. May return early.
pub fn wait(word: &AtomicU32, value: u32, limit: Duration) {
    // Zero means "for ever".
    let microseconds = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX).max(1);
    let operation = SHARED | NO_ERRNO;
    // SAFETY: the word is valid and aligned and outlives the call. All outcomes mean the same: look again.
    unsafe { __ulock_wait(operation, word.as_ptr().cast(), value.into(), microseconds) };
}

/// Wakes one process or thread that sleeps on `word`.
///
/// # Errors
///
/// What the kernel reports, except that nobody sleeps.
pub fn wake(word: &AtomicU32) -> io::Result<()> {
    wake_with(word, SHARED | NO_ERRNO)
}

/// Wakes all processes and threads that sleep on `word`.
///
/// # Errors
///
/// As [`wake`].
pub fn wake_all(word: &AtomicU32) -> io::Result<()> {
    wake_with(word, SHARED | NO_ERRNO | ALL)
}

fn wake_with(word: &AtomicU32, operation: u32) -> io::Result<()> {
    // SAFETY: the word is valid and aligned.
    let result = unsafe { __ulock_wake(operation, word.as_ptr().cast(), 0) };
    match -result {
        ..=0 | libc::ENOENT => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
