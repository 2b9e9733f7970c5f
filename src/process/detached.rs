//! Children that run on without a handle: kept alive here, and collected when somebody comes by.

use std::sync::{Mutex, PoisonError};

use offspring_platform::fd;
use offspring_platform::lifeline::Keeper;
use offspring_platform::wait;

use super::running::Running;
use crate::logging::Attached;
use crate::start::Ending;

struct Detached {
    pid: i32,
    ending: Ending,
    _keeper: Option<Keeper>,
    /// Its records still reach the logger.
    _logs: Option<Attached>,
    generation: u64,
}

static DETACHED: Mutex<Vec<Detached>> = Mutex::new(Vec::new());

/// Takes over a child whose handle is given up.
pub(super) fn keep(running: Running) {
    let (keeper, ending, pid, exit, logs) = running.let_go();
    if exit.is_none() {
        let generation = fd::generation();
        let detached = Detached { pid, ending, _keeper: keeper, _logs: logs, generation };
        DETACHED.lock().unwrap_or_else(PoisonError::into_inner).push(detached);
    }
}

/// Collects those that have ended.
pub(super) fn collect() {
    let mut list = DETACHED.lock().unwrap_or_else(PoisonError::into_inner);
    list.retain_mut(|child| {
        // Those that a forked child inherited are its parent's.
        child.generation == fd::generation()
            && match &mut child.ending {
                Ending::Own { .. } => matches!(wait::try_reap(child.pid), Ok(None)),
                Ending::Reported { report, .. } => super::running::reported(report).is_none(),
            }
    });
}
