//! Which worker runs on this thread.

use std::cell::Cell;

use crate::context::Context;

/// What [`worker`](crate::worker) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whoami {
    pub(crate) context: Context,
    pub(crate) index: u64,
    pub(crate) generation: u64,
    pub(crate) tasks_done: u64,
}

thread_local! {
    static WHOAMI: Cell<Option<Whoami>> = const { Cell::new(None) };
}

/// Who this thread works for.
pub(crate) fn whoami() -> Option<Whoami> {
    WHOAMI.get()
}

/// Runs `run` as that worker.
pub(crate) fn working_as<T>(who: Whoami, run: impl FnOnce() -> T) -> T {
    let outer = WHOAMI.replace(Some(who));
    let result = run();
    WHOAMI.set(outer);
    result
}
