//! Where the stack of the first thread ends.

/// The lowest address that the stack of the calling thread, the first, may grow to. `None` if none is known.
pub(crate) fn lowest() -> Option<usize> {
    // SAFETY: no memory is involved.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: the thread is the calling one.
    let highest = unsafe { libc::pthread_get_stackaddr_np(own) }.addr();
    // SAFETY: as above.
    let size = unsafe { libc::pthread_get_stacksize_np(own) };
    highest.checked_sub(size)
}
