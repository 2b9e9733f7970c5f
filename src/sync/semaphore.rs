//! A number of permits that processes share.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::fd::generation;
use offspring_platform::waiting::{self, SLICE, Whom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::shared::object::{Kind, Object};
use crate::woken::after;

/// A number of permits, of which processes take one and give it back.
///
/// It travels in arguments, results and worker state, on every context, as one descriptor. Cloning is cheap,
/// and a clone is the same semaphore.
///
/// # When a process dies
///
/// The permits that it had are **not** given back: a permit does not know who has it, since it may be given
/// back by another process ([`Permit::forget`] and [`add_permits`](Semaphore::add_permits)). Whoever learns of
/// the death, from a join or a [`TaskError`](crate::TaskError), can add them. Where just one may be inside,
/// a [`Mutex`](super::Mutex) does notice. One that dies while it waits takes no permit; if it dies in the moment
/// in which it is woken, or within giving back, others notice 100 ms later at most.
///
/// # Forks
///
/// A child that is forked by who has a permit does not have it: dropping its copy does nothing.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
/// use offspring::sync::Semaphore;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     // Eight workers, of which two at a time may do what takes much memory.
///     let large = Semaphore::new(2)?;
///     let pool = Context::Spawn.pool().workers(8).init(large, |large| large).build()?;
///     let sum = pool.map(0..100u64, |large, n| {
///         let _permit = large.acquire();
///         vec![n; 1 << 16].iter().sum::<u64>() >> 16
///     });
///     assert_eq!(sum.map(|n| n.unwrap_or(0)).sum::<u64>(), 4950);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Semaphore(Object);

impl Semaphore {
    /// Makes a semaphore with so many permits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is no memory or no descriptor left.
    pub fn new(permits: u32) -> Result<Self, Error> {
        let object = Object::new::<()>(Kind::Semaphore, 0, "make a shared semaphore")?;
        object.word(PERMITS).store(permits, Ordering::Relaxed);
        Ok(Self(object))
    }

    /// Waits for a permit, without a limit.
    pub fn acquire(&self) -> Permit<'_> {
        // Without a limit it goes on until there is one.
        loop {
            if let Some(permit) = self.acquire_until(None) {
                return permit;
            }
        }
    }

    /// Takes a permit if there is one; else `None`, at once.
    #[must_use]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        // Acquire: what was done under a permit before it was given back is seen.
        let less = |permits: u32| permits.checked_sub(1);
        let taken = self.0.word(PERMITS).fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        taken.is_ok().then(|| Permit { semaphore: self, generation: generation() })
    }

    /// Waits for a permit, for this long at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`].
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Permit<'_>, Error> {
        self.acquire_until(after(limit)).ok_or_else(|| {
            Error::new(ErrorKind::TimedOut, "take a permit")
                .detail(format!("none was free within {limit:?}"))
        })
    }

    fn acquire_until(&self, end: Option<Instant>) -> Option<Permit<'_>> {
        waiting::until(self.0.word(WAITING), end, SLICE, || self.try_acquire())
    }

    /// Adds permits: those of a process that died, or that were [forgotten](Permit::forget), or new ones.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when there would be more than `u32::MAX`; nothing is added then.
    pub fn add_permits(&self, count: u32) -> Result<(), Error> {
        // Release: for the next that takes one.
        let more = |permits: u32| permits.checked_add(count);
        let added = self.0.word(PERMITS).fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        added.map_err(|permits| {
            Error::new(ErrorKind::Invalid, "add permits")
                .detail(format!("there are {permits}, and {count} more are too many"))
        })?;
        // All: several may have been added, and one that is woken may be about to die.
        waiting::made_room(self.0.word(WAITING), Whom::All);
        Ok(())
    }

    /// How many permits are free. Others can change that at any moment.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.word(PERMITS).load(Ordering::Relaxed)
    }
}

/// The word on which those sleep who wait.
const WAITING: usize = 0;
const PERMITS: usize = 1;

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Semaphore({} free)", self.available())
    }
}

impl Serialize for Semaphore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize::<(), S>(Kind::Semaphore, serializer)
    }
}

impl<'de> Deserialize<'de> for Semaphore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize::<(), D>(Kind::Semaphore, deserializer).map(Self)
    }
}

/// One permit of a [`Semaphore`], given back when this is dropped.
#[derive(Debug)]
#[must_use = "the permit is given back at once if it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    generation: u64,
}

impl Permit<'_> {
    /// Keeps the permit taken. Somebody else may give it back, by [`Semaphore::add_permits`].
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.generation == generation() {
            // It was one of at most `u32::MAX`; if others have added so many meanwhile, it is one too many.
            let _ = self.semaphore.add_permits(1);
        }
    }
}
