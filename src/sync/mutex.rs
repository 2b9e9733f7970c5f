//! A value that one process at a time may change.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hold::{self, Hold, Patience};
use crate::error::Error;
use crate::shared::object::{Kind, Object};
use crate::woken::after;

const LOCKING: &str = "lock a shared mutex";

/// A value in shared memory behind a lock.
///
/// It travels in arguments, results and worker state, on every context, as one descriptor, also to workers
/// that run already. The memory has no name and vanishes with the last process that holds it. Cloning is
/// cheap, and a clone is the same mutex.
///
/// The guard has a **copy** of the value, which is written back when the guard is dropped, if it was borrowed
/// mutably. So a holder that dies in the middle of its work has changed nothing. For large arrays, of which
/// only parts are needed, there is [`LockedArray`](crate::LockedArray).
///
/// # When a holder dies
///
/// The lock is free again, and *poisoned*: [`lock`](Mutex::lock) fails with
/// [`ErrorKind::Poisoned`](crate::error::ErrorKind::Poisoned), for everybody, until somebody has locked it by
/// [`recover`](Mutex::recover), looked after what the lock protects, and dropped that guard. The value
/// itself is what it was before the dead one locked it, except if it died within the few nanoseconds of writing it
/// back: then it may be partly new. A holder that panics is like one that dies, and its changes are dropped.
///
/// A holder that is stopped, or works for ever, holds the lock: that is what
/// [`lock_timeout`](Mutex::lock_timeout) is for.
///
/// # Forks
///
/// A child that is forked by who holds the lock does not hold it. Its copy of the guard is a copy of the
/// value, and nothing happens when it is dropped.
///
/// # Platform notes
///
/// * Linux: the holder is a thread, and the kernel notices its end. A thread that locks twice gets an error.
///   Those who wait look every 20 ms. Of more than 2,048 locks that one thread holds when it dies, the kernel
///   leaves the rest held.
/// * macOS, and Linux with a C library other than glibc: the holder is a process, known by its number and the
///   time it began. Those who wait look every 20 ms whether it lives; on Linux that needs `/proc`.
///   A holder that executes another program holds on, as it is the same process.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
/// use offspring::sync::Mutex;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     // The least and the most of all numbers, which belong together.
///     let range = Mutex::new([u64::MAX, 0])?;
///     let pool = Context::Spawn.pool().workers(2).init(range.clone(), |range| range).build()?;
///     let note = |range: &mut Mutex<[u64; 2]>, n: u64| {
///         let square = n * n % 1009;
///         let mut range = range.lock().map_err(|error| error.to_string())?;
///         *range = [range[0].min(square), range[1].max(square)];
///         Ok::<_, String>(())
///     };
///     for done in pool.map(1..1009, note) {
///         done??;
///     }
///     assert_eq!(*range.lock()?, [1, 1008]);
///     Ok(())
/// }
/// ```
pub struct Mutex<T> {
    pub(super) object: Object,
    value: PhantomData<fn() -> T>,
}

impl<T: Pod> Mutex<T> {
    /// Makes a mutex with a value in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::error::ErrorKind::System) when there is no memory or no descriptor left.
    pub fn new(value: T) -> Result<Self, Error> {
        let object = Object::new::<T>(Kind::Mutex, 1, "make a shared mutex")?;
        object.write(0, bytemuck::bytes_of(&value));
        Ok(Self { object, value: PhantomData })
    }

    /// Waits for the lock, without a limit.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Poisoned`](crate::error::ErrorKind::Poisoned) when a holder died or panicked, and nobody has
    ///   called [`recover`](Mutex::recover) since.
    /// * [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) when this thread holds the lock already, where
    ///   the system can tell.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        self.waiting(None, false)
    }

    /// Takes the lock if nobody holds it; else `None`, at once.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`].
    pub fn try_lock(&self) -> Result<Option<MutexGuard<'_, T>>, Error> {
        let hold = hold::take(&self.object, Patience::None, false, LOCKING)?;
        Ok(hold.map(|hold| MutexGuard::new(self, hold)))
    }

    /// Waits for the lock, for this long at most.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], and [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut).
    pub fn lock_timeout(&self, limit: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.waiting(Some(limit), false)
    }

    /// Waits for the lock, for this long at most, and takes it also if it is poisoned.
    ///
    /// [`MutexGuard::was_poisoned`] says whether it was. When the guard is dropped in order, it is not any more.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock_timeout`], but for the poison.
    pub fn recover(&self, limit: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.waiting(Some(limit), true)
    }

    /// Whether [`lock`](Mutex::lock) would fail. Another process can change that at any moment.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.object.is_poisoned()
    }

    fn waiting(&self, limit: Option<Duration>, mend: bool) -> Result<MutexGuard<'_, T>, Error> {
        let patience = Patience::Until(limit.and_then(after));
        let hold = hold::take(&self.object, patience, mend, LOCKING)?;
        // Who waits has it, or an error.
        let hold = hold.ok_or_else(|| Error::new(crate::error::ErrorKind::TimedOut, LOCKING))?;
        Ok(MutexGuard::new(self, hold))
    }
}

impl<T> Clone for Mutex<T> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    /// The type and whether it is poisoned. The lock is not waited for, so the value is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let poisoned = if self.object.is_poisoned() { "poisoned" } else { ".." };
        write!(f, "Mutex<{}>({poisoned})", type_name::<T>())
    }
}

impl<T: Pod> Serialize for Mutex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize::<T, S>(Kind::Mutex, serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Mutex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize::<T, D>(Kind::Mutex, deserializer)?;
        Ok(Self { object, value: PhantomData })
    }
}

/// The lock of a [`Mutex`], held until this is dropped, with a copy of its value.
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct MutexGuard<'a, T: Pod> {
    mutex: &'a Mutex<T>,
    hold: Hold<'a>,
    value: T,
    /// It was borrowed mutably.
    changed: bool,
}

impl<'a, T: Pod> MutexGuard<'a, T> {
    fn new(mutex: &'a Mutex<T>, hold: Hold<'a>) -> Self {
        let mut value = T::zeroed();
        mutex.object.read(0, bytemuck::bytes_of_mut(&mut value));
        Self { mutex, hold, value, changed: false }
    }

    /// Whether a holder before this one died or panicked; only from [`Mutex::recover`].
    #[must_use]
    pub fn was_poisoned(&self) -> bool {
        self.hold.was_poisoned()
    }

    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }

    pub(super) fn is_ours(&self) -> bool {
        self.hold.is_ours()
    }
}

impl<T: Pod> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Pod> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: Pod> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.hold.ends_in_order() {
            if self.changed {
                self.mutex.object.write(0, bytemuck::bytes_of(&self.value));
            }
            self.hold.mended();
        }
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
