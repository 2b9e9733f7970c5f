//! One submitted task, as its owner holds it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Polled, Poll};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::batch::{BatchId, Large, Origin, Outcome, Outcomes, What};
use super::beside::Watch;
use super::core::Core;
use super::shared::Shared;
use crate::capture;
use crate::codec::{self, CodecError};
use crate::context::Context;
use crate::error::{Error, ErrorKind, TaskError};
use crate::woken::after;

/// A task that was submitted to a pool. Made by [`Pool::submit`](crate::Pool::submit).
///
/// Its result is fetched with [`join`](Task::join), or by awaiting it. Tasks may be joined in any order.
/// Dropping a task lets it run, and drops its result; [`cancel`](Task::cancel) prevents or ends it.
#[must_use = "its result, or its error, is lost"]
pub struct Task<R> {
    place: Place,
    context: Context,
    name: &'static str,
    number: u64,
    result: PhantomData<fn() -> R>,
}

enum Place {
    Pool {
        shared: Arc<Shared>,
        batch: BatchId,
    },
    /// On Inline it has run when it is submitted. Never locked: it lets threads share the handle, which
    /// what a panic carries would not.
    Done(Mutex<What>),
    /// The result was given out.
    Taken,
}

impl<R> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).field("number", &self.number).finish()
    }
}

/// Makes a result of what came back, outside of any lock: this runs the user's `Deserialize`.
pub(super) fn open<R: DeserializeOwned + 'static>(
    outcome: Outcome,
    bytes: &[u8],
    context: Context,
    number: u64,
    name: &str,
) -> Result<R, TaskError> {
    let tell = |from: Origin, error: CodecError| from.undecodable(&error, context, number, name);
    match outcome.what {
        What::Brought(both) => {
            let (brought, what) = *both;
            let index = outcome.index;
            let delivered = brought.deliver();
            let result = open(Outcome { index, what }, bytes, context, number, name);
            unless_lost(result, delivered, |error| error.in_context(context).of_task(number, name))
        }
        What::Failed(error) => Err(TaskError::new(error)),
        What::Panicked(panic) => std::panic::resume_unwind(panic),
        What::Done { start, length, from } => {
            let bytes = &bytes[start..start + length];
            codec::decode(bytes.into(), Vec::new()).map_err(|error| tell(from, error))
        }
        What::Large(large) => {
            let Large { bytes, descriptors, from } = *large;
            codec::decode(bytes.into(), descriptors).map_err(|error| tell(from, error))
        }
    }
}

/// The result of a task, unless what it brought back was lost, which is then its failure.
pub(super) fn unless_lost<R>(
    result: Result<R, TaskError>,
    delivered: Result<(), Error>,
    tell: impl FnOnce(Error) -> Error,
) -> Result<R, TaskError> {
    match (result, delivered) {
        (Ok(_), Err(error)) => Err(TaskError::new(tell(error))),
        (result, _) => result,
    }
}

impl<R> Task<R> {
    pub(super) fn of_pool(
        shared: Arc<Shared>,
        batch: BatchId,
        context: Context,
        name: &'static str,
        number: u64,
    ) -> Self {
        Self { place: Place::Pool { shared, batch }, context, name, number, result: PhantomData }
    }

    pub(super) fn done(what: What, name: &'static str, number: u64) -> Self {
        Self {
            place: Place::Done(Mutex::new(what)),
            context: Context::Inline,
            name,
            number,
            result: PhantomData,
        }
    }

    /// The name of the function's type.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Whether it has an outcome: then [`join`](Task::join) does not wait. Never waits itself. False after
    /// [`join_timeout`](Task::join_timeout) has given the result out: there is none any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.place {
            Place::Pool { shared, batch } => shared.is_done(*batch),
            Place::Done(_) => true,
            Place::Taken => false,
        }
    }

    /// To wait for it beside other things; `None` when there is nothing to wait for.
    pub(crate) fn watch(&self) -> Option<Watch> {
        match &self.place {
            Place::Pool { shared, batch } => Some(Watch::new(shared.clone(), *batch)),
            Place::Done(_) | Place::Taken => None,
        }
    }

    /// The worker that runs it; `None` while it waits, and when it is done. With
    /// [`Reuse::PerTask`](crate::Reuse::PerTask), where tasks run in forks of a worker, it is that one's child that
    /// runs it.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.place {
            Place::Pool { shared, batch } => shared.pid_of(*batch),
            _ => None,
        }
    }

    /// Prevents the task, or ends it.
    ///
    /// A task that has not begun never will. One that runs is ended with its worker, which is replaced;
    /// other tasks are not touched. One that has its outcome keeps it. [`join`](Task::join) then tells:
    /// [`ErrorKind::Cancelled`], and by its [`Phase`](crate::Phase) whether the task had begun.
    pub fn cancel(&self) {
        if let Place::Pool { shared, batch } = &self.place {
            shared.cancel(*batch);
        }
    }
}

