//! What a binding to a C library looks like: it is safe to call, as far as the library keeps its word.

use std::ffi::c_void;

unsafe extern "C" {
    fn picture_brightness(file: *const c_void, size: usize) -> i64;
}

/// The sum of all pixels of a picture, or `None` for what is no picture.
#[must_use]
pub fn brightness(file: &[u8]) -> Option<u64> {
    // SAFETY:
    // * The pointer and the size are those of a slice, which the library reads and does not keep.
    // * The library promises to stand any bytes. It does not, on which see examples/c_library.rs: there it is
    //   called in processes that may break.
    let sum = unsafe { picture_brightness(file.as_ptr().cast(), file.len()) };
    u64::try_from(sum).ok()
}
