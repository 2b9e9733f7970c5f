//! Who may start a child, and how.

use offspring_platform::fork::{self, Permission};
use offspring_platform::program;
use offspring_platform::signal::Blocked;
use offspring_platform::threads::{NotSingleThreaded, SingleThreaded};

use super::place::{DEEPEST, Place};
use super::{DOING, failed, handover, waiters};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::logging;

/// Both gates, after threads of our own that have nothing to do were sent away: the promise of the program's author, and the proof that there is one thread. Signals
/// stay blocked until the fork, so that no handler can start a second thread in between.
pub(crate) fn check_fork() -> Result<(Permission, SingleThreaded, Blocked), Error> {
    let permission = Permission::promised().ok_or_else(|| {
        Error::new(ErrorKind::ForkNotAllowed, DOING).in_context(Context::Fork).advice(
            "call `unsafe { offspring::allow_fork() }` once in `main`, in a test name Fork in \
             `#[offspring::test]`, or use spawn or forkserver",
        )
    })?;
    waiters::dismiss_idle();
    logging::flush();
    fork::flush_standard();
    let blocked = Blocked::all().map_err(|error| failed(Context::Fork, "signals", error))?;
    let witness = SingleThreaded::check(&blocked).map_err(|why| {
        let threads = match why {
            NotSingleThreaded::Threads(count) => count,
            NotSingleThreaded::Unknown => None,
        };
        Error::new(ErrorKind::Multithreaded { threads }, DOING)
            .in_context(Context::Fork)
            .advice("use spawn or forkserver, which work beside threads")
    })?;
    Ok((permission, witness, blocked))
}

/// Children of children without end are refused.
pub(crate) fn check_depth(context: Context) -> Result<(), Error> {
    let depth = Place::own().depth;
    if depth < DEEPEST {
        return Ok(());
    }
    Err(Error::new(ErrorKind::TooDeep, DOING)
        .in_context(context)
        .detail(format!("this process is already {} generations deep", depth))
        .advice("a task that starts children that start children has no end"))
}

/// A pool of so many workers, each of which may have pools itself, must have an end.
pub(crate) fn check_budget(context: Context, workers: usize) -> Result<(), Error> {
    let left = Place::own().processes;
    if u64::from(left) > workers as u64 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::TooDeep, "start a pool")
        .in_context(context)
        .detail(format!(
            "{workers} workers and a supervisor are more than the {left} processes that pools in this \
             process may have"
        ))
        .advice("pools inside of pools multiply: give the inner ones fewer workers"))
}

/// Children that are started by exec enter at `init`. Without it they would run the whole program, and
/// so they would in a program that has to ignore its environment.
pub(crate) fn check_initialized(context: Context) -> Result<(), Error> {
    if program::is_privileged() {
        return Err(Error::new(ErrorKind::Start, DOING)
            .in_context(context)
            .detail("this program runs with more rights than its user")
            .advice("use fork, which needs no note in the environment"));
    }
    if handover::init_was_called() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotInitialized, DOING).in_context(context).advice(
        "call `offspring::init()` first in `main`, in tests write `#[offspring::test]` or \
             `offspring::testing::enable!()`",
    ))
}
