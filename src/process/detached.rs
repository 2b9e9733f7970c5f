//! Children that run on without a handle: kept alive here, and collected when somebody comes by.

use std::sync::{Mutex, PoisonError};

use offspring_platform::fd;
use offspring_platform::lifeline::Keeper;
use offspring_platform::transcript::Transcript;
use offspring_platform::wait;

use super::running::Running;
use crate::logging::Attached;
use crate::start::Ending;
use crate::supervisor::reported::reported;

pub(super) struct Detached {
    pub(super) pid: i32,
    pub(super) ending: Ending,
    pub(super) _keeper: Option<Keeper>,
    /// Its records still reach the logger.
    pub(super) _logs: Option<Attached>,
    /// Nobody will read it, but it does not grow without end.
    pub(super) transcript: Option<Transcript>,
    pub(super) generation: u64,
}

static DETACHED: Mutex<Vec<Detached>> = Mutex::new(Vec::new());

/// Takes over a child whose handle is given up.
pub(super) fn keep(running: Running) {
    if let Some(detached) = running.let_go() {
        DETACHED.lock().unwrap_or_else(PoisonError::into_inner).push(detached);
    }
}

/// Collects those that have ended.
pub(super) fn collect() {
    let mut list = DETACHED.lock().unwrap_or_else(PoisonError::into_inner);
    list.retain_mut(|child| {
        if let Some(transcript) = &mut child.transcript {
            // It grows, then; the next time gives back that much more.
            let _ = transcript.trim();
        }
        // Those that a forked child inherited are its parent's.
        child.generation == fd::generation()
            && match &mut child.ending {
                Ending::Own { watch } => {
                    // A wait that fails says nothing about the child, which would end if it were let go.
                    !matches!(wait::try_reap(child.pid, watch.as_ref()), Ok(Some(_)))
                }
                Ending::Reported { report, .. } => reported(report).is_none(),
            }
    });
}
