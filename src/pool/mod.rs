//! Workers that make their state once and then run tasks. `README.md` beside this file has the
//! protocol.

mod back;
mod batch;
mod beside;
mod builder;
mod bulk;
mod core;
mod dispatch;
mod drive;
mod ended;
mod feed;
mod handle;
mod hear;
mod in_order;
mod inherited;
mod inline;
mod map;
mod pace;
mod reason;
mod report;
mod restored;
mod roster;
mod settings;
mod settle;
mod shared;
mod submit;
mod task;
mod timeline;
mod worker;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function;
use crate::woken::after;

pub(crate) use beside::{Turn, Watch};
pub use builder::PoolBuilder;
pub use handle::Task;
pub(crate) use in_order::InOrder;
pub(crate) use inherited::{Indexed, Landed, index_of};
pub use map::{Enumerated, Map, MapUnordered};
pub use reason::{EndReason, WorkerEnd};
pub use report::{Report, SlowTask, Stats, WorkerInfo, WorkerReport, worker};
pub use restored::{Restored, Source};
pub use settings::Reuse;

use inline::Inline;
use shared::Shared;

/// Worker processes that each made a state `S` once and run tasks on it.
///
/// Made by [`Context::pool`]. A worker that dies costs the task it was running, and is replaced; tasks
/// that it had received and not begun are run by others. No thread is started in this process: whoever
/// waits for results does the work of the pool, and several threads may.
///
/// Workers start in the background: the first results do not wait for the last worker.
///
/// Dropping a pool ends it at once, running tasks included; [`Pool::shutdown`] lets them finish. Either
/// way, no process is left when it returns.
///
/// Ctrl-C at a terminal does nothing to workers, nor does the end of the terminal: they end with this
/// process, and if it handles the signal it can shut the pool down in order. Ctrl-Z stops them with this
/// process, and they go on with it.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     let pool = Context::Spawn.pool().workers(2).init(10u64, |base| base).build()?;
///     let mut sum = 0;
///     for result in pool.map(0..100u64, |base, n| *base + n) {
///         sum += result?;
///     }
///     assert_eq!(sum, 100 * 10 + 4950);
///     pool.shutdown()?;
///     Ok(())
/// }
/// ```
pub struct Pool<S, X = ()> {
    inner: Inner,
    in_flight: usize,
    /// The state lives in the workers; on Inline, in the threads that drive the pool.
    state: PhantomData<fn() -> S>,
    /// What workers return at their end.
    value: PhantomData<fn() -> X>,
}

enum Inner {
    Processes(Arc<Shared>),
    Inline(Box<Inline>),
}

impl<S, X> fmt::Debug for Pool<S, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = std::any::type_name::<S>();
        let mut text = f.debug_struct("Pool");
        text.field("context", &self.context()).field("workers", &self.workers());
        text.field("state", &state).finish()
    }
}

impl<S, X> Pool<S, X> {
    /// The context of the workers.
    #[must_use]
    pub fn context(&self) -> Context {
        match &self.inner {
            Inner::Processes(shared) => shared.lock().context(),
            Inner::Inline(_) => Context::Inline,
        }
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        match &self.inner {
            Inner::Processes(shared) => shared.lock().worker_count(),
            Inner::Inline(_) => 1,
        }
    }

    /// What the pool holds at this moment. Cheap; looks at no worker.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match &self.inner {
            Inner::Processes(shared) => shared.stats(),
            Inner::Inline(inline) => inline.stats(),
        }
    }

    /// Ends all workers at once, running tasks included. Tasks without an outcome fail with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), in whatever thread waits for them; their
    /// [`Phase`](crate::Phase) says whether they had begun.
    ///
    /// The same as dropping the pool, for one that other threads still use.
    pub fn terminate(&self) {
        match &self.inner {
            Inner::Processes(shared) => shared.terminate(),
            Inner::Inline(inline) => inline.terminate(),
        }
    }

    /// Waits until all workers have made their state and can run tasks, for `limit` at most.
    ///
    /// Not needed before tasks are given to the pool: they wait by themselves. On Inline it makes the state
    /// of the calling thread, and does not look at `limit`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) after that time, and what broke the pool.
    pub fn ready(&self, limit: Duration) -> Result<(), Error> {
        match &self.inner {
            Inner::Processes(shared) => shared.ready(after(limit)),
            Inner::Inline(inline) => inline.ready(),
        }
    }

    /// Replaces all workers by fresh ones, with fresh states. Tasks that have begun are finished by the
    /// old ones; all others are run by the new.
    ///
    /// On Inline the calling thread makes a new state.
    pub fn recycle(&self) {
        match &self.inner {
            Inner::Processes(shared) => {
                let mut core = shared.lock();
                core.recycle();
                core.wake_driver();
                shared.release(core);
            }
            Inner::Inline(inline) => inline.recycle(),
        }
    }

    /// Changes the number of workers. Those that stay keep their states; those that go finish the task
    /// that they have begun. On Inline nothing changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for no workers at all, and what prevents new
    /// workers from being started: then those that were started stay.
    pub fn resize(&self, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Err(Error::new(ErrorKind::Invalid, "resize a pool")
                .in_context(self.context())
                .detail("a pool needs at least one worker"));
        }
        let Inner::Processes(shared) = &self.inner else { return Ok(()) };
        let mut core = shared.lock();
        let resized = core.resize(count);
        core.wake_driver();
        shared.release(core);
        resized
    }
}

