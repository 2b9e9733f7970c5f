//! How something is waited for: until when; and among others, what it needs beside descriptors, and what was found out
//! about those.

use std::time::{Duration, Instant};

use offspring_platform::poll::Interest;

/// The moment after so much time; none if that is beyond all clocks, which is a limit that never comes.
pub(crate) fn after(limit: Duration) -> Option<Instant> {
    Instant::now().checked_add(limit)
}

/// How long a process that was killed may take to be gone. Not even a kill ends one that is stuck in the kernel; it is
/// left to the system then.
pub(crate) const UNKILLABLE: Duration = Duration::from_secs(5);

/// What it takes beside descriptors to learn that something is ready.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    limit: Option<Duration>,
}

impl Needs {
    /// It has to be looked at after this time, whatever happens to descriptors.
    pub(crate) fn look_after(&mut self, time: Duration) {
        self.limit = Some(self.limit.map_or(time, |limit| limit.min(time)));
    }

    /// How long to sleep at most.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }
}

/// What was found out about the descriptors of a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Woken {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) hung_up: bool,
    /// It wanted to be looked at after a while.
    pub(crate) timed: bool,
}

impl Woken {
    pub(crate) fn new(interests: &[Interest<'_>], timed: bool) -> Self {
        Self {
            readable: interests.iter().any(Interest::can_read),
            writable: interests.iter().any(Interest::can_write),
            hung_up: interests.iter().any(Interest::has_hung_up),
            timed,
        }
    }

    /// Whether it is worth a look.
    pub(crate) fn any(self) -> bool {
        self.readable || self.writable || self.timed
    }
}
