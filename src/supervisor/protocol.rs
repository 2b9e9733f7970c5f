//! What an owner and its supervisor say to each other.

use offspring_platform::clock::now;
use offspring_platform::signal;
use offspring_platform::wait::Exit;
use serde::{Deserialize, Serialize};

use super::watchdog::{Deadlines, Expired};
use crate::error::Ended;
use crate::launch::execute::Execute;

/// Owner to supervisor, with the descriptors of the child's channel, its lifeline, with deadlines its rings,
/// its transcript if it has one, and optionally the socket on which to report about this child alone. The frame's id names the child from
/// then on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Start {
    /// For a supervisor that executes.
    pub(crate) execute: Option<Execute>,
    pub(crate) deadlines: Deadlines,
    /// What it writes is captured.
    pub(crate) captured: bool,
    /// How many descriptors the owner may have now: the supervisor should have room for as many children.
    pub(crate) room: u64,
}

/// Owner to supervisor, about a child.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Signal {
    Terminate,
    Kill,
    Continue,
}

impl From<signal::Signal> for Signal {
    fn from(signal: signal::Signal) -> Self {
        match signal {
            signal::Signal::Terminate => Self::Terminate,
            signal::Signal::Kill => Self::Kill,
            signal::Signal::Continue => Self::Continue,
        }
    }
}

impl From<Signal> for signal::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Terminate => Self::Terminate,
            Signal::Kill => Self::Kill,
            Signal::Continue => Self::Continue,
        }
    }
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
pub(crate) struct Exited {
    how: Ended,
    /// It was killed because of this.
    pub(crate) expired: Option<Expired>,
    /// It was killed, and the system has killed somebody for want of memory.
    pub(crate) out_of_memory: bool,
    /// When that was noticed.
    pub(crate) at: u64,
}

impl Exited {
    pub(crate) fn new(exit: Exit, expired: Option<Expired>, out_of_memory: bool) -> Self {
        Self { how: exit.into(), expired, out_of_memory, at: now() }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.how.into()
    }
}