impl<S, X: DeserializeOwned + 'static> Pool<S, X> {
    /// How the pool goes: what its workers do with their time, which tasks were slow, who was replaced.
    ///
    /// Always kept; it costs a few nanoseconds for each task.
    #[must_use]
    pub fn report(&self) -> Report<X> {
        let account = match &self.inner {
            Inner::Processes(shared) => shared.report(),
            Inner::Inline(inline) => inline.report(),
        };
        Report::of(account, self.context())
    }

    /// Lets all tasks finish, ends all workers, and says how it went.
    ///
    /// # Errors
    ///
    /// What broke the pool, if something did, such as [`ErrorKind::Init`](crate::ErrorKind::Init) or
    /// [`ErrorKind::Start`](crate::ErrorKind::Start); [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) after
    /// [`Pool::terminate`]. There is no report then: call [`Pool::report`] before. The workers are gone in any case.
    pub fn shutdown(self) -> Result<Report<X>, Error> {
        let account = match &self.inner {
            Inner::Processes(shared) => shared.shutdown()?,
            Inner::Inline(inline) => inline.shutdown()?,
        };
        Ok(Report::of(account, self.context()))
    }
}

impl Pool<()> {
    /// See [`Context::map`].
    pub(crate) fn into_map<I, A, R, F>(
        self,
        inputs: I,
        function: F,
    ) -> Map<'static, (), (), I, A, R, F>
    where
        I: Iterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(A) -> R + Copy + 'static,
    {
        let function = function::plain::<F, A, R>(function);
        Map::new(feed::Feed::new(feed::Lender::Owned(Box::new(self)), inputs, function))
    }
}

impl<S, X> Drop for Pool<S, X> {
    fn drop(&mut self) {
        // Tasks may still hold on to the rest.
        self.terminate();
    }
}

impl<S: 'static, X> Pool<S, X> {
    /// Runs `function` on each input, and returns the results in the order of the inputs.
    ///
    /// Lazy: at most [`PoolBuilder::in_flight`] inputs are taken ahead of the results that were
    /// consumed, so inputs may be endless. Every input gets exactly one outcome. Dropping the iterator
    /// early cancels what has not begun.
    ///
    /// Tasks begin about in the order of the inputs: each worker gets as many ahead as it does in some 200 µs, so a later
    /// one may begin before an earlier one of another worker. What then waits behind a long one, for 5 ms, is given to
    /// whoever is free first, before all that came later. The same for tasks that are [submitted](Pool::submit).
    ///
    /// The function may change the worker's state; the next task on that worker sees the change, also
    /// after a panic.
    ///
    /// # Errors
    ///
    /// Each item is a `Result`: a failure is that of one task, and the others go on. Its
    /// [`kind`](crate::Error::kind):
    ///
    /// * [`Panicked`](crate::ErrorKind::Panicked), [`Died`](crate::ErrorKind::Died),
    ///   [`TimedOut`](crate::ErrorKind::TimedOut) after [`PoolBuilder::task_timeout`]: what became of it.
    /// * [`EncodeArguments`](crate::ErrorKind::EncodeArguments), [`DecodeArguments`](crate::ErrorKind::DecodeArguments),
    ///   [`EncodeResult`](crate::ErrorKind::EncodeResult), [`DecodeResult`](crate::ErrorKind::DecodeResult): a value did
    ///   not survive its way.
    /// * [`Capture`](crate::ErrorKind::Capture): what was captured could not be set, undone or brought back.
    /// * [`Cancelled`](crate::ErrorKind::Cancelled): the pool was ended before.
    /// * [`Init`](crate::ErrorKind::Init), [`Start`](crate::ErrorKind::Start) and others: what broke the pool.
    ///   [`Protocol`](crate::ErrorKind::Protocol): a worker sent what none sends.
    ///
    /// # Panics
    ///
    /// When the input iterator, an input's `Serialize`, a result's `Deserialize`, or what reads or merges a capture
    /// panics: in `next`, in this process.
    pub fn map<I, A, R, F>(&self, inputs: I, function: F) -> Map<'_, S, X, I::IntoIter, A, R, F>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        Map::new(self.feed::<_, A, R, F>(inputs, function))
    }

    /// Like [`Pool::map`], but returns each result as soon as it is there.
    ///
    /// [`MapUnordered::enumerated`] tells which input each belongs to.
    ///
    /// # Errors
    ///
    /// As [`Pool::map`]; [`TaskError::index`](crate::TaskError::index) is the input's index.
    pub fn map_unordered<I, A, R, F>(
        &self,
        inputs: I,
        function: F,
    ) -> MapUnordered<'_, S, X, I::IntoIter, A, R, F>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        MapUnordered::new(self.feed::<_, A, R, F>(inputs, function))
    }

    fn feed<I, A, R, F>(&self, inputs: I, function: F) -> feed::Feed<'_, S, X, I::IntoIter, A, R, F>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        let function = function::stateful::<F, S, A, R>(function);
        feed::Feed::new(feed::Lender::Borrowed(self), inputs.into_iter(), function)
    }
}
