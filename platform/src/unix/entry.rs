//! Entering a program as a child of offspring.

use std::ffi::OsString;
use std::io;

use crate::os::program::is_privileged;

use super::alone::Alone;
use super::environment::{self, Change};
use super::fd::{self, PrivateFd};
use super::peer;
use super::signal::Blocked;
use super::spawn::FIRST_HANDED;

/// Proof that this process was started by offspring, and has not run the program's own `main` beyond
/// the point where it entered offspring.
#[derive(Debug)]
pub struct Entered(());

/// What a parent hands to a child that it starts by exec, in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// The child's end of the channel.
    Channel,
    /// The child's end of the lifeline.
    Lifeline,
}

impl Entered {
    /// Takes over a descriptor that the parent handed over, from its place.
    ///
    /// The place is known from the note alone, so it can be claimed once, and by nobody else: the code
    /// that ran before `main` was told nothing of it.
    ///
    /// # Errors
    ///
    /// When there is no open descriptor at its place, or it was claimed before.
    pub fn claim(&self, which: Handed) -> io::Result<PrivateFd> {
        fd::claim(FIRST_HANDED + which as i32)
    }

    /// Whether one end of a pair of sockets of our own user is at its place, which may be somebody else's: nothing
    /// happens to it.
    #[must_use]
    pub fn is_own_socket(&self, which: Handed) -> bool {
        fd::look_at(FIRST_HANDED + which as i32, peer::is_own_user).unwrap_or(false)
    }
}

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
        if let Ok(witness) = Alone::check(&blocked) {
            environment::apply(&[Change::Remove(variable.into())], &witness);
        }
    }
    Some((note, Entered(())))
}
