//! Random bytes from the kernel, never from a generator that a fork would duplicate.

use std::io;

/// A number that nobody can guess.
///
/// # Errors
///
/// When the kernel has no randomness to give.
pub fn nonce() -> io::Result<u128> {
    let mut bytes = [0; 16];
    // SAFETY: `bytes` is 16 writable bytes; up to 256 may be asked for.
    super::checked(unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) })?;
    Ok(u128::from_ne_bytes(bytes))
}