impl<R: DeserializeOwned + 'static> Task<R> {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// Why there is none, as for [`Pool::map`](crate::Pool::map); [`ErrorKind::Cancelled`] after
    /// [`Task::cancel`], and when the pool was dropped or ended before the task was done.
    ///
    /// # Panics
    ///
    /// When the result's `Deserialize` panics, or what merges a capture.
    pub fn join(mut self) -> Result<R, TaskError> {
        match self.fetch(None) {
            Some(result) => result,
            None => Err(self.taken()),
        }
    }

    /// Waits for the result, for `limit` at most. `None` if there is none yet: the task goes on, and can be
    /// joined again.
    ///
    /// # Errors
    ///
    /// As [`Task::join`]; and [`ErrorKind::Closed`] when the result was given out before.
    pub fn join_timeout(&mut self, limit: Duration) -> Result<Option<R>, TaskError> {
        if matches!(self.place, Place::Taken) {
            return Err(self.taken());
        }
        // A limit beyond all times is none.
        self.fetch(after(limit)).transpose()
    }

    fn taken(&self) -> TaskError {
        TaskError::new(
            Error::new(ErrorKind::Closed, "join a task")
                .in_context(self.context)
                .of_task(self.number, self.name)
                .detail("its result was given out before"),
        )
    }

    fn fetch(&mut self, deadline: Option<Instant>) -> Option<Result<R, TaskError>> {
        let mut outcomes = Outcomes::default();
        match std::mem::replace(&mut self.place, Place::Taken) {
            Place::Taken => None,
            Place::Done(what) => {
                let what = what.into_inner().unwrap_or_else(PoisonError::into_inner);
                Some(open(Outcome { index: 0, what }, &[], self.context, self.number, self.name))
            }
            Place::Pool { shared, batch } => {
                if shared.wait_for(batch, deadline, &mut outcomes) {
                    self.opened(outcomes)
                } else {
                    self.place = Place::Pool { shared, batch };
                    None
                }
            }
        }
    }

    fn opened(&self, mut outcomes: Outcomes) -> Option<Result<R, TaskError>> {
        let outcome = outcomes.list.pop()?;
        Some(open(outcome, &outcomes.bytes, self.context, self.number, self.name))
    }
}

/// On Fork, Spawn and ForkServer, the first task that is awaited starts a thread in this process, which
/// drives the pool while tasks are awaited and ends soon after the last: a future is to wake its runtime,
/// and nobody else is there to do it. While a task is awaited, this process cannot be forked.
impl<R: DeserializeOwned + 'static> Future for Task<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, polled: &mut Polled<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Place::Pool { shared, batch } = &this.place {
            let mut outcomes = Outcomes::default();
            let found = Shared::ask(shared, *batch, polled.waker(), &mut outcomes);
            if !found {
                return Poll::Pending;
            }
            this.place = Place::Taken;
            return match this.opened(outcomes) {
                Some(result) => Poll::Ready(result),
                None => Poll::Ready(Err(this.taken())),
            };
        }
        match this.fetch(None) {
            Some(result) => Poll::Ready(result),
            None => Poll::Ready(Err(this.taken())),
        }
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if let Place::Pool { shared, batch } = &self.place {
            let mut core = shared.lock();
            let waker = core.batches.detach(*batch);
            if waker.is_some() {
                // Whoever drives for its sake need not any more.
                core.wake_driver();
            }
            shared.release(core);
            // What its destructor does is none of our code: it may use this very pool.
            drop(waker);
        }
        // What was brought to an outcome that nobody wants: on Inline no pool comes by for it.
        self.place = Place::Taken;
        capture::drop_gone();
    }
}

impl Shared {
    fn is_done(&self, batch: BatchId) -> bool {
        let mut core = self.lock();
        self.glance(&mut core);
        let done = core.batches.has_outcome(batch);
        self.release(core);
        done
    }

    fn pid_of(&self, batch: BatchId) -> Option<u32> {
        let mut core = self.lock();
        self.glance(&mut core);
        let runs = |core: &Core| {
            let workers = core.slots.iter().filter_map(|slot| slot.worker.as_ref());
            let mut running = workers.filter(|worker| worker.runs(batch));
            running.next().and_then(|worker| u32::try_from(worker.pid).ok())
        };
        let pid = runs(&core).filter(|pid| *pid != 0);
        self.release(core);
        pid
    }

    fn cancel(&self, batch: BatchId) {
        let mut core = self.lock();
        core.cancel(batch);
        core.wake_driver();
        self.release(core);
    }

    /// Waits for the outcome of a single task, and forgets the task. False at the deadline.
    fn wait_for(&self, batch: BatchId, deadline: Option<Instant>, into: &mut Outcomes) -> bool {
        let mut core = self.lock();
        loop {
            core.look_unless_driven();
            if core.batches.take(batch, into) {
                core.batches.close(batch);
                break;
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                // Also who has no patience at all makes progress.
                self.glance(&mut core);
                let found = core.batches.take(batch, into);
                if found {
                    core.batches.close(batch);
                }
                self.release(core);
                return found;
            }
            core = self.wait(core, deadline);
        }
        self.release(core);
        true
    }

    /// Takes the outcome of a single task, or sees to it that the waker is called when it is there.
    fn ask(
        shared: &Arc<Self>,
        batch: BatchId,
        waker: &std::task::Waker,
        into: &mut Outcomes,
    ) -> bool {
        // What is done to wakers is the user's code, so it is done without the lock.
        let (new, again) = (waker.clone(), waker.clone());
        let mut old = None;
        let mut core = shared.lock();
        core.look_unless_driven();
        let found = core.batches.take(batch, into);
        if found {
            core.batches.close(batch);
        } else {
            old = core.batches.wake_when_settled(batch, new);
            if !Self::start_waiter(shared, &mut core) {
                // No thread can be had: the runtime has to ask again and again.
                shared.glance(&mut core);
                core.batches.to_wake.push(again);
            }
        }
        shared.release(core);
        drop(old);
        found
    }
}
