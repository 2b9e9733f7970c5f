//! Why nothing more can come over a link.

use std::fmt;
use std::io;

/// Why a channel is of no use any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The peer sent something that is not a frame, or not one that belongs here.
    Protocol(&'static str),
    /// The system refused.
    System(io::Error),
}

impl Broken {
    /// Whether it may be better in a moment.
    pub(crate) fn lacks_memory(&self) -> bool {
        matches!(self, Self::System(error) if error.kind() == io::ErrorKind::OutOfMemory)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(what) => write!(f, "the peer broke the protocol: {what}"),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Broken {}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
