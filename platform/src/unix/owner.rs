//! Who owns a lock: what the systems' halves have in common, and the word by which a system does it whose
//! kernel does not know owners.
//!
//! The word is 0, or says which process owns it: its number and when it began, which together mean one process
//! only. Whoever finds it owned asks the system whether that process lives, and takes its place if not. As
//! that is one compare-and-swap with the very word that was asked about, one of several takes it, and never
//! from anybody who lives: the dead do not change the word, and no later process has it.

#[cfg(any(test, target_os = "macos"))]
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was free, and is ours now.
    Free,
    /// Its owner had died, and it is ours now.
    FromTheDead,
    /// Somebody else has it.
    Not,
    /// This thread has it already, where that can be told.
    IsOurs,
}

/// How many bits are for the time at which a process began: microseconds, which begin anew after four years.
#[cfg(any(test, target_os = "macos"))]
const TIME_BITS: u32 = 47;

/// One process, as a word; never 0.
#[cfg(any(test, target_os = "macos"))]
pub(crate) fn identity(pid: u32, began: u64) -> u64 {
    // 17 bits are enough: numbers of processes end at 99,999 (xnu, `PID_MAX`).
    (u64::from(pid) << TIME_BITS) | (began & ((1 << TIME_BITS) - 1))
}

/// The number of the process in a word.
#[cfg(any(test, target_os = "macos"))]
pub(crate) fn pid(identity: u64) -> u32 {
    u32::try_from(identity >> TIME_BITS).unwrap_or(0)
}

/// Takes the word for the process `own`.
#[cfg(any(test, target_os = "macos"))]
pub(crate) fn try_take(word: &AtomicU64, own: u64, lives: impl Fn(u64) -> bool) -> Taken {
    // Acquire: what the last owner did is seen. If it died, nobody ordered it, but the system did: its
    // death is known by a call that comes after it.
    match word.compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Taken::Free,
        // Another thread of this process, or this one.
        Err(found) if found == own => Taken::Not,
        Err(found) if lives(found) => Taken::Not,
        Err(found) => {
            let taken = word.compare_exchange(found, own, Ordering::AcqRel, Ordering::Relaxed);
            if taken.is_ok() { Taken::FromTheDead } else { Taken::Not }
        }
    }
}

/// Gives the word back. False if it is not that process's.
#[cfg(any(test, target_os = "macos"))]
pub(crate) fn release(word: &AtomicU64, own: u64) -> bool {
    // Release: what was done under it is there for the next.
    word.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_are_taken_from_and_by_one_only() {
        let word = AtomicU64::new(0);
        let (first, second) = (identity(7, 1_000_000), identity(99_999, u64::MAX));
        assert_eq!((pid(first), pid(second)), (7, 99_999));
        assert_eq!(try_take(&word, first, |_| unreachable!("nobody has it")), Taken::Free);
        assert_eq!(try_take(&word, second, |_| true), Taken::Not);
        assert!(!release(&word, second), "only its owner gives it back");
        // The same number, used again by another process.
        assert_ne!(identity(7, 1_000_001), first);
        let asked = std::cell::Cell::new(0);
        let taken = try_take(&word, second, |who| {
            asked.set(who);
            false
        });
        assert_eq!((taken, asked.get()), (Taken::FromTheDead, first));
        // Somebody else was faster.
        let taken = try_take(&word, first, |who| {
            assert_eq!(who, second);
            word.store(identity(8, 1), Ordering::Relaxed);
            false
        });
        assert_eq!(taken, Taken::Not);
    }

    #[test]
    fn threads_take_turns() {
        let word = AtomicU64::new(0);
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for pid in 1..=4 {
                let (word, count) = (&word, &count);
                scope.spawn(move || {
                    let own = identity(pid, 1);
                    for _ in 0..10_000 {
                        while try_take(word, own, |_| true) == Taken::Not {
                            std::hint::spin_loop();
                        }
                        // Not atomic as a whole: only the lock makes it exact.
                        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        assert!(release(word, own));
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 40_000);
    }
}
