//! Where the stack of the first thread ends.

use std::mem::MaybeUninit;

/// The lowest address that the stack of the calling thread, the first, may grow to. `None` if none is known.
pub(crate) fn lowest() -> Option<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the place is valid for attributes.
    if unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: filled by the call above.
    let mut attributes = unsafe { attributes.assume_init() };
    // SAFETY: no memory is involved.
    let own = unsafe { libc::pthread_self() };
    let (mut address, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the thread is the calling one, and the attributes are initialised.
    let mut found = unsafe { libc::pthread_attr_get_np(own, &raw mut attributes) };
    if found == 0 {
        // SAFETY: all three are valid.
        found = unsafe {
            libc::pthread_attr_getstack(&raw const attributes, &raw mut address, &raw mut size)
        };
    }
    // SAFETY: initialised above, and not used any more.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    (found == 0 && !address.is_null()).then(|| address.addr())
}
