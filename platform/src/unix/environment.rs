//! Changing the environment and the directory of a child, before any of the user's code runs in it.
//!
//! # Safety
//!
//! The environment may only be changed while nobody else reads it: in a process that has one thread.

use std::ffi::{OsStr, OsString};

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
