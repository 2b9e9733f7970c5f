//! Sleeping until a word in shared memory changes: _umtx_op(2).

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::unix::checked;

/// Sleeps while `word` is `value`, until [`wake`], for at most `limit`. May return early.
pub fn wait(word: &AtomicU32, value: u32, limit: Duration) {
    let mut limit = libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // The operation that is not `_PRIVATE`: the word is shared between processes. The size of the time comes
    // in the place of an address.
    let size = std::ptr::without_provenance_mut(size_of::<libc::timespec>());
    // SAFETY: the word is valid and aligned, the time is valid; both outlive the call. All outcomes mean
    // the same: look again.
    unsafe {
        libc::_umtx_op(
            word.as_ptr().cast(),
            libc::UMTX_OP_WAIT_UINT,
            value.into(),
            size,
            (&raw mut limit).cast(),
        )
    };
}

/// Wakes one process or thread that sleeps on `word`.
///
/// # Errors
///
/// What _umtx_op(2) reports; only on memory that is not there.
pub fn wake(word: &AtomicU32) -> io::Result<()> {
    wake_up_to(word, 1)
}

/// Wakes all processes and threads that sleep on `word`.
///
/// # Errors
///
/// As [`wake`].
pub fn wake_all(word: &AtomicU32) -> io::Result<()> {
    // `INT_MAX`, as _umtx_op(2) has it.
    wake_up_to(word, 0x7fff_ffff)
}

fn wake_up_to(word: &AtomicU32, most: libc::c_ulong) -> io::Result<()> {
    let nothing = std::ptr::null_mut();
    // SAFETY: the word is valid and aligned; nothing else is read.
    let woken =
        unsafe { libc::_umtx_op(word.as_ptr().cast(), libc::UMTX_OP_WAKE, most, nothing, nothing) };
    checked(woken).map(drop)
}
