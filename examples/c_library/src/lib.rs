//! What a binding to a C library looks like that does not stand every input: it is unsafe to call.
//!
//! Most bindings are safe functions that say "the library promises to stand any bytes". For a library that breaks this
//! promise such a function is a lie: safe code, which cannot be at fault, then has undefined behaviour. This library is
//! known to break it, so its binding leaves the promise to its callers.

use std::ffi::c_void;

unsafe extern "C" {
    fn picture_brightness(file: *const c_void, size: usize) -> i64;
}

/// The sum of all pixels of a picture, or `None` for what is no picture.
///
/// # Safety
///
/// * The file has five bytes or more, all of the palette that it says it has, and no run of no pixels. Otherwise C does
///   not define what happens (`picture.c`, errors 2, 3 and 4).
/// * Who cannot know that calls it in a process that may break, which has to be one of its own, in which nothing is that
///   must not be lost: no memory that others can write to or read back, no file that it may change. That does not define
///   the behaviour. It bounds it, as far as the system keeps processes apart: the process may be killed, hang, or give
///   an answer that is wrong, and all of these have to be expected of it.
///
/// Not unsafe, but to be expected, too: it ends the process where memory is scarce (error 1).
#[must_use]
pub unsafe fn brightness(file: &[u8]) -> Option<u64> {
    // SAFETY:
    // * The pointer and the size are those of a slice, which the library reads and does not keep.
    // * The rest is the caller's.
    let sum = unsafe { picture_brightness(file.as_ptr().cast(), file.len()) };
    u64::try_from(sum).ok()
}
