//! An array that one process at a time may change.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Kind, Object};
use crate::error::{Error, ErrorKind};
use crate::sync::hold::{self, Hold, Patience};
use crate::woken::after;

const MAKING: &str = "make a locked array";
const LOCKING: &str = "lock a shared array";

/// An array of plain data in shared memory behind one lock, of fixed length.
///
/// It travels in arguments, results and worker state, on every context, as one descriptor, also to workers
/// that run already. The memory has no name and vanishes with the last process that holds it. Cloning is
/// cheap, and a clone is the same array.
///
/// The guard copies elements out and in, and lends no references: only what is asked for is copied, at
/// several gigabytes a second.
///
/// # When a holder dies
///
/// As with a [`sync::Mutex`](crate::sync::Mutex), the lock is free at once and poisoned, until somebody has
/// [recovered](LockedArray::recover) it. What the dead one had written is there, and the last of it may be
/// there in part.
///
/// # Forks
///
/// A child that is forked by who holds the lock does not hold it: its copy of the guard panics when it is used,
/// and does nothing when it is dropped.
///
/// # Platform notes
///
/// As for [`sync::Mutex`](crate::sync::Mutex).
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, LockedArray};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     // Rows of a matrix, each written as a whole.
///     let matrix = LockedArray::from_slice(&[[0.0f64; 3]; 100])?;
///     let child = Context::Spawn.process().start(matrix.clone(), |matrix: LockedArray<[f64; 3]>| {
///         let mut rows = matrix.lock().map_err(|error| error.to_string())?;
///         rows.write(10, &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
///         Ok::<_, String>(())
///     })?;
///     child.join()??;
///     assert_eq!(matrix.lock()?.get(11), Some([4.0, 5.0, 6.0]));
///     Ok(())
/// }
/// ```
pub struct LockedArray<T> {
    object: Object,
    elements: PhantomData<fn() -> T>,
}

impl<T: Pod> LockedArray<T> {
    /// Makes an array of `length` elements, all bytes of which are zero.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is no memory or no descriptor left, and [`ErrorKind::Invalid`] for more
    /// than an address can tell.
    pub fn zeroed(length: usize) -> Result<Self, Error> {
        const {
            assert!(size_of::<T>() > 0, "elements without a size need no shared memory");
        }
        let object = Object::new::<T>(Kind::Array, length, MAKING)?;
        Ok(Self { object, elements: PhantomData })
    }

    /// Copies a slice into shared memory.
    ///
    /// # Errors
    ///
    /// As [`LockedArray::zeroed`].
    pub fn from_slice(elements: &[T]) -> Result<Self, Error> {
        let this = Self::zeroed(elements.len())?;
        this.object.write(0, bytemuck::cast_slice(elements));
        Ok(this)
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.object.bytes() / size_of::<T>().max(1)
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the lock, without a limit.
    ///
    /// # Errors
    ///
    /// As [`sync::Mutex::lock`](crate::sync::Mutex::lock).
    pub fn lock(&self) -> Result<LockedArrayGuard<'_, T>, Error> {
        self.waiting(None, false)
    }

