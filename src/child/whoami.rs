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
    /// How many tasks it has done since it was set. Apart, because it changes with each task.
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Who this thread works for.
pub(crate) fn whoami() -> Option<Whoami> {
    let who = WHOAMI.get()?;
    Some(Whoami { tasks_done: who.tasks_done + DONE.get(), ..who })
}

/// Runs `run` as that worker, or as none: a process that a task starts is not that worker.
pub(crate) fn working_as<T>(who: Option<Whoami>, run: impl FnOnce() -> T) -> T {
    let _outer = Outer { who: WHOAMI.replace(who), done: DONE.replace(0) };
    run()
}

/// Whose worker this thread is again, also after a panic.
struct Outer {
    who: Option<Whoami>,
    done: u64,
}

impl Drop for Outer {
    fn drop(&mut self) {
        WHOAMI.set(self.who);
        DONE.set(self.done);
    }
}

/// From here on, this thread is that worker, or none.
pub(crate) fn work_as(who: Option<Whoami>) {
    WHOAMI.set(who);
    DONE.set(0);
}

/// It has done one more.
#[inline]
pub(crate) fn count_task() {
    DONE.set(DONE.get() + 1);
}
