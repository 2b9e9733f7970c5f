//! Deadlines of a worker, kept by its supervisor: the owner may be busy with something else.

use std::time::Duration;

use offspring_platform::clock::nanoseconds;
use offspring_platform::ring::Words;
use serde::{Deserialize, Serialize};

use crate::link::lane::Status;

/// What a worker may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    /// For its initialiser, from the start of the process.
    pub(crate) init: Option<Duration>,
    /// For each task, from its beginning.
    pub(crate) task: Option<Duration>,
}

impl Deadlines {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expired {
    Init,
    /// The task with this number.
    Task(u64),
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Watchdog {
    words: Words,
    deadlines: Deadlines,
    started: u64,
    /// Set when the worker was killed for it.
    pub(super) expired: Option<Expired>,
}

/// A worker without a task may begin one right after it was looked at, so it is looked at again before that
/// task can be late.
const LOOKS: u32 = 2;

impl Watchdog {
    pub(super) fn new(words: Words, deadlines: Deadlines, now: u64) -> Self {
        Self { words, deadlines, started: now, expired: None }
    }

    /// Whether something has taken too long; if not, when to look again.
    pub(super) fn look(&self, now: u64) -> Result<Option<Duration>, Expired> {
        if self.expired.is_some() {
            return Ok(None);
        }
        let status = Status::of(&self.words);
        if !status.is_initialised() {
            let Some(limit) = self.deadlines.init else {
                return Ok(self.deadlines.task.map(|limit| limit / LOOKS));
            };
            return left(self.started, limit, now).map(Some).ok_or(Expired::Init);
        }
        let Some(limit) = self.deadlines.task else { return Ok(None) };
        let (number, since) = status.running();
        match since {
            0 => Ok(Some(limit / LOOKS)),
            since => left(since, limit, now).map(Some).ok_or(Expired::Task(number)),
        }
    }
}

/// What is left of a limit; `None` if it has passed.
fn left(since: u64, limit: Duration, now: u64) -> Option<Duration> {
    let end = since.saturating_add(nanoseconds(limit));
    (end > now).then(|| Duration::from_nanos(end - now))
}
