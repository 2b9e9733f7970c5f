//! Entering a program as a child of offspring.

use std::ffi::OsString;

use crate::os::program::is_privileged;
use crate::os::threads::SingleThreaded;

use super::environment::{self, Change};
use super::signal::Blocked;

/// Proof that this process was started by offspring, and has not run the program's own `main` beyond
/// the point where it entered offspring.
#[derive(Debug)]
pub struct Entered(());

/// Takes the note that a parent left in an environment variable, and removes it, so that programs
/// started from here do not find it.
///
/// `None` in a process that was not started by offspring, and always in a privileged one, where the
/// environment was chosen by somebody with fewer rights.
#[must_use]
pub fn take_note(variable: &str) -> Option<(OsString, Entered)> {
    if is_privileged() {
        return None;
    }
    let note = std::env::var_os(variable)?;
    // With a second thread already running the variable has to stay. A process started from here
    // would find it, and see that the descriptors it names are not there.
    if let Ok(blocked) = Blocked::all() {
        if let Ok(witness) = SingleThreaded::check(&blocked) {
            environment::apply(&[Change::Remove(variable.into())], &witness);
        }
    }
    Some((note, Entered(())))
}
