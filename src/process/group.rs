//! Children that belong together: the first failure stops them all.

use std::fmt;

use serde::de::DeserializeOwned;

use super::ending::{stop_all, wait_for_any};
use super::{Child, GRACE, Process};
use crate::error::Error;

/// Several child processes of which all must succeed.
///
/// Made by [`ProcessBuilder::start_group`](crate::ProcessBuilder::start_group). Dropping it stops them
/// all at once: SIGTERM to each, and after 200 ms SIGKILL to those that are left.
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

    /// The same, to ask one whether it lives, to stop it, or to wait for it.
    ///
    /// A result that is taken here is not there for [`ProcessGroup::join`] any more, which then fails with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    pub fn processes_mut(&mut self) -> &mut [Process<R>] {
        &mut self.processes
    }
}

impl<R: DeserializeOwned + 'static> ProcessGroup<R> {
    /// Waits for all, and returns their results in the order of their arguments.
    ///
    /// # Errors
    ///
    /// The first failure, in time; [`Error::worker`] is its index. All others are stopped before this returns, all at
    /// once: SIGTERM to each, and after 200 ms SIGKILL to those that are left.
    pub fn join(mut self) -> Result<Vec<R>, Error> {
        let mut results: Vec<Option<R>> = self.processes.iter().map(|_| None).collect();
        loop {
            let mut living = Vec::new();
            for (index, process) in self.processes.iter_mut().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                if process.is_alive() {
                    living.push(index);
                    continue;
                }
                // What is left is stopped by the drop, if this fails.
                results[index] = Some(process.finish().map_err(|error| error.of_worker(index))?);
                // Nothing of it is needed any more.
                process.child = Child::Gone;
            }
            if living.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            let running = living.iter().filter_map(|index| self.processes[*index].child.running());
            wait_for_any(&running.collect::<Vec<_>>(), None)
                .map_err(|error| Error::system("wait for a group of processes", error))?;
        }
    }
}

impl<R> Drop for ProcessGroup<R> {
    fn drop(&mut self) {
        let running = self.processes.iter_mut().filter_map(|process| process.child.running_mut());
        stop_all(running.collect(), GRACE);
        // One that not even a kill has ended is not to be waited for again.
        self.processes.iter_mut().for_each(|process| process.child = Child::Gone);
    }
}
