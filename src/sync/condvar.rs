//! Waiting until another process has changed what a mutex protects.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytemuck::Pod;
use offspring_platform::waiting::{self, SLICE, Whom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Mutex, MutexGuard};
use crate::error::{Error, ErrorKind};
use crate::shared::object::{Kind, Object};
use crate::woken::after;

const WAITING: &str = "wait for a condition";

/// A condition that processes wait for, together with a [`Mutex`].
///
/// It travels in arguments, results and worker state, on every context, as one descriptor. Cloning is cheap,
/// and a clone is the same condition.
///
/// A notification that comes after [`wait`](Condvar::wait) has begun, in other words after its caller was seen
/// to have released the mutex, is never lost. As everywhere, somebody may be woken without one: so look at
/// the condition in a loop, or use [`wait_while`](Condvar::wait_while).
///
/// # When a process dies
///
/// One that dies while it waits harms nobody. If it dies in the moment in which it was chosen by
/// [`notify_one`](Condvar::notify_one), or was about to wake those whom it notified, others notice 100 ms
/// later at most. One that dies with the mutex poisons it, as always.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
/// use offspring::sync::{Condvar, Mutex};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let (turn, changed) = (Mutex::new(0u32)?, Condvar::new()?);
///     let both = (turn.clone(), changed.clone());
///     let child = Context::Spawn.process().start(both, |(turn, changed): (Mutex<u32>, Condvar)| {
///         let play = || {
///             let mut guard = changed.wait_while(turn.lock()?, |turn| *turn != 1)?;
///             *guard = 2;
///             Ok::<_, offspring::Error>(changed.notify_all())
///         };
///         play().map_err(|error| error.to_string())
///     })?;
///     *turn.lock()? = 1;
///     changed.notify_all();
///     drop(changed.wait_while(turn.lock()?, |turn| *turn != 2)?);
///     child.join()??;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Condvar(Object);

/// Whether a wait with a limit ended because of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time ran out.
    #[must_use]
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Makes a condition.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is no memory or no descriptor left.
    pub fn new() -> Result<Self, Error> {
        Object::new::<()>(Kind::Condvar, 0, "make a shared condition").map(Self)
    }

    /// Releases the lock, waits for a notification, and takes the lock again. Without a limit.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], for the second time; the lock is not held then. [`ErrorKind::Invalid`] with a guard
    /// that belongs to the parent of this forked process.
    pub fn wait<'a, T: Pod>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, Error> {
        let (mutex, _) = self.sleep(guard, None)?;
        mutex.lock()
    }

    /// As [`wait`](Condvar::wait), for this long at most.
    ///
    /// To take the lock again it gets the same time once more, so that somebody who keeps the lock for ever
    /// cannot keep the caller for ever.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait), and [`ErrorKind::TimedOut`] when the lock could not be taken again.
    pub fn wait_timeout<'a, T: Pod>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
        let (mutex, notified) = self.sleep(guard, after(limit))?;
        Ok((mutex.lock_timeout(limit)?, WaitTimeoutResult(!notified)))
    }

    /// Waits while `condition` holds, without a limit.
    ///
    /// # Errors
    ///
    /// As [`wait`](Condvar::wait).
    pub fn wait_while<'a, T: Pod>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<MutexGuard<'a, T>, Error> {
        while condition(&guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits while `condition` holds, for this long at most. If it holds still, the result has timed out.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Condvar::wait_timeout).
    pub fn wait_timeout_while<'a, T: Pod>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
        let end = after(limit);
        while condition(&guard) {
            if end.is_some_and(|end| end <= Instant::now()) {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let (mutex, _) = self.sleep(guard, end)?;
            guard = mutex.lock_timeout(limit)?;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Wakes one of those who wait, if there are any. More may wake.
    pub fn notify_one(&self) {
        waiting::notify(self.0.word(0), Whom::One);
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        waiting::notify(self.0.word(0), Whom::All);
    }

    /// Releases the lock and waits. Whether there was a notification.
    fn sleep<'a, T: Pod>(
        &self,
        guard: MutexGuard<'a, T>,
        end: Option<Instant>,
    ) -> Result<(&'a Mutex<T>, bool), Error> {
        if !guard.is_ours() {
            return Err(Error::new(ErrorKind::Invalid, WAITING)
                .detail("the lock belongs to the parent of this forked process"));
        }
        let mutex = guard.mutex();
        // Read under the lock: whoever changes the condition does so later, and notifies later still, so the
        // number is another then. That is also seen by those who sleep and whose wake-up was lost.
        let seen = self.0.word(0).load(Ordering::Acquire);
        drop(guard);
        Ok((mutex, waiting::changed(self.0.word(0), seen, end, SLICE)))
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar(..)")
    }
}

impl Serialize for Condvar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize::<(), S>(Kind::Condvar, serializer)
    }
}

impl<'de> Deserialize<'de> for Condvar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize::<(), D>(Kind::Condvar, deserializer).map(Self)
    }
}
