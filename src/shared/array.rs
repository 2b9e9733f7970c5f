//! Atomics that all processes see.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};

use offspring_platform::region;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Kind, Object};
use crate::error::Error;

/// An atomic integer of the standard library, which may stand in a [`SharedArray`].
///
/// Nobody else can implement it.
pub trait Atomic: region::Atomic + sealed::Sealed {
    /// The integer that it holds.
    type Value;

    #[doc(hidden)]
    fn set(&self, value: Self::Value);
}

mod sealed {
    use std::sync::atomic::Ordering;

    pub trait Sealed {
        const NUMBER: u8;
    }

    macro_rules! atomics {
        ($($number:literal: $atomic:ident, $value:ty;)*) => {$(
            impl Sealed for super::$atomic {
                const NUMBER: u8 = $number;
            }

            impl super::Atomic for super::$atomic {
                type Value = $value;

                fn set(&self, value: $value) {
                    self.store(value, Ordering::Relaxed);
                }
            }
        )*};
    }

    atomics! {
        0: AtomicU8, u8;
        1: AtomicI8, i8;
        2: AtomicU16, u16;
        3: AtomicI16, i16;
        4: AtomicU32, u32;
        5: AtomicI32, i32;
        6: AtomicU64, u64;
        7: AtomicI64, i64;
        8: AtomicUsize, usize;
        9: AtomicIsize, isize;
    }
}

/// An array of atomics in shared memory, of fixed length.
///
/// It dereferences to a slice of atomics, which all processes read and write without a lock. It travels in
/// arguments, results and worker state, on every context, as one descriptor, also to workers that run
/// already. The memory has no name and vanishes with the last process that holds it. Cloning is cheap, and
/// a clone is the same array.
///
/// A process that dies leaves what it has stored. For values larger than an atomic, or several that belong
/// together, there are [`SharedValue`](crate::SharedValue), [`LockedArray`](crate::LockedArray) and
/// [`sync::Mutex`](crate::sync::Mutex).
///
/// What `Ordering` promises between threads holds between processes. The end of a child or of a task
/// orders too: who has its result sees what it stored before, also with `Relaxed`.
///
/// # Examples
///
/// ```standalone_crate
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use offspring::{Context, SharedArray};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let counts = SharedArray::<AtomicU64>::new(10)?;
///     let pool = Context::Spawn.pool().workers(2).init(counts.clone(), |counts| counts).build()?;
///     let count = |counts: &mut SharedArray<AtomicU64>, n: u64| {
///         counts[(n % 10) as usize].fetch_add(1, Ordering::Relaxed);
///     };
///     for done in pool.map(0..1000, count) {
///         done?;
///     }
///     assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 100));
///     Ok(())
/// }
/// ```
pub struct SharedArray<A> {
    object: Object,
    atomics: PhantomData<[A]>,
}

const DOING: &str = "make a shared array";

impl<A: Atomic> SharedArray<A> {
    const KIND: Kind = Kind::Atomics(A::NUMBER);

    /// Makes `length` atomics, all zero.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when there is no memory or no descriptor left, and
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for more than an address can tell.
    pub fn new(length: usize) -> Result<Self, Error> {
        let object = Object::new::<A>(Self::KIND, length, DOING)?;
        Ok(Self { object, atomics: PhantomData })
    }

    /// Makes atomics with these values.
    ///
    /// # Errors
    ///
    /// As [`SharedArray::new`].
    #[expect(clippy::should_implement_trait, reason = "the trait's method cannot fail")]
    pub fn from_iter(values: impl IntoIterator<Item = A::Value>) -> Result<Self, Error> {
        let values: Vec<_> = values.into_iter().collect();
        let this = Self::new(values.len())?;
        for (atomic, value) in this.iter().zip(values) {
            atomic.set(value);
        }
        Ok(this)
    }
}

impl<A: Atomic> Deref for SharedArray<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        self.object.atomics()
    }
}

impl<A> Clone for SharedArray<A> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), atomics: PhantomData }
    }
}

impl<A: Atomic> fmt::Debug for SharedArray<A> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedArray<{}>({} elements)", type_name::<A>(), self.len())
    }
}

impl<A: Atomic> Serialize for SharedArray<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.object.serialize::<A, S>(Self::KIND, serializer)
    }
}

impl<'de, A: Atomic> Deserialize<'de> for SharedArray<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize::<A, D>(Self::KIND, deserializer)?;
        Ok(Self { object, atomics: PhantomData })
    }
}
