//! Waiting for tasks beside other things: whoever does so drives the pool for one sleep, and polls for it.

use std::sync::Arc;
use std::time::Duration;

use offspring_platform::clock::now;
use offspring_platform::poll::Interest;

use super::batch::BatchId;
use super::drive::{Source, Watched};
use super::shared::Shared;
use crate::woken::Needs;

/// While another thread drives a pool, how often its tasks are looked at.
const FOLLOWED: Duration = Duration::from_millis(5);

/// A task, while it is waited for beside other things. It keeps nobody from joining or dropping the task.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    batch: BatchId,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>, batch: BatchId) -> Self {
        Self { shared, batch }
    }

    /// Whether it has an outcome, or had one that was given out.
    pub(crate) fn is_settled(&self) -> bool {
        let mut core = self.shared.lock();
        core.batches.has_outcome(self.batch) || !core.batches.is_open(self.batch)
    }

    /// Whether this turn is that of its pool.
    pub(crate) fn belongs_to(&self, turn: &Turn) -> bool {
        Arc::ptr_eq(&self.shared, &turn.shared)
    }

    /// Begins to drive its pool, if nobody else does.
    pub(crate) fn begin(&self) -> Turn {
        Turn::begin(self.shared.clone())
    }
}

/// One sleep in which the caller drives a pool, unless another thread does. It ends with this.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    state: State,
}

enum State {
    /// This thread drives, since the time.
    Driving { watched: Vec<Watched>, since: u64, timeout: Option<Duration> },
    /// Another thread does.
    Followed,
    /// There is something to look at before anybody sleeps.
    News,
}

impl Turn {
    fn begin(shared: Arc<Shared>) -> Self {
        let mut core = shared.lock();
        let state = if core.driven {
            State::Followed
        } else {
            core.look();
            match core.ended {
                true => State::News,
                false => match core.announce_sleep() {
                    None => {
                        core.look();
                        State::News
                    }
                    Some(timeout) => {
                        core.driven = true;
                        let watched = core.watched();
                        State::Driving { watched, since: now(), timeout }
                    }
                },
            }
        };
        shared.release(core);
        Self { shared, state }
    }

    /// What to poll for the pool.
    pub(crate) fn interests<'s>(&'s self, into: &mut Vec<Interest<'s>>, needs: &mut Needs) {
        match &self.state {
            State::Followed => needs.look_after(FOLLOWED),
            State::News => needs.look_after(Duration::ZERO),
            State::Driving { watched, timeout, .. } => {
                if let Some(timeout) = timeout {
                    needs.look_after(*timeout);
                }
                self.shared.interests(watched, into);
            }
        }
    }

    /// Takes note of what was found out about those.
    pub(crate) fn end(mut self, found: &[bool]) {
        self.finish(found);
    }

    fn finish(&mut self, found: &[bool]) {
        let State::Driving { watched, since, .. } = std::mem::replace(&mut self.state, State::News)
        else {
            return;
        };
        if found.get(watched.len()).copied().unwrap_or(false) {
            self.shared.listener.clear();
        }
        let ready: Vec<Source> = watched
            .iter()
            .zip(found)
            .filter(|(_, found)| **found)
            .map(|(one, _)| one.source)
            .collect();
        let core = self.shared.lock();
        let core = self.shared.end_turn(core, since, &ready);
        self.shared.release(core);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.finish(&[]);
    }
}
