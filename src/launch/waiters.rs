//! Threads of our own that wait for the sake of futures: they make way for a fork.
//!
//! Such a thread stays a little when nobody awaits anything any more, since the next await is mostly not
//! long in coming. A program that was promised to be forkable, and that has no thread of its own, shall not
//! be refused for one of ours that has nothing to do.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::{self, JoinHandle};

/// What a thread waits for.
pub(crate) trait Waited: Send + Sync {
    /// Sends the thread away, if nobody needs it: then it ends now, whatever happens. Whether it does. Waits for
    /// what it runs of the user's code, but not for ever.
    fn dismiss(&self) -> bool;
}

struct Waiter {
    thread: JoinHandle<()>,
    waited: Weak<dyn Waited>,
}

impl Waiter {
    fn dismiss(&self) -> bool {
        // A waker may do anything, also fork: that is refused, since somebody waits for this very thread.
        if self.thread.thread().id() == thread::current().id() {
            return false;
        }
        self.waited.upgrade().is_none_or(|waited| waited.dismiss())
    }
}

static WAITERS: Mutex<Vec<Waiter>> = Mutex::new(Vec::new());

/// Takes note of a thread.
pub(crate) fn note(thread: JoinHandle<()>, waited: Weak<dyn Waited>) {
    let mut waiters = lock();
    waiters.retain(|waiter| !waiter.thread.is_finished());
    waiters.push(Waiter { thread, waited });
}

/// Sends away those that nobody needs, and waits until they have ended.
pub(crate) fn dismiss_idle() {
    // Asked without the lock, which is taken where pools have theirs. A thread that forks meanwhile is refused
    // for this one anyway.
    let waiters = std::mem::take(&mut *lock());
    let (idle, needed): (Vec<Waiter>, Vec<Waiter>) = waiters.into_iter().partition(Waiter::dismiss);
    lock().extend(needed);
    for waiter in idle {
        // Of the user's code only wakers run in it; if one panicked, that was shown.
        let _ = waiter.thread.join();
    }
}

/// Calls these wakers. If some panic, the first panic goes on when all were called: the others belong to others.
pub(crate) fn call_all(wakers: Vec<Waker>) {
    let mut first = None;
    for waker in wakers {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            match first {
                None => first = Some(panic),
                // A payload may panic when it is dropped.
                Some(_) => std::mem::forget(panic),
            }
        }
    }
    let Some(panic) = first else { return };
    if thread::panicking() {
        // A second panic would end the program.
        std::mem::forget(panic);
    } else {
        resume_unwind(panic);
    }
}

fn lock() -> MutexGuard<'static, Vec<Waiter>> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}
