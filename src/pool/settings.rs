//! What the builder of a pool was told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use offspring_platform::{fork, lifeline};

use crate::capture::Set;
use crate::codec::Encoded;
use crate::function::Name;
use crate::launch::Specification;
use crate::state::{Entry, Mentions, Recipe};
use crate::supervisor::watchdog::Deadlines;

/// How each worker makes its state.
#[derive(Debug, Default, Clone)]
pub(super) struct Initialiser {
    pub(super) function: Option<Name>,
    pub(super) message: Arc<Encoded>,
    /// Shared objects in the arguments, which live as long as there may be new workers.
    pub(super) mentions: Vec<Arc<Entry>>,
}

/// How long the workers of a pool are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reuse {
    /// As long as the pool lives. What a task leaves behind in statics or in the state of its worker is
    /// seen by later tasks.
    #[default]
    Keep,
    /// Each `map` begins with fresh workers, with fresh states.
    PerMap,
    /// Each task runs with a fresh state, which nothing of an earlier task can have reached.
    ///
    /// On Linux, in a program that promised that it may be forked ([`allow_fork`](crate::allow_fork)), each
    /// task runs in a fork of a worker that has made its state: the initialiser, and what is done
    /// [at the end](crate::PoolBuilder::exit), run once for each worker, on a state that no task has touched,
    /// and a task costs a fork. The initialiser must leave no thread running, or all tasks fail and say so. Elsewhere
    /// each task has a fresh worker, and costs the start of a process, the initialiser and the end.
    PerTask,
}

/// See the head of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) specification: Specification,
    pub(super) initialiser: Initialiser,
    /// What workers have to know from the start, if they do not inherit it.
    pub(super) mentions: Mentions,
    /// Of the same, what they inherit by fork.
    pub(super) inherited: Vec<Weak<Recipe>>,
    pub(super) finaliser: Option<Name>,
    pub(super) reuse: Reuse,
    pub(super) tasks_per_worker: Option<u64>,
    pub(super) growth_limit: Option<u64>,
    pub(super) deadlines: Deadlines,
    pub(super) restart_budget: Option<u32>,
    pub(super) retries: u32,
    pub(super) pin: bool,
    /// How many intervals are kept for each worker; nothing is kept without.
    pub(super) timeline: Option<usize>,
    /// What was captured when the pool was built: for the initialiser, and what workers do at their end.
    pub(super) captured: Option<Arc<Set>>,
}

impl Settings {
    /// How many tasks a worker runs at most.
    pub(super) fn most_tasks(&self) -> Option<u64> {
        match self.reuse {
            Reuse::PerTask if !Self::copies() => Some(1),
            Reuse::PerTask | Reuse::Keep | Reuse::PerMap => self.tasks_per_worker,
        }
    }

    /// Whether workers are to run each task in a copy of themselves.
    fn copies() -> bool {
        fork::is_allowed() && !lifeline::IS_A_THREAD
    }

    /// Whether the pool gives up when so many workers in a row have failed to come up, some of them because they were
    /// killed.
    pub(super) fn gives_up(&self, failures: u32, kills: u32) -> bool {
        gives_up(self.restart_budget, failures, kills)
    }
}

fn gives_up(budget: Option<u32>, failures: u32, kills: u32) -> bool {
    match budget {
        Some(budget) => failures > budget,
        None => failures - kills >= PATIENCE || failures >= PATIENCE_WITH_KILLS,
    }
}

/// For workers that failed by themselves.
const PATIENCE: u32 = 3;

/// A kill comes from outside and passes, unless the initialiser needs more memory than there is.
const PATIENCE_WITH_KILLS: u32 = 20;

/// Before a worker that did not come up is replaced, some time passes; each time twice as much.
pub(super) fn pause_after(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);
    match failures {
        0 => Duration::ZERO,
        failures => FIRST.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_killed_is_no_failure_of_its_own() {
        for (failures, kills, expected) in
            [(1, 0, false), (2, 0, false), (3, 0, true), (3, 2, false), (4, 2, false), (5, 2, true)]
        {
            assert_eq!(gives_up(None, failures, kills), expected, "{failures}, {kills} killed");
        }
        assert!(!gives_up(None, 19, 19));
        assert!(gives_up(None, 20, 20), "somebody kills all");
        assert!(!gives_up(Some(1), 1, 1));
        assert!(gives_up(Some(1), 2, 2), "the program has said how many");
    }
}
