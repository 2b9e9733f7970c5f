//! Threads of our own that wait for the sake of futures: they make way for a fork.
//!
//! Such a thread stays a little when nobody awaits anything any more, since the next await is mostly not
//! long in coming. A program that was promised to be forkable, and that has no thread of its own, shall not
//! be refused for one of ours that has nothing to do.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a thread waits for.
pub(crate) trait Waited: Send + Sync {
    /// Sends the thread away, if nobody needs it.
    fn dismiss(&self) -> Dismissed;
}

/// What became of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dismissed {
    /// It ends now, whatever happens.
    Yes,
    /// Somebody needs it.
    No,
    /// Somebody is busy with it; ask again.
    Unknown,
}

struct Waiter {
    thread: JoinHandle<()>,
    waited: Weak<dyn Waited>,
}

impl Waiter {
    fn dismiss(&self) -> Dismissed {
        // A waker may do anything, also fork: that is refused, since somebody waits for this very thread.
        if self.thread.thread().id() == thread::current().id() {
            return Dismissed::No;
        }
        self.waited.upgrade().map_or(Dismissed::Yes, |waited| waited.dismiss())
    }
}

static WAITERS: Mutex<Vec<Waiter>> = Mutex::new(Vec::new());

/// How long a busy one is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes note of a thread.
pub(crate) fn note(thread: JoinHandle<()>, waited: Weak<dyn Waited>) {
    let mut waiters = lock();
    waiters.retain(|waiter| !waiter.thread.is_finished());
    waiters.push(Waiter { thread, waited });
}

/// Sends away those that nobody needs, and waits until they have ended.
pub(crate) fn dismiss_idle() {
    let end = Instant::now() + PATIENCE;
    loop {
        let (mut gone, mut unknown) = (Vec::new(), false);
        let mut waiters = lock();
        for waiter in std::mem::take(&mut *waiters) {
            match waiter.dismiss() {
                Dismissed::Yes => gone.push(waiter),
                answer => {
                    unknown |= answer == Dismissed::Unknown;
                    waiters.push(waiter);
                }
            }
        }
        drop(waiters);
        for waiter in gone {
            // Of the user's code only wakers run in it; if one panicked, that was shown.
            let _ = waiter.thread.join();
        }
        if !unknown || Instant::now() > end {
            return;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

fn lock() -> MutexGuard<'static, Vec<Waiter>> {
    WAITERS.lock().unwrap_or_else(PoisonError::into_inner)
}
