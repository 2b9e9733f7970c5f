//! Changing the environment and the directory of a child, before any of the user's code runs in it.
//!
//! # Safety
//!
//! The environment may only be changed while nobody else reads it: in a process that has one thread.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::alone::Alone;

/// One change of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Removes every variable.
    Clear,
    /// Sets a variable.
    Set(OsString, OsString),
    /// Removes one variable.
    Remove(OsString),
}

/// Whether the name can be the name of a variable. Others make the C library fail, and std panic.
#[must_use]
pub fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    !bytes.is_empty() && !bytes.contains(&b'=') && !bytes.contains(&0)
}

/// Whether the text can be the value of a variable.
#[must_use]
pub fn is_value(value: &OsStr) -> bool {
    !value.as_encoded_bytes().contains(&0)
}

/// To look at no file in it, as it takes to go there, is allowed where reading it is not.
#[cfg(target_os = "linux")]
const TO_GO_THERE: i32 = libc::O_PATH | libc::O_DIRECTORY;
#[cfg(not(target_os = "linux"))]
const TO_GO_THERE: i32 = libc::O_DIRECTORY;

/// The directory in which this process works, also if it has no path any more.
///
/// # Errors
///
/// What `open(2)` reports; where the system does not open a directory that was removed, `NotFound` for one.
pub fn own_directory() -> io::Result<OwnedFd> {
    let file = File::options().read(true).custom_flags(TO_GO_THERE).open(".")?;
    super::fd::lift(file.into())
}

/// Works in that directory from now on.
///
/// # Errors
///
/// What `fchdir(2)` reports.
pub fn enter_directory(directory: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::fchdir(directory)?)
}

/// Makes the changes, in order; those with an impossible name or value are left out.
pub fn apply(changes: &[Change], _witness: &Alone) {
    for change in changes {
        match change {
            Change::Clear => {
                for (name, _) in std::env::vars_os() {
                    remove(&name);
                }
            }
            Change::Set(name, value) => {
                if is_name(name) && is_value(value) {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "the witness says that it is sound"
                    )]
                    // SAFETY: the witness says that no other thread can read the environment.
                    unsafe {
                        std::env::set_var(name, value);
                    }
                }
            }
            Change::Remove(name) => remove(name),
        }
    }
}

fn remove(name: &OsStr) {
    if is_name(name) {
        #[expect(clippy::disallowed_methods, reason = "only called by `apply`, with its witness")]
        // SAFETY: `apply` has a witness that no other thread can read the environment.
        unsafe {
            std::env::remove_var(name);
        }
    }
}
