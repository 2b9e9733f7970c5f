//! The lock of a region: one thread of one process has it, and when that dies, the next is told.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::fd::generation;
use super::owner::Taken;
use super::region::Region;
use super::waiting::{self, Whom};

/// How long somebody waits before it looks whether the owner lives.
const SLICE: Duration = Duration::from_millis(20);

/// The lock of a region, held by this thread until it is dropped.
///
/// In a forked child, the copy of one that its parent held is nothing, and dropping it does nothing.
#[derive(Debug)]
pub struct Held<'a> {
    region: &'a Region,
    generation: u64,
    /// It belongs to a thread.
    not_send: PhantomData<*const ()>,
}

/// Why somebody does not have the lock.
#[derive(Debug)]
pub enum Refused {
    /// Another has it, also at the end of the time.
    Busy,
    /// This thread has it already. Not every system can tell; there it is [`Refused::Busy`].
    IsOurs,
    /// The system reports this, which it does only for memory that is not what it should be.
    System(io::Error),
}

impl Region {
    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn try_lock(&self) -> Result<Held<'_>, Refused> {
        self.attempt().unwrap_or(Err(Refused::Busy))
    }

    /// Waits for the lock; without a limit if there is none.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn lock(&self, limit: Option<Instant>) -> Result<Held<'_>, Refused> {
        let taken = waiting::until(self.queue(), limit, SLICE, || self.attempt());
        taken.unwrap_or(Err(Refused::Busy))
    }

    fn attempt(&self) -> Option<Result<Held<'_>, Refused>> {
        Some(match self.owner().try_take() {
            Ok(Taken::Not) => return None,
            Ok(Taken::IsOurs) => Err(Refused::IsOurs),
            Ok(taken) => {
                let held = Held { region: self, generation: generation(), not_send: PhantomData };
                self.held.fetch_add(1, Ordering::Relaxed);
                if taken == Taken::FromTheDead {
                    held.set_poisoned(true);
                }
                Ok(held)
            }
            Err(error) => Err(Refused::System(error)),
        })
    }

    /// Whether the last that had the lock, or one before it, did not come to an end with it.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poison().load(Ordering::Relaxed) != 0
    }
}

impl<'a> Held<'a> {
    /// The region.
    #[must_use]
    pub fn region(&self) -> &'a Region {
        self.region
    }

    /// Whether this process holds the lock; false in a forked child of the one that does.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.generation == generation()
    }

    /// Says whether what the lock protects may be half done. An owner that dies says yes.
    pub fn set_poisoned(&self, poisoned: bool) {
        if self.is_ours() {
            self.region.poison().store(poisoned.into(), Ordering::Relaxed);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        // It is ours, so the system has no reason to refuse; if it does, the mapping stays, see `Region`.
        if self.region.owner().release().is_ok() {
            self.region.held.fetch_sub(1, Ordering::Relaxed);
            waiting::made_room(self.region.queue(), Whom::One);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::sync::Barrier;

    use super::*;
    use crate::fd::duplicate;

    fn again(region: &Region) -> Region {
        Region::receive(duplicate(region.as_fd()).unwrap(), 7, region.bytes()).unwrap()
    }

    #[test]
    fn one_has_it_and_others_wait() {
        let region = Region::new(7, 8).unwrap();
        let other = again(&region);
        let held = region.try_lock().unwrap();
        assert!(matches!(region.try_lock(), Err(Refused::IsOurs | Refused::Busy)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let limit = Instant::now() + Duration::from_millis(30);
                assert!(matches!(other.lock(Some(limit)), Err(Refused::Busy)));
                assert!(Instant::now() >= limit);
            });
        });
        drop(held);
        drop(other.try_lock().unwrap());
        assert!(!region.is_poisoned());
    }

    #[test]
    fn threads_count_exactly_through_two_mappings() {
        let region = Region::new(7, 8).unwrap();
        let start = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = again(&region);
                    start.wait();
                    for _ in 0..20_000 {
                        let _held = mine.lock(None).unwrap();
                        let mut bytes = [0; 8];
                        mine.read(0, &mut bytes);
                        mine.write(0, &(u64::from_ne_bytes(bytes) + 1).to_ne_bytes());
                    }
                });
            }
        });
        let mut bytes = [0; 8];
        region.read(0, &mut bytes);
        assert_eq!(u64::from_ne_bytes(bytes), 80_000);
    }

    /// Where owners are threads; elsewhere the tests with processes show the same.
    #[cfg(all(target_os = "linux", target_env = "gnu", not(offspring_force_portable)))]
    #[test]
    fn a_thread_that_ends_with_it_leaves_it_poisoned_to_the_next() {
        let region = Region::new(7, 8).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(again(&region).try_lock().unwrap()));
        });
        let held = region.lock(Some(Instant::now() + Duration::from_secs(60))).unwrap();
        assert!(region.is_poisoned());
        held.set_poisoned(false);
        drop(held);
        drop(region.try_lock().unwrap());
        assert!(!region.is_poisoned());
    }

    #[test]
    fn bytes_of_every_length_at_every_place() {
        let region = Region::new(7, 64).unwrap();
        for at in 0..20 {
            for length in 0..40 {
                let bytes: Vec<u8> = (0..length).map(|n| (n * 7 + at + 1) as u8).collect();
                region.write(0, &[0xee; 64]);
                region.write(at, &bytes);
                let mut all = [0; 64];
                region.read(0, &mut all);
                assert_eq!(all[at..at + length], bytes, "{length} at {at}");
                let outside = all[..at].iter().chain(&all[at + length..]);
                assert!(outside.copied().all(|byte| byte == 0xee), "{length} at {at}");
                let mut back = vec![0; length];
                region.read(at, &mut back);
                assert_eq!(back, bytes, "{length} at {at}");
            }
        }
    }

    #[test]
    fn another_tag_or_size_is_refused() {
        let region = Region::new(7, 64).unwrap();
        let fd = || duplicate(region.as_fd()).unwrap();
        assert!(Region::receive(fd(), 8, 64).is_err());
        assert!(Region::receive(fd(), 7, 1 << 20).is_err());
        assert!(Region::receive(fd(), 7, usize::MAX).is_err());
        assert!(Region::new(7, usize::MAX).is_err());
    }
}
