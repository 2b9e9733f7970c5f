//! What a pool and its workers tell about themselves.

use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;

use crate::child::worker::whoami;
use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::{Context, Exit};

/// What a worker left at its end.
pub(super) type Value = (usize, Result<(Vec<u8>, Vec<OwnedFd>), Error>);

/// What a pool notes as it goes.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) tasks: u64,
    pub(super) replaced: u64,
    pub(super) abnormal: Vec<Exit>,
    pub(super) values: Vec<Value>,
}

/// How a pool went. Returned by [`Pool::shutdown`](crate::Pool::shutdown).
#[derive(Debug)]
pub struct Report<X = ()> {
    tasks: u64,
    replaced: u64,
    abnormal: Vec<Exit>,
    values: Vec<Result<X, Error>>,
}

impl<X: DeserializeOwned + 'static> Report<X> {
    pub(super) fn of(account: Account, context: Context) -> Self {
        let Account { tasks, replaced, abnormal, values } = account;
        let open = |(worker, value): Value| {
            let (bytes, descriptors) = value?;
            codec::decode(bytes.into(), descriptors).map_err(|error| {
                Error::new(ErrorKind::DecodeResult, "read what a worker left at its end")
                    .in_context(context)
                    .of_worker(worker)
                    .detail(error.to_string())
            })
        };
        Self { tasks, replaced, abnormal, values: values.into_iter().map(open).collect() }
    }
}

impl<X> Report<X> {
    /// How many tasks got an outcome, also one that is a failure.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks
    }

    /// How many workers were replaced.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// How those workers ended that did not end in the ordinary way.
    #[must_use]
    pub fn abnormal_exits(&self) -> &[Exit] {
        &self.abnormal
    }

    /// What [`PoolBuilder::exit`](crate::PoolBuilder::exit) returned in the workers, in the order in which
    /// they ended: one value for each that ended in the ordinary way, also for those that were replaced.
    pub fn exit_values(&self) -> &[Result<X, Error>] {
        &self.values
    }

    /// Like [`Report::exit_values`], to own them.
    #[must_use]
    pub fn into_exit_values(self) -> Vec<Result<X, Error>> {
        self.values
    }
}

/// Which worker runs the current task. See [`worker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerInfo {
    context: Context,
    index: usize,
    generation: u64,
    tasks_done: u64,
}

impl WorkerInfo {
    /// The context of the pool.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// The place of the worker in its pool, from 0. A replacement has the place of the one it replaces.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many workers were in this place before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many tasks this worker has finished.
    #[must_use]
    pub fn tasks_done(&self) -> u64 {
        self.tasks_done
    }
}

/// In a task or an initialiser of a pool: which worker this is. `None` elsewhere.
#[must_use]
pub fn worker() -> Option<WorkerInfo> {
    let who = whoami()?;
    Some(WorkerInfo {
        context: who.context,
        index: usize::try_from(who.index).ok()?,
        generation: who.generation,
        tasks_done: who.tasks_done,
    })
}
