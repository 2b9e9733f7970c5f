//! What Linux and macOS do alike.

pub mod alone;
pub(crate) mod announce;
pub mod clock;
mod constructor;
pub mod descriptors;
pub mod entry;
pub mod environment;
pub mod exit;
pub mod fd;
pub mod fork;
mod forked;
pub mod limits;
pub mod locale;
pub mod lock;
pub(crate) mod owner;
#[cfg(any(test, not(all(target_os = "linux", target_env = "gnu")), offspring_force_portable))]
pub(crate) mod owner_word;
pub mod peer;
pub mod poll;
pub mod random;
pub mod region;
pub mod runtime;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod spool;
pub(crate) mod threads;
pub mod transcript;
pub mod wait;
pub mod waiting;

use std::io;

/// The result of a C call that reports failure by -1 and `errno`.
pub(crate) fn checked<T: PartialEq + From<i8>>(result: T) -> io::Result<T> {
    if result == T::from(-1) { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
