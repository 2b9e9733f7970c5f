//! Tasks one at a time, and one for every worker.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{BatchId, Kind, Outcomes};
use super::handle::{self, Task};
use super::inline;
use super::shared::Shared;
use super::task::{LARGEST, Large, Needs, Parcel, Waiting};
use super::{Inner, Pool};
use crate::capture;
use crate::codec::{self, CodecError, Encoded};
use crate::error::{Error, ErrorKind, TaskError};
use crate::function::{self, Name};
use crate::state::Mentions;
use crate::woken::after;

const DOING: &str = "submit a task";

/// How long to wait for room.
#[derive(Debug, Clone, Copy)]
enum Patience {
    None,
    Until(Instant),
    Endless,
}

impl<S: 'static, X> Pool<S, X> {
    /// Gives the pool one task, and returns at once, with a handle on which its result can be waited for.
    ///
    /// When [`PoolBuilder::in_flight`](crate::PoolBuilder::in_flight) submitted tasks have no outcome yet,
    /// waits until one has. Nothing is done for the pool while nobody waits for it: a task that is
    /// submitted is handed to a worker at once if one is free, and else when somebody next uses the pool.
    ///
    /// On Inline the task runs here and now.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::EncodeArguments`]: the argument could not be encoded.
    /// * [`ErrorKind::Cancelled`]: the pool was ended.
    /// * What broke the pool.
    pub fn submit<A, R, F>(&self, argument: A, function: F) -> Result<Task<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        self.submit_if(argument, function, Patience::Endless)
    }

    /// Like [`Pool::submit`], but waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As [`Pool::submit`], and [`ErrorKind::Busy`] when the limit has passed.
    pub fn submit_timeout<A, R, F>(
        &self,
        limit: Duration,
        argument: A,
        function: F,
    ) -> Result<Task<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        // A limit beyond the end of time is none.
        let until = after(limit);
        self.submit_if(argument, function, until.map_or(Patience::Endless, Patience::Until))
    }

    /// Like [`Pool::submit`], but never waits.
    ///
    /// # Errors
    ///
    /// As [`Pool::submit`], and [`ErrorKind::Busy`] where that would wait.
    pub fn try_submit<A, R, F>(&self, argument: A, function: F) -> Result<Task<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        self.submit_if(argument, function, Patience::None)
    }

    fn submit_if<A, R, F>(
        &self,
        argument: A,
        function: F,
        patience: Patience,
    ) -> Result<Task<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        let (function, name) = function::stateful::<F, S, A, R>(function)?;
        let mut message = self.encode(argument, name)?;
        let needs = self.prepare(&mut message, name)?;
        match &self.inner {
            Inner::Inline(inline) => {
                inline.check_open(DOING).map_err(|error| error.named(name))?;
                let number = inline.next_number();
                let task = inline::Task {
                    index: number,
                    function,
                    name,
                    message: &message,
                    captured: needs.captured.as_ref(),
                };
                Ok(Task::done(inline.run(&task), name, number))
            }
            Inner::Processes(shared) => {
                let (batch, number) = self.open_single(shared, name, patience)?;
                shared.add([waiting(batch, 0, function, message, needs)], 0);
                Ok(Task::of_pool(shared.clone(), batch, self.context(), name, number))
            }
        }
    }

    fn encode<A: Serialize + 'static>(&self, argument: A, name: &str) -> Result<Encoded, Error> {
        codec::encode_owned(argument).map_err(|error: CodecError| {
            Error::new(ErrorKind::EncodeArguments, DOING)
                .in_context(self.context())
                .named(name)
                .detail(error.to_string())
        })
    }

    /// What workers have to know for an argument.
    fn prepare(&self, message: &mut Encoded, name: &str) -> Result<Needs, Error> {
        let mentions = match &self.inner {
            // It is known here; the list keeps it until the task has run.
            Inner::Inline(_) => Ok(Mentions::default()),
            Inner::Processes(shared) => Mentions::of(&mut message.mentions, shared.inherited),
        };
        let needs =
            mentions.and_then(|mentions| Ok(Needs { mentions, captured: capture::current()? }));
        needs.map_err(|error| error.in_context(self.context()).named(name))
    }

    fn open_single(
        &self,
        shared: &Shared,
        name: &'static str,
        patience: Patience,
    ) -> Result<(BatchId, u64), Error> {
        let mut core = shared.lock();
        let mut looked = false;
        loop {
            core.look_unless_driven();
            if let Some(error) = &core.broken {
                return Err(error.again().named(name));
            }
            if let Some(opened) = core.open_single(name, self.in_flight) {
                shared.release(core);
                return Ok(opened);
            }
            let deadline = match patience {
                Patience::Endless => None,
                Patience::Until(at) => Some(at),
                Patience::None => Some(Instant::now()),
            };
            let late = deadline.is_some_and(|at| at <= Instant::now());
            if late && !std::mem::replace(&mut looked, true) {
                shared.glance(&mut core);
                continue;
            }
            if late {
                shared.release(core);
                return Err(Error::new(ErrorKind::Busy, DOING)
                    .in_context(self.context())
                    .named(name)
                    .detail(format!("{} tasks have no outcome yet", self.in_flight))
                    .advice("join some, or raise `in_flight`"));
            }
            core = shared.wait(core, deadline);
        }
    }

    /// Runs `function` once on every worker, also on those that are not ready yet, and returns the
    /// results in the order of [`WorkerInfo::index`](crate::WorkerInfo::index).
    ///
    /// To set or read something in each worker's state. A worker that dies before it has begun is
    /// replaced, and its replacement does it. What a worker does with it is lost with the worker.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EncodeArguments`] and what broke the pool; each result is a `Result` of its own, whose
    /// [`TaskError::index`] is the index of the worker.
    pub fn broadcast<A, R, F>(
        &self,
        argument: A,
        function: F,
    ) -> Result<Vec<Result<R, TaskError>>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        let (function, name) = function::stateful::<F, S, A, R>(function)?;
        let mut message = self.encode(argument, name)?;
        let needs = self.prepare(&mut message, name)?;
        let shared = match &self.inner {
            Inner::Processes(shared) => shared,
            Inner::Inline(inline) => {
                inline.check_open("run a task").map_err(|error| error.named(name))?;
                let captured = needs.captured.as_ref();
                let task = inline::Task { index: 0, function, name, message: &message, captured };
                let outcome = super::batch::Outcome { index: 0, what: inline.run(&task) };
                return Ok(vec![handle::open(outcome, &[], self.context(), 0, name)]);
            }
        };
        let message = Arc::new(message);
        let (batch, count) = {
            let mut core = shared.lock();
            if let Some(error) = &core.broken {
                return Err(error.again().named(name));
            }
            let batch = core.batches.open(name, Kind::Pinned);
            let count = core.worker_count();
            for slot in 0..count {
                let task = waiting(batch, slot as u64, function, message.clone(), needs.clone());
                core.slots[slot].pinned.push_back(task);
            }
            core.dispatch();
            core.wake_driver();
            (batch, count)
        };
        let mut all = Vec::new();
        let mut left = count;
        while left > 0 {
            let mut outcomes = Outcomes::default();
            shared.exchange(batch, [], &mut outcomes, true, false, 0);
            left -= outcomes.list.len();
            all.push(outcomes);
        }
        shared.lock().batches.close(batch);
        // What was brought back is merged when an outcome is opened, so they are opened in order.
        let mut found: Vec<_> = all
            .iter_mut()
            .flat_map(|Outcomes { bytes, list }| list.drain(..).map(|outcome| (outcome, &*bytes)))
            .collect();
        found.sort_unstable_by_key(|(outcome, _)| outcome.index);
        let results = found.into_iter().map(|(outcome, bytes)| {
            let index = outcome.index;
            handle::open(outcome, bytes, self.context(), index, name)
        });
        Ok(results.collect())
    }
}

fn is_small(message: &Encoded) -> bool {
    message.descriptors.is_empty() && message.bytes.len() <= LARGEST
}

/// The message may be one that others have, too. One that nobody has and that is small is not put on the heap.
fn waiting(
    batch: BatchId,
    index: u64,
    function: Name,
    message: impl Borrow<Encoded> + Into<Arc<Encoded>>,
    needs: Needs,
) -> Waiting {
    let encoded: &Encoded = message.borrow();
    if is_small(encoded) {
        return Waiting::Parcel(Parcel::of_one(batch, index, function, &encoded.bytes, needs));
    }
    Waiting::Large(Large::new(batch, index, function, message.into(), needs))
}
