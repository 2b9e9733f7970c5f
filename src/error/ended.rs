//! How a process ended, on its way to its owner.

use offspring_platform::wait::Exit;
use serde::{Deserialize, Serialize};

/// An [`Exit`] that travels.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Ended {
    Code(i32),
    Signal { signal: i32, core: bool },
    Unknown,
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal { signal, core } => Self::Signal { signal, core },
            _ => Self::Unknown,
        }
    }
}

impl From<Ended> for Exit {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Code(code) => Self::Code(code),
            Ended::Signal { signal, core } => Self::Signal { signal, core },
            Ended::Unknown => Self::Unknown,
        }
    }
}
