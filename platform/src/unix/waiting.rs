//! Waiting for other processes, with a limit, and in a way that no death of one can break.
//!
//! Two forms. [`until`] repeats an attempt until it succeeds, and those who make room say [`made_room`].
//! [`changed`] waits until a counter has changed, and those who have news say [`notify`]. Who sleeps in another
//! way, for several things at once, says [`will_sleep`], and is woken by those to whom [`must_wake`] says yes.
//!
//! Nobody sleeps longer than a *slice* without a look. A process can be killed after it changed what
//! others wait for and before it woke them, and a wake-up can go to one that is being killed: then
//! the others come a slice late. Nothing else depends on it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::announce::{self, ANNOUNCED, announce};
use crate::os::park;

/// The longest sleep of those whose wake-up can only be lost with a process that dies.
pub const SLICE: Duration = Duration::from_millis(100);

/// How often an attempt is repeated before the first sleep, which costs as much as some hundred of them.
const SPINS: u32 = 50;

/// Who is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// One of those who wait.
    One,
    /// All of them.
    All,
}

/// Makes attempts until one succeeds. `None`: the limit has passed, and the last attempt failed.
///
/// `word` belongs to this waiting alone, and is 0 at first. Who makes an attempt of others possible
/// calls [`made_room`] with it.
pub fn until<T>(
    word: &AtomicU32,
    limit: Option<Instant>,
    slice: Duration,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    for _ in 0..SPINS {
        if let Some(done) = attempt() {
            return Some(done);
        }
        std::hint::spin_loop();
    }
    loop {
        let time = left(limit, slice);
        announce(word);
        if let Some(done) = attempt() {
            return Some(done);
        }
        park::wait(word, ANNOUNCED, time?);
    }
}

/// Wakes those who wait in [`until`], if there may be any.
///
/// With [`Whom::One`], one attempt and no more must have become possible, and whoever succeeds must call this
/// when it makes it possible again.
pub fn made_room(word: &AtomicU32, whom: Whom) {
    if must_wake(word) {
        wake(word, whom);
    }
}

/// Says that somebody will sleep in a way of its own, and must be woken. To be followed by a last look.
pub fn will_sleep(word: &AtomicU32) {
    announce(word);
}

/// After something was given: whether somebody has said [`will_sleep`] since the last yes.
#[must_use]
pub fn must_wake(word: &AtomicU32) -> bool {
    announce::must_wake(word)
}

/// Waits until `counter` is not `seen` any more. False: the limit has passed, and it still is.
///
/// Acquire: what was done before the [`notify`] is seen.
#[must_use]
pub fn changed(counter: &AtomicU32, seen: u32, limit: Option<Instant>, slice: Duration) -> bool {
    for _ in 0..SPINS {
        if counter.load(Ordering::Acquire) != seen {
            return true;
        }
        std::hint::spin_loop();
    }
    loop {
        let time = left(limit, slice);
        if counter.load(Ordering::Acquire) != seen {
            return true;
        }
        let Some(time) = time else { return false };
        // The kernel compares once more, in one step with falling asleep.
        park::wait(counter, seen, time);
    }
}

/// Changes the counter, and wakes those who wait in [`changed`].
pub fn notify(counter: &AtomicU32, whom: Whom) {
    // Release: what was done before is seen by those who see the change.
    counter.fetch_add(1, Ordering::Release);
    wake(counter, whom);
}

/// Wakes those who sleep on a word that was changed.
pub fn wake(word: &AtomicU32, whom: Whom) {
    // It fails on memory that is not there, and a reference says that it is.
    let _ = match whom {
        Whom::One => park::wake(word),
        Whom::All => park::wake_all(word),
    };
}

/// How long to sleep next; `None` when the limit has passed.
fn left(limit: Option<Instant>, slice: Duration) -> Option<Duration> {
    let Some(limit) = limit else { return Some(slice) };
    let left = limit.saturating_duration_since(Instant::now());
    (!left.is_zero()).then(|| left.min(slice))
}
