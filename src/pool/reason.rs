//! How and why a worker ended, as its report tells it.

use std::fmt;

use offspring_platform::wait::Exit;

/// How a worker ended, and why. Part of a [`WorkerReport`](crate::WorkerReport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerEnd {
    /// How its process ended.
    pub exit: Exit,
    /// Why.
    pub reason: EndReason,
}

/// Why a worker ended; it can be shown, in a few words. Part of a [`WorkerEnd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// It was to be replaced, or the pool ended.
    InOrder,
    /// Its task was cancelled, and it was killed for that.
    Cancelled,
    /// Its initialiser or its task took too long, and it was killed for that.
    TimedOut,
    /// The system killed it for want of memory; see [`Error::is_out_of_memory`](crate::Error::is_out_of_memory) for where
    /// that is known.
    OutOfMemory,
    /// It ended by itself, by a fault, or because somebody killed it.
    Died,
    /// It could not make its state, and said so.
    NotReady,
}

impl EndReason {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::InOrder => "it was to be replaced, or the pool ended",
            Self::Cancelled => "its task was cancelled",
            Self::TimedOut => "it took too long",
            Self::OutOfMemory => "memory ran out",
            Self::Died => "it died",
            Self::NotReady => "it did not come up",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
