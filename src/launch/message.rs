//! What every child is told before anything else.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use offspring_platform::environment::Change;
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::context::Context;
use crate::function::Name;
use crate::hooks::Hook;

/// What a child is told. The same for all contexts, however it gets there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The build of the program that the child must be.
    pub(crate) identity: Vec<u8>,
    /// The version of this crate.
    pub(crate) version: String,
    /// What only the parent and the note in the environment know; zero where there is no note.
    pub(crate) nonce: u128,
    pub(crate) context: Context,
    pub(crate) place: Place,
    /// Whether the program promised that it may be forked.
    pub(crate) may_fork: bool,
    /// What `ps` shows.
    pub(crate) name: String,
    pub(crate) standard: [Standard; 3],
    /// The standard stream that leads to its transcript, if one does.
    pub(crate) transcript: Option<u32>,
    pub(crate) environment: Vec<EnvironmentChange>,
    pub(crate) directory: Option<Bytes>,
    /// The descriptor, with this index among those sent along, of the directory from where that is to be found.
    pub(crate) from: Option<u32>,
    pub(crate) memory_limit: Option<u64>,
    /// How many descriptors its owner may have, if it is not from there that it has its limit.
    pub(crate) descriptors: Option<u64>,
    /// What runs in what is forked.
    pub(crate) hooks: Vec<Hook>,
    /// Whether the last two descriptors are those by which its records reach its owner.
    pub(crate) logs: bool,
    pub(crate) role: Role,
}

/// What the child shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Runs one function and ends.
    Call { function: Name },
    /// Runs tasks until it is told to close.
    Worker(WorkerRole),
    /// Starts and watches children for its owner.
    Supervisor { forks: bool },
}

/// What a worker is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct WorkerRole {
    pub(crate) index: u64,
    pub(crate) generation: u64,
    /// Makes its state.
    pub(crate) initialiser: Option<Name>,
    /// Takes its state at an orderly end.
    pub(crate) finaliser: Option<Name>,
    /// Somebody wants to know since when a task runs.
    pub(crate) timed: bool,
    /// Each outcome is to tell when its task ran.
    pub(crate) timeline: bool,
    /// It ends when it has grown by so many bytes since its state was made.
    pub(crate) growth_limit: Option<u64>,
    /// Each task runs in a copy of it, or if that cannot be, it ends after the first.
    pub(crate) one_task: bool,
    /// It stays on one processor.
    pub(crate) pinned: bool,
}

/// What a standard stream of the child shall be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Standard {
    /// As it is already.
    Keep,
    Null,
    /// The descriptor with this index among those sent along.
    Sent(u32),
}

/// An operating system string; any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bytes(Vec<u8>);

impl Bytes {
    pub(crate) fn of_path(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }

    pub(crate) fn of_text(text: OsString) -> Self {
        Self(text.into_vec())
    }

    pub(crate) fn into_path(self) -> PathBuf {
        OsString::from_vec(self.0).into()
    }

    pub(crate) fn into_text(self) -> OsString {
        OsString::from_vec(self.0)
    }
}

/// One change of the child's environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum EnvironmentChange {
    Clear,
    Set(Bytes, Bytes),
    Remove(Bytes),
}

impl From<Change> for EnvironmentChange {
    fn from(change: Change) -> Self {
        match change {
            Change::Clear => Self::Clear,
            Change::Set(name, value) => Self::Set(Bytes::of_text(name), Bytes::of_text(value)),
            Change::Remove(name) => Self::Remove(Bytes::of_text(name)),
        }
    }
}

impl From<EnvironmentChange> for Change {
    fn from(change: EnvironmentChange) -> Self {
        match change {
            EnvironmentChange::Clear => Self::Clear,
            EnvironmentChange::Set(name, value) => Self::Set(name.into_text(), value.into_text()),
            EnvironmentChange::Remove(name) => Self::Remove(name.into_text()),
        }
    }
}
