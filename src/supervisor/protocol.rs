//! What an owner and its supervisor say to each other.

use serde::{Deserialize, Serialize};

use crate::Exit;
use crate::launch::execute::Execute;

/// Owner to supervisor, with the descriptors of the child's channel, its lifeline, and optionally the
/// socket on which to report about this child alone. The frame's id names the child from then on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// For a supervisor that executes.
    pub(crate) execute: Option<Execute>,
}

/// Owner to supervisor, about a child.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Signal {
    Terminate,
    Kill,
    Continue,
}

/// Supervisor to owner: the child runs. Comes with a watch, where watches can be sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) pid: i32,
}

/// Supervisor to owner: the child could not be started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NotStarted {
    pub(crate) text: String,
    pub(crate) number: Option<i32>,
}

/// Supervisor to owner: the child has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Exited {
    Code(i32),
    Signal { signal: i32, core: bool },
    Unknown,
}

impl From<Exit> for Exited {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal { signal, core } => Self::Signal { signal, core },
            _ => Self::Unknown,
        }
    }
}

impl From<Exited> for Exit {
    fn from(exited: Exited) -> Self {
        match exited {
            Exited::Code(code) => Self::Code(code),
            Exited::Signal { signal, core } => Self::Signal { signal, core },
            Exited::Unknown => Self::Unknown,
        }
    }
}
