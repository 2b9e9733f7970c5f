//! One value that all processes read and write as a whole.

use std::fmt;
use std::time::Duration;

use bytemuck::Pod;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sync::{Mutex, MutexGuard};

/// A value of plain data in shared memory, read and written as a whole.
///
/// Like a [`sync::Mutex`](crate::sync::Mutex), by which it is made, for those who do not need a guard: no
/// reader ever sees half of a value. It travels in the same way. For one number,
/// [`SharedArray`](crate::SharedArray) of length 1 does without a lock.
///
/// # When a process dies
///
/// Nothing happens if it dies between calls. Each call holds the lock: `get` and `set` for the fraction of a microsecond
/// that it takes to copy the value, [`update`](SharedValue::update) for as long as its function runs. If a process dies
/// meanwhile, in whichever of them, or the function panics, the value is poisoned: [`get`](SharedValue::get) and `update`
/// fail until somebody calls [`set`](SharedValue::set), or [`recover`](Mutex::recover)s the [mutex](SharedValue::mutex).
/// What is in it then is what was in it before the call that was not finished; only one that died while it wrote may have
/// written a part.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, SharedValue};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let place = SharedValue::new([0.0, 0.0])?;
///     let child = Context::Spawn.process().start(place.clone(), |place: SharedValue<[f64; 2]>| {
///         place.update(|[x, y]| [x + 1.5, y - 0.5]).is_ok()
///     })?;
///     assert!(child.join()?);
///     assert_eq!(place.get()?, [1.5, -0.5]);
///     Ok(())
/// }
/// ```
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct SharedValue<T: Pod>(Mutex<T>);

impl<T: Pod> SharedValue<T> {
    /// Puts a value into shared memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when there is no memory or no descriptor left.
    pub fn new(value: T) -> Result<Self, Error> {
        Mutex::new(value).map(Self)
    }

    /// The value. Waits while another process reads or writes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned) when a process died or panicked while it had the lock, in
    /// any call, and nobody has [`set`](SharedValue::set) the value since.
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when this thread has the lock, where the system can tell: from
    /// within [`update`](SharedValue::update), or beside a guard.
    pub fn get(&self) -> Result<T, Error> {
        self.0.lock().map(|guard| *guard)
    }

    /// Replaces the value, whatever it was, and removes the poison if there is any.
    ///
    /// # Errors
    ///
    /// As [`get`](SharedValue::get), but for the poison.
    pub fn set(&self, value: T) -> Result<(), Error> {
        *self.0.recover(Duration::MAX)? = value;
        Ok(())
    }

    /// Replaces the value by what a function makes of it, in one step for all others, and returns the new one.
    ///
    /// # Errors
    ///
    /// As [`get`](SharedValue::get).
    pub fn update(&self, change: impl FnOnce(T) -> T) -> Result<T, Error> {
        let mut guard = self.0.lock()?;
        let new = change(*guard);
        *guard = new;
        Ok(new)
    }

    /// Waits for the lock, for this long at most, to look at the value and change it.
    ///
    /// # Errors
    ///
    /// As [`get`](SharedValue::get), and [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut).
    pub fn lock_timeout(&self, limit: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.0.lock_timeout(limit)
    }

    /// The mutex that the value is in, for all that there is beside this. A clone is the same.
    #[must_use]
    pub fn mutex(&self) -> &Mutex<T> {
        &self.0
    }
}

impl<T: Pod> Clone for SharedValue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Pod> fmt::Debug for SharedValue<T> {
    /// The type; the lock is not waited for, so the value is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedValue<{}>(..)", std::any::type_name::<T>())
    }
}
