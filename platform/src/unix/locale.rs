//! The locale of the C library, of the whole process.
//!
//! # Safety
//!
//! Two calls of `setlocale` at a time, also where one only asks, may touch the same text. So both functions
//! want a process with one thread.

use std::ffi::{CStr, CString};

use super::alone::Alone;

/// The names of all categories, in the form that [`change`] takes.
#[must_use]
pub fn current(_witness: &Alone) -> Vec<u8> {
    // SAFETY: a null pointer asks, and changes nothing; no other thread can call it meanwhile.
    let name = unsafe { libc::setlocale(libc::LC_ALL, std::ptr::null()) };
    if name.is_null() {
        return Vec::new();
    }
    // SAFETY:
    // - it is not null, and `setlocale` returns a text that ends with zero;
    // - the text stays until the next call of `setlocale`, and it is copied before any other code runs, in the
    //   only thread.
    unsafe { CStr::from_ptr(name) }.to_bytes().to_vec()
}

/// Sets all categories. False if the system does not have them; then nothing has changed.
#[must_use]
pub fn change(name: &[u8], _witness: &Alone) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: the text ends with zero and lives until the call returns; no other thread can use the locale.
    let set = unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) };
    !set.is_null()
}
