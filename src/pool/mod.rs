//! Workers that make their state once and then run tasks. `README.md` beside this file has the
//! protocol.

mod batch;
mod builder;
mod core;
mod dispatch;
mod hear;
mod inherited;
mod inline;
mod map;
mod report;
mod task;
mod worker;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Context;
use crate::error::Error;
use crate::function;

pub use builder::PoolBuilder;
pub(crate) use inherited::{Indexed, Landed, index_of};
pub use map::{Enumerated, Map, MapUnordered};
pub use report::{Report, WorkerInfo, worker};

use self::core::Shared;
use inline::Inline;

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
pub struct Pool<S> {
    inner: Inner,
    in_flight: usize,
    /// The state lives in the workers; on Inline, in the threads that drive the pool.
    state: PhantomData<fn() -> S>,
}

enum Inner {
    Processes(Arc<Shared>),
    Inline(Inline),
}

impl<S> fmt::Debug for Pool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = std::any::type_name::<S>();
        let mut text = f.debug_struct("Pool");
        text.field("context", &self.context()).field("workers", &self.workers());
        text.field("state", &state).finish()
    }
}

impl<S> Pool<S> {
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

    /// Lets running tasks finish, ends all workers, and says how it went.
    ///
    /// # Errors
    ///
    /// What broke the pool, if something did: see [`ErrorKind::Init`](crate::ErrorKind::Init). The
    /// workers are gone in any case.
    pub fn shutdown(self) -> Result<Report, Error> {
        match self.inner {
            Inner::Processes(shared) => shared.shutdown(),
            Inner::Inline(inline) => Ok(inline.shutdown()),
        }
    }
}

impl<S: 'static> Pool<S> {
    /// Runs `function` on each input, and returns the results in the order of the inputs.
    ///
    /// Lazy: at most [`PoolBuilder::in_flight`] inputs are taken ahead of the results that were
    /// consumed, so inputs may be endless. Every input gets exactly one outcome. Dropping the iterator
    /// early cancels what has not begun.
    ///
    /// The function may change the worker's state; the next task on that worker sees the change, also
    /// after a panic.
    ///
    /// # Errors
    ///
    /// Each item is a `Result`: a failure is that of one task, and the others go on.
    ///
    /// # Panics
    ///
    /// When the input iterator panics, or the `Serialize` of an input: in `next`, in this process.
    pub fn map<I, A, R, F>(&self, inputs: I, function: F) -> Map<'_, S, I::IntoIter, A, R, F>
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
    ) -> MapUnordered<'_, S, I::IntoIter, A, R, F>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        MapUnordered::new(self.feed::<_, A, R, F>(inputs, function))
    }

    fn feed<I, A, R, F>(&self, inputs: I, function: F) -> map::Feed<'_, S, I::IntoIter, A, R, F>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(&mut S, A) -> R + Copy + 'static,
    {
        map::Feed::new(self, inputs.into_iter(), function::stateful::<F, S, A, R>(function))
    }
}