    /// Takes the lock if nobody holds it; else `None`, at once.
    ///
    /// # Errors
    ///
    /// As [`LockedArray::lock`].
    pub fn try_lock(&self) -> Result<Option<LockedArrayGuard<'_, T>>, Error> {
        let hold = hold::take(&self.object, Patience::None, false, LOCKING)?;
        Ok(hold.map(|hold| LockedArrayGuard { array: self, hold }))
    }

    /// Waits for the lock, for this long at most.
    ///
    /// # Errors
    ///
    /// As [`LockedArray::lock`], and [`ErrorKind::TimedOut`].
    pub fn lock_timeout(&self, limit: Duration) -> Result<LockedArrayGuard<'_, T>, Error> {
        self.waiting(Some(limit), false)
    }

    /// Waits for the lock, for this long at most, and takes it also if it is poisoned. When the guard is
    /// dropped in order, it is not any more.
    ///
    /// # Errors
    ///
    /// As [`LockedArray::lock_timeout`], but for the poison.
    pub fn recover(&self, limit: Duration) -> Result<LockedArrayGuard<'_, T>, Error> {
        self.waiting(Some(limit), true)
    }

    /// Whether [`lock`](LockedArray::lock) would fail. Another process can change that at any moment.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.object.is_poisoned()
    }

    fn waiting(
        &self,
        limit: Option<Duration>,
        mend: bool,
    ) -> Result<LockedArrayGuard<'_, T>, Error> {
        let patience = Patience::Until(limit.and_then(after));
        let hold = hold::take(&self.object, patience, mend, LOCKING)?;
        // Who waits has it, or an error.
        let hold = hold.ok_or_else(|| Error::new(ErrorKind::TimedOut, LOCKING))?;
        Ok(LockedArrayGuard { array: self, hold })
    }
}

impl<T> Clone for LockedArray<T> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), elements: PhantomData }
    }
}

impl<T> fmt::Debug for LockedArray<T> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.object.bytes() / size_of::<T>().max(1);
        write!(f, "LockedArray<{}>({length} elements)", type_name::<T>())
    }
}

impl<T: Pod> Serialize for LockedArray<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize::<T, S>(Kind::Array, serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for LockedArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize::<T, D>(Kind::Array, deserializer)?;
        Ok(Self { object, elements: PhantomData })
    }
}

/// The lock of a [`LockedArray`], held until this is dropped.
#[must_use = "the lock is released at once if the guard is dropped"]
pub struct LockedArrayGuard<'a, T: Pod> {
    array: &'a LockedArray<T>,
    hold: Hold<'a>,
}

impl<T: Pod> LockedArrayGuard<'_, T> {
    /// Whether a holder before this one died or panicked; only from [`LockedArray::recover`].
    #[must_use]
    pub fn was_poisoned(&self) -> bool {
        self.hold.was_poisoned()
    }

    /// A copy of one element; `None` behind the end.
    ///
    /// # Panics
    ///
    /// In a child that was forked while its parent held the lock; so do all others.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<T> {
        if index >= self.array.len() {
            return None;
        }
        let mut element = T::zeroed();
        self.read(index, std::slice::from_mut(&mut element));
        Some(element)
    }

    /// Replaces one element.
    ///
    /// # Panics
    ///
    /// When there is none with this index.
    pub fn set(&mut self, index: usize, element: T) {
        self.write(index, &[element]);
    }

    /// Copies elements out, from the one at `start` on, as many as fit into `elements`.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub fn read(&self, start: usize, elements: &mut [T]) {
        let place = self.place(start, elements.len());
        self.array.object.read(place, bytemuck::cast_slice_mut(elements));
    }

    /// Replaces elements, from the one at `start` on.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub fn write(&mut self, start: usize, elements: &[T]) {
        let place = self.place(start, elements.len());
        self.array.object.write(place, bytemuck::cast_slice(elements));
    }

    /// A copy of all elements.
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        let mut elements = vec![T::zeroed(); self.array.len()];
        self.read(0, &mut elements);
        elements
    }

    /// Where the bytes of so many elements begin.
    fn place(&self, start: usize, count: usize) -> usize {
        assert!(self.hold.is_ours(), "the lock belongs to the parent of this forked process");
        let length = self.array.len();
        let inside = start.checked_add(count).is_some_and(|end| end <= length);
        assert!(inside, "{count} elements at {start} are not inside of {length}");
        start * size_of::<T>()
    }
}

impl<T: Pod> Drop for LockedArrayGuard<'_, T> {
    fn drop(&mut self) {
        if self.hold.ends_in_order() {
            self.hold.mended();
        }
    }
}

impl<T: Pod> fmt::Debug for LockedArrayGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockedArrayGuard({:?})", self.array)
    }
}
