//! A round trip between two processes that both sleep until they are woken, and one in which both watch.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::memory::Region;
use super::process::Child;
use crate::Outcome;
use crate::feeding::{typical, work};

/// Neither an input of any measurement nor one that an eventfd refuses.
const QUIT: u64 = u64::MAX - 1;

/// How long two processes get until each has a processor.
const SETTLING: Duration = Duration::from_millis(30);

/// A way for one number at a time: the end to write to, and the end to read from.
#[derive(Debug)]
struct Bell {
    ring: File,
    hear: File,
}

impl Bell {
    /// An eventfd: the cheapest thing that Linux has to wait for.
    #[cfg(target_os = "linux")]
    fn new() -> io::Result<Self> {
        use std::os::fd::{FromRawFd, OwnedFd};
        // SAFETY: the call takes integers.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this number for us.
        let ring = File::from(unsafe { OwnedFd::from_raw_fd(raw) });
        Ok(Self { hear: ring.try_clone()?, ring })
    }

    /// A pair of sockets, where there is no eventfd.
    #[cfg(not(target_os = "linux"))]
    fn new() -> io::Result<Self> {
        use std::os::fd::OwnedFd;
        let (ring, hear) = std::os::unix::net::UnixStream::pair()?;
        Ok(Self { ring: OwnedFd::from(ring).into(), hear: OwnedFd::from(hear).into() })
    }

    fn say(&self, number: u64) -> io::Result<()> {
        (&self.ring).write_all(&number.to_ne_bytes())
    }

    fn listen(&self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        (&self.hear).read_exact(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

/// A child that answers each number with another, and sleeps in between.
#[derive(Debug)]
pub(crate) struct Sleeper {
    there: Bell,
    back: Bell,
    child: Child,
}

impl Sleeper {
    pub(crate) fn start() -> Outcome<Self> {
        Self::with(work)
    }

    /// A child that does `answer` when it is woken.
    pub(super) fn with(mut answer: impl FnMut(u64) -> u64) -> Outcome<Self> {
        let (there, back) = (Bell::new()?, Bell::new()?);
        let child = Child::fork(|| {
            loop {
                match there.listen().expect("the parent speaks") {
                    QUIT => return,
                    number => back.say(answer(number)).expect("the parent listens"),
                }
            }
        })?;
        Ok(Self { there, back, child })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn ask(&self, number: u64) -> io::Result<u64> {
        self.ask_and(number, || ())
    }

    /// Does something else until it listens for the answer.
    pub(super) fn ask_and(&self, number: u64, meanwhile: impl FnOnce()) -> io::Result<u64> {
        self.there.say(number)?;
        meanwhile();
        self.back.listen()
    }

    /// Seconds for each of many round trips.
    pub(crate) fn round_trips(&self, count: u64) -> Outcome<f64> {
        let begin = Instant::now();
        for number in 1..=count {
            assert_eq!(self.ask(number)?, work(number));
        }
        Ok(begin.elapsed().as_secs_f64() / count as f64)
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        self.there.say(QUIT)?;
        self.child.wait()
    }
}

/// Seconds for each of `count` round trips, in a typical batch of several, through shared memory, between two processes that never sleep.
///
/// The child lives only as long as this, for it would take a processor from what is measured next.
pub(crate) fn watchful_round_trips(count: u64) -> Outcome<f64> {
    let region = Region::shared(4096)?;
    let words = region.words();
    // Apart, so that neither cache line holds what both write.
    let (there, back) = (&words[0], &words[16]);
    let child = Child::fork(|| {
        let mut last = 0;
        loop {
            last = watch(there, last);
            if last == QUIT {
                return;
            }
            back.store(work(last), Ordering::Release);
        }
    })?;
    let mut answer = back.load(Ordering::Relaxed);
    let mut number = 0;
    let mut trip = || {
        number += 1;
        there.store(number, Ordering::Release);
        answer = watch(back, answer);
        assert_eq!(answer, work(number));
    };
    // A fresh child shares its parent's processor until the scheduler moves one of them.
    let start = Instant::now();
    while start.elapsed() < SETTLING {
        trip();
    }
    let took = typical(|| {
        let begin = Instant::now();
        (0..count).for_each(|_| trip());
        Ok(begin.elapsed().as_secs_f64() / count as f64)
    })?;
    there.store(QUIT, Ordering::Release);
    child.wait()?;
    Ok(took)
}

/// Waits until the word is no longer what it was.
fn watch(word: &AtomicU64, before: u64) -> u64 {
    loop {
        for _ in 0..1_000 {
            let now = word.load(Ordering::Acquire);
            if now != before {
                return now;
            }
            std::hint::spin_loop();
        }
        // Perhaps the other one waits for this very processor.
        std::thread::yield_now();
    }
}
