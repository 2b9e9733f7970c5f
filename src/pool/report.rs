//! What a pool and its workers tell about themselves.

use crate::child::worker::whoami;
use crate::{Context, Exit};

/// How a pool went. Returned by [`Pool::shutdown`](crate::Pool::shutdown).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub(super) tasks: u64,
    pub(super) replaced: u64,
    pub(super) abnormal: Vec<Exit>,
}

impl Report {
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
