//! With which rights this process runs, and what it is called.

/// Whether the program runs with more rights than the user who started it: then nothing in its
/// environment may be believed.
#[must_use]
pub fn is_privileged() -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Names this process in `ps` and `top`; the first 15 bytes count.
pub fn set_name(name: &str) {
    let mut bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    bytes.push(0);
    // SAFETY: the name ends with a zero, and is copied.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}
