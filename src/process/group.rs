//! Children that belong together: the first failure stops them all.

use std::fmt;

use offspring_platform::poll::{self, Interest};
use serde::de::DeserializeOwned;

use super::{Child, Process};
use crate::error::Error;
use crate::logging::{self, Bell};

/// Several child processes of which all must succeed.
///
/// Made by [`ProcessBuilder::start_group`](crate::ProcessBuilder::start_group). Dropping it stops them
/// all.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     let group = Context::Spawn.process().start_group([1u32, 2, 3], |n| n * n)?;
///     assert_eq!(group.join()?, [1, 4, 9]);
///     Ok(())
/// }
/// ```
#[must_use = "dropping a group stops its processes; `join` it"]
pub struct ProcessGroup<R> {
    processes: Vec<Process<R>>,
}

impl<R> fmt::Debug for ProcessGroup<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessGroup").field(&self.processes).finish()
    }
}

impl<R> ProcessGroup<R> {
    pub(super) fn new() -> Self {
        Self { processes: Vec::new() }
    }

    pub(super) fn push(&mut self, process: Process<R>) {
        self.processes.push(process);
    }

    /// The processes, in the order of their arguments.
    pub fn processes(&self) -> &[Process<R>] {
        &self.processes
    }
}

impl<R: DeserializeOwned + 'static> ProcessGroup<R> {
    /// Waits for all, and returns their results in the order of their arguments.
    ///
    /// # Errors
    ///
    /// The first failure, in time; [`Error::worker`] is its index. All others are stopped before this
    /// returns.
    pub fn join(self) -> Result<Vec<R>, Error> {
        let mut waiting: Vec<(usize, Process<R>)> =
            self.processes.into_iter().enumerate().collect();
        let mut results: Vec<Option<R>> = waiting.iter().map(|_| None).collect();
        while !waiting.is_empty() {
            wait_for_one(&mut waiting)?;
            let mut still = Vec::with_capacity(waiting.len());
            for (index, mut process) in waiting.drain(..) {
                if process.is_alive() {
                    still.push((index, process));
                    continue;
                }
                // What is left in `still` and `waiting` is stopped by the drop, if this fails.
                results[index] = Some(process.join().map_err(|error| error.of_worker(index))?);
            }
            waiting = still;
        }
        Ok(results.into_iter().flatten().collect())
    }
}

/// Waits until at least one of them may have ended.
fn wait_for_one<R>(processes: &mut [(usize, Process<R>)]) -> Result<(), Error> {
    let fail = |error| Error::system("wait for a group of processes", error);
    if logging::is_due(true) {
        logging::deliver();
        return Ok(());
    }
    let bell = logging::bell();
    let mut timeout = None;
    let mut interests: Vec<Interest<'_>> = Vec::new();
    for (_, process) in &*processes {
        match &process.child {
            Child::Running(running) => {
                if running.exit().is_some() {
                    return Ok(());
                }
                running.interests(&mut interests, &mut timeout).map_err(fail)?;
            }
            Child::Inline(_) | Child::Gone => return Ok(()),
        }
    }
    let own = interests.len();
    interests.extend(bell.as_ref().and_then(Bell::interest));
    poll::wait(&mut interests, timeout).map_err(fail)?;
    if let Some(bell) = bell.as_ref().filter(|_| interests[own..].iter().any(Interest::can_read)) {
        bell.clear();
        logging::deliver();
    }
    Ok(())
}
