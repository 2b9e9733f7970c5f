//! An owner of whom everybody asks the system whether it lives.
//!
//! For systems whose kernel does not know owners of shared words: macOS, and Linux with a C library other than
//! glibc (musl's list of what a thread owns is not emptied in a forked child, which would then write to the
//! list of its parent). With `--cfg offspring_force_portable` glibc's Linux does it, too.
//!
//! The word is 0, or says which process owns it: its number and when it began, which together mean one process
//! only. Whoever finds it owned asks the system whether that process lives (`os::life`), and takes its place
//! if not. As that is one compare-and-swap with the very word that was asked about, one of several takes it,
//! and never from anybody who lives: the dead do not change the word, and no later process has it. One that is
//! stopped lives; a zombie does not. All processes must see each other's numbers: they are of one
//! namespace, as children are.
//!
//! An owner is a process here and not a thread: if a thread ends and its process goes on, what it had is owned
//! still, and so it is if its process executes another program. And a thread that asks for what it has is told that somebody has it.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::owner::Taken;
use crate::os::life;

/// One owner, in memory that several processes map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    word: *const AtomicU64,
    memory: PhantomData<&'a ()>,
}

/// The room that one needs. Its address is a multiple of 64.
pub(crate) const SIZE: usize = 64;

impl Owner<'_> {
    /// The owner at a place.
    ///
    /// # Safety
    ///
    /// The place is a multiple of 64 and has `SIZE` writable bytes for `'a`. All processes reach them through
    /// this type only.
    pub(crate) unsafe fn at(place: *mut u8) -> Self {
        Self { word: place.cast_const().cast(), memory: PhantomData }
    }

    /// Makes it one that nobody owns.
    ///
    /// # Safety
    ///
    /// Once, before anybody else has the memory.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere the system has to do something")]
    pub(crate) unsafe fn initialise(self) -> io::Result<()> {
        self.word().store(0, Ordering::Relaxed);
        Ok(())
    }

    fn word(&self) -> &AtomicU64 {
        // SAFETY: valid and aligned by the promise of `at`, and reached as an atomic by everybody.
        unsafe { &*self.word }
    }

    /// Takes it, if it is free or its owner has died.
    pub(crate) fn try_take(self) -> io::Result<Taken> {
        Ok(try_take(self.word(), own()?, lives))
    }

    /// Gives it back.
    pub(crate) fn release(self) -> io::Result<()> {
        let released = release(self.word(), own()?);
        if released { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
    }
}

/// This process. Asked for once, and once more in a forked child.
fn own() -> io::Result<u64> {
    static OWN: AtomicU64 = AtomicU64::new(0);
    let known = OWN.load(Ordering::Relaxed);
    let number = std::process::id();
    if pid(known) == number {
        return Ok(known);
    }
    let began = life::began(number)?.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    let identity = identity(number, began);
    OWN.store(identity, Ordering::Relaxed);
    Ok(identity)
}

fn lives(who: u64) -> bool {
    match life::began(pid(who)) {
        Ok(Some(began)) => identity(pid(who), began) == who,
        Ok(None) => false,
        // It may not be asked about, so it is there.
        Err(_) => true,
    }
}

/// How many bits are for the time at which a process began, in the system's unit: after 50 days of microseconds
/// they begin anew. The same number, given again to a process of the very same microsecond, is none.
const TIME_BITS: u32 = 42;

/// One process, as a word; never 0.
fn identity(pid: u32, began: u64) -> u64 {
    // 22 bits are enough: numbers of processes end at 99,999 (xnu, `PID_MAX`), or 4,194,304 (Linux,
    // `PID_MAX_LIMIT`).
    (u64::from(pid) << TIME_BITS) | (began & ((1 << TIME_BITS) - 1))
}

/// The number of the process in a word.
fn pid(identity: u64) -> u32 {
    u32::try_from(identity >> TIME_BITS).unwrap_or(0)
}

/// Takes the word for the process `own`.
fn try_take(word: &AtomicU64, own: u64, lives: impl Fn(u64) -> bool) -> Taken {
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
fn release(word: &AtomicU64, own: u64) -> bool {
    // Release: what was done under it is there for the next.
    word.compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_are_taken_from_and_by_one_only() {
        let word = AtomicU64::new(0);
        let (first, second) = (identity(7, 1_000_000), identity(4_194_303, u64::MAX));
        assert_eq!((pid(first), pid(second)), (7, 4_194_303));
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

    #[test]
    fn processes_live_until_they_are_zombies() {
        let me = own().unwrap();
        assert_eq!((me, pid(me)), (own().unwrap(), std::process::id()));
        assert!(lives(me));
        assert!(!lives(identity(std::process::id(), 1)), "another, of the same number");
        assert!(lives(identity(1, life::began(1).unwrap().unwrap())));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let who = identity(child.id(), life::began(child.id()).unwrap().unwrap());
        assert!(lives(who));
        child.kill().unwrap();
        let start = std::time::Instant::now();
        while lives(who) {
            assert!(start.elapsed().as_secs() < 60, "a zombie lives");
        }
        child.wait().unwrap();
        assert!(!lives(who));
    }

    #[test]
    fn of_a_process_that_has_ended() {
        #[repr(align(64))]
        struct Place([AtomicU64; SIZE / 8]);
        let place = Place(Default::default());
        let address = place.0.as_ptr().cast_mut().cast::<u8>();
        // SAFETY: aligned, large enough, and there until the end of the test; atomics may be changed by any
        // reference.
        let owner = unsafe { Owner::at(address) };
        // SAFETY: nobody else has it.
        unsafe { owner.initialise() }.unwrap();
        assert_eq!(owner.try_take().unwrap(), Taken::Free);
        assert_eq!(owner.try_take().unwrap(), Taken::Not);
        owner.release().unwrap();
        assert!(owner.release().is_err());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let who = identity(child.id(), life::began(child.id()).unwrap().unwrap_or(1));
        child.wait().unwrap();
        place.0[0].store(who, Ordering::Relaxed);
        assert!(owner.release().is_err(), "it is not ours");
        assert_eq!(owner.try_take().unwrap(), Taken::FromTheDead);
        owner.release().unwrap();
    }
}
