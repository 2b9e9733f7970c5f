//! The proof that this process has one thread.
//!
//! `pthread_is_threaded_np` is the very question that Apple's own libraries ask before they let a
//! process fork: the Objective-C runtime makes the child of a threaded process crash on purpose.
//! It covers threads made by libpthread, those of libdispatch included. The kernel's count covers
//! threads that were made without it.
//!
//! The answer is for ever: a process that has had a second thread counts as threaded after the thread
//! was joined as well. Only a forked child starts afresh (libpthread, `_pthread_atfork_child`).
//! So a child that armed its lifeline, which here takes a thread, never passes.
//!
//! With one thread there is nobody to start a second between the check and the fork, except a signal
//! handler; so signals have to be blocked before.
//!
//! # Safety
//!
//! The only unsafe operation asks the kernel to fill in a structure of plain integers.

use std::mem::MaybeUninit;

use super::ffi;
use crate::unix::signal::Blocked;
pub use crate::unix::threads::NotSingleThreaded;

/// Proof that the process had one thread when it was made, with all signals blocked.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Checks. Trying again would not help: see the head of the file.
    ///
    /// # Errors
    ///
    /// When there is, or ever was, a second thread, or the system does not say.
    pub fn check(_blocked: &Blocked) -> Result<Self, NotSingleThreaded> {
        let count = count();
        if ffi::pthread_is_threaded_np() != 0 {
            return Err(NotSingleThreaded::Threads(count.filter(|count| *count > 1)));
        }
        match count {
            Some(1) => Ok(Self(())),
            Some(count) => Err(NotSingleThreaded::Threads(Some(count))),
            None => Err(NotSingleThreaded::Unknown),
        }
    }
}

/// The number of threads, if the system says: `PROC_PIDTASKINFO` of <sys/proc_info.h>.
#[must_use]
pub fn count() -> Option<usize> {
    let own = i32::try_from(std::process::id()).ok()?;
    let size = i32::try_from(size_of::<libc::proc_taskinfo>()).ok()?;
    let mut info = MaybeUninit::<libc::proc_taskinfo>::uninit();
    // SAFETY: `info` has room for the `size` bytes that may be written.
    let filled = unsafe {
        libc::proc_pidinfo(own, libc::PROC_PIDTASKINFO, 0, info.as_mut_ptr().cast(), size)
    };
    if filled != size {
        return None;
    }
    // SAFETY: the kernel filled in all of it, and every bit pattern is a valid value.
    let info = unsafe { info.assume_init() };
    usize::try_from(info.pti_threadnum).ok().filter(|count| *count > 0)
}
