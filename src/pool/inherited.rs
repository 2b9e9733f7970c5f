//! Tasks whose function and inputs the workers inherited: an index goes to them, a result comes back.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use serde::de::DeserializeOwned;

use super::batch::{BatchId, Large, Origin, Outcome, Outcomes, What};
use super::builder::default_workers;
use super::handle::unless_lost;
use super::settings::Settings;
use super::shared::Shared;
use super::task::{Parcel, Waiting};
use crate::capture::{self, Brought, Set};
use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind, TaskError};
use crate::function::{Inherited, Name};
use crate::launch::gates;

/// So many tasks may be ahead of the results that were given out, as in a pool.
const AHEAD: u64 = 16 << 10;

/// What comes of a task; `Err` if the user's code panicked in this process, while it was decoded.
type Decoded<R> = thread::Result<Result<R, TaskError>>;

/// What comes of a task, as it waits for its turn.
pub(crate) struct Landed<R> {
    decoded: Decoded<R>,
    /// What is merged when it has its turn, and what errors call the task.
    brought: Option<(Brought, u64, &'static str)>,
}

impl<R> Landed<R> {
    /// It has its turn. Runs the user's code, and goes on with a panic in this process.
    pub(crate) fn give(self) -> Result<R, TaskError> {
        let delivered = self.brought.map(|(brought, index, name)| (brought.deliver(), index, name));
        let result = self.decoded.unwrap_or_else(|panic| resume_unwind(panic));
        match delivered {
            Some((delivered, index, name)) => unless_lost(result, delivered, |error| {
                error.in_context(Context::Fork).of_task(index, name)
            }),
            None => result,
        }
    }
}

/// So many tasks, and the workers that run them.
#[derive(Debug)]
pub(crate) struct Indexed {
    /// `None` once all outcomes are there.
    running: Option<(Shared, BatchId)>,
    name: &'static str,
    count: u64,
    /// Tasks that were handed to the pool so far.
    taken: u64,
    /// Outcomes that have arrived so far.
    arrived: u64,
    outcomes: Outcomes,
    /// What was captured when the workers were forked, as all else that they have.
    captured: Option<Arc<Set>>,
}

impl Indexed {
    /// Forks the supervisor, and through it workers: as many as are wanted, and not more than tasks.
    pub(crate) fn start(
        workers: Option<usize>,
        count: usize,
        name: &'static str,
        inherited: Inherited<'_>,
    ) -> Result<Self, Error> {
        let workers = match workers {
            Some(0) => {
                return Err(Error::new(ErrorKind::Invalid, "start workers")
                    .in_context(Context::Fork)
                    .named(name)
                    .detail("at least one worker is needed")
                    .advice("to run without processes, use the iterators of std"));
            }
            Some(workers) => workers,
            None => default_workers(Context::Fork)?,
        };
        let captured =
            capture::current().map_err(|error| error.in_context(Context::Fork).named(name))?;
        let running = if count == 0 {
            // Nothing is forked, and yet what would be refused is refused.
            gates::check_depth(Context::Fork)?;
            gates::check_fork().map_err(|error| error.named(name))?;
            None
        } else {
            let (workers, settings) = (workers.min(count), Settings::default());
            let shared = Shared::start(Context::Fork, workers, settings, Some(inherited))
                .map_err(|error| error.named(name))?;
            let batch = shared.lock().begin_map(name);
            Some((shared, batch))
        };
        Ok(Self {
            running,
            name,
            count: count as u64,
            taken: 0,
            arrived: 0,
            outcomes: Outcomes::default(),
            captured,
        })
    }

    /// How many tasks there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Waits for at least one more outcome, of which there must be one, and tells `keep` of each. So many
    /// were given out before.
    pub(crate) fn more<R>(&mut self, given: u64, mut keep: impl FnMut(u64, Landed<R>))
    where
        R: DeserializeOwned + 'static,
    {
        let tasks = self.next_parcel(given);
        let Some((shared, batch)) = &self.running else { return };
        shared.exchange(*batch, tasks.map(Waiting::Parcel), &mut self.outcomes, true, false, 0);
        for Outcome { index, what } in std::mem::take(&mut self.outcomes.list) {
            self.arrived += 1;
            let (brought, what) = match what {
                What::Brought(both) => (Some((both.0, index, self.name)), both.1),
                what => (None, what),
            };
            keep(index, Landed { decoded: self.open(index, what), brought });
        }
        if self.arrived == self.count {
            // In order, so that they write out what they have printed. All outcomes are there: what broke the pool since
            // has cost none of them, and no item is left that could tell of it.
            if let Some((shared, _)) = self.running.take() {
                let _ = shared.shutdown();
            }
        }
    }

    fn open<R: DeserializeOwned + 'static>(&self, index: u64, what: What) -> Decoded<R> {
        match what {
            What::Failed(error) => Ok(Err(TaskError::new(error))),
            What::Panicked(panic) => Err(panic),
            What::Done { start, length, from } => {
                let bytes = &self.outcomes.bytes[start..start + length];
                self.decode(index, from, bytes.into(), Vec::new())
            }
            What::Large(large) => {
                let Large { bytes, descriptors, from } = *large;
                self.decode(index, from, bytes.into(), descriptors)
            }
            // There are no two at once.
            What::Brought(both) => self.open(index, both.1),
        }
    }

    /// The next tasks, unless there are enough of them under way.
    fn next_parcel(&mut self, given: u64) -> Option<Parcel> {
        let (_, batch) = self.running.as_ref()?;
        let room = (given + AHEAD).min(self.count) - self.taken;
        if room == 0 || self.taken - self.arrived > AHEAD / 2 {
            return None;
        }
        let mut parcel =
            Parcel::with_memory(*batch, self.taken, 0, self.captured.clone(), Vec::new());
        for index in self.taken..self.taken + room {
            let (begun, into) = parcel.begin(Name::INHERITED);
            into.bytes.extend_from_slice(&index.to_ne_bytes());
            // Eight bytes are never too large.
            let _ = parcel.end(begun);
        }
        self.taken += room;
        Some(parcel)
    }

    fn decode<R: DeserializeOwned + 'static>(
        &self,
        index: u64,
        from: Origin,
        bytes: Cow<'_, [u8]>,
        descriptors: Vec<OwnedFd>,
    ) -> Decoded<R> {
        let decoded = catch_unwind(AssertUnwindSafe(|| codec::decode(bytes, descriptors)))?;
        Ok(decoded.map_err(|error| from.undecodable(&error, Context::Fork, index, self.name)))
    }
}

/// The index that a worker was sent.
pub(crate) fn index_of(input: &[u8]) -> Option<usize> {
    usize::try_from(u64::from_ne_bytes(input.try_into().ok()?)).ok()
}
