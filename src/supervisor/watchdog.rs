//! Deadlines of a worker, kept by its supervisor: the owner may be busy with something else.

use std::time::Duration;

use offspring_platform::clock::nanoseconds;
use offspring_platform::ring::Words;
use offspring_platform::ring::claim::close_after;
use serde::{Deserialize, Serialize};

use crate::link::lane::Status;

/// What a worker may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    /// For its initialiser, from the start of the process.
    pub(crate) init: Option<Duration>,
    /// For each task, from its beginning.
    pub(crate) task: Option<Duration>,
}

impl Deadlines {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expired {
    Init,
    /// The task with this number.
    Task(u64),
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Watchdog {
    words: Words,
    deadlines: Deadlines,
    started: u64,
    /// Set when the worker was killed for it.
    pub(super) expired: Option<Expired>,
}

/// A worker without a task may begin one right after it was looked at, so it is looked at again before that
/// task can be late.
const LOOKS: u32 = 2;

impl Watchdog {
    pub(super) fn new(words: Words, deadlines: Deadlines, now: u64) -> Self {
        Self { words, deadlines, started: now, expired: None }
    }

    /// Whether the worker must be killed for something that has taken too long; if not, when to look again. It begins
    /// nothing else after this said so.
    pub(super) fn look(&self, now: u64) -> Result<Option<Duration>, Expired> {
        if self.expired.is_some() {
            return Ok(None);
        }
        let what = match self.left(now) {
            Err(what) => what,
            left => return left,
        };
        let number = match what {
            Expired::Init => 0,
            Expired::Task(number) => number,
        };
        if close_after(Status::of(&self.words).claim(), number) {
            return Err(what);
        }
        // It came to its end while we looked. A worker says that before it claims the next, or retires; one that does
        // not is broken.
        match self.left(now) {
            Err(again) if again == what => Err(what),
            Err(_) => Ok(Some(Duration::ZERO)),
            left => left,
        }
    }

    /// What is left of the time that it has for what it does; or what it is late with.
    fn left(&self, now: u64) -> Result<Option<Duration>, Expired> {
        let status = Status::of(&self.words);
        if !status.is_initialised() {
            let Some(limit) = self.deadlines.init else {
                return Ok(self.deadlines.task.map(|limit| limit / LOOKS));
            };
            return left(self.started, limit, now).map(Some).ok_or(Expired::Init);
        }
        let Some(limit) = self.deadlines.task else { return Ok(None) };
        let (number, since) = status.running();
        match since {
            0 => Ok(Some(limit / LOOKS)),
            since => left(since, limit, now).map(Some).ok_or(Expired::Task(number)),
        }
    }
}

/// What is left of a limit; `None` if it has passed.
fn left(since: u64, limit: Duration, now: u64) -> Option<Duration> {
    let end = since.saturating_add(nanoseconds(limit));
    (end > now).then(|| Duration::from_nanos(end - now))
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::os::fd::AsFd;

    use offspring_platform::clock::now;
    use offspring_platform::ring::claim::{Claimed, claim, retire};
    use offspring_platform::ring::{self, Words};

    use super::*;
    use crate::link::lane::SIZES;

    const TASK: Deadlines = Deadlines { init: None, task: Some(Duration::from_nanos(1)) };

    /// A worker that is sent so many tasks, which are all late, and end at once. Returns how many it ran.
    fn work(words: &Words, sent: u64) -> u64 {
        let status = Status::of(words);
        status.set_initialised();
        let mut ran = 0;
        while ran < sent && claim(status.claim(), ran, 1) == Claimed::Yes {
            ran += 1;
            status.begin(ran);
            status.set_running_since(1);
            (0..50).for_each(|_| std::hint::spin_loop());
            status.set_running_since(0);
        }
        ran
    }

    #[test]
    fn a_worker_is_killed_for_the_task_that_it_began_last() -> Result<(), Box<dyn Error>> {
        for round in 0..50 {
            let (_, shared) = ring::pair(SIZES)?;
            let watchdog = Watchdog::new(ring::observe(shared.as_fd(), SIZES)?, TASK, now());
            let words = ring::observe(shared.as_fd(), SIZES)?;
            let worker = std::thread::spawn(move || work(&words, u64::MAX));
            let late = loop {
                if let Err(late) = watchdog.look(now()) {
                    break late;
                }
            };
            let ran = worker.join().expect("it counts");
            assert_eq!(late, Expired::Task(ran), "in round {round}");
        }
        Ok(())
    }

    #[test]
    fn a_worker_that_ends_in_its_own_way_is_left_alone() -> Result<(), Box<dyn Error>> {
        for round in 0..200 {
            let (_, shared) = ring::pair(SIZES)?;
            let watchdog = Watchdog::new(ring::observe(shared.as_fd(), SIZES)?, TASK, now());
            let words = ring::observe(shared.as_fd(), SIZES)?;
            let sent = 1 + round % 4;
            let worker = std::thread::spawn(move || {
                let ran = work(&words, sent);
                // Here it would be told to close.
                (ran, ran == sent && retire(Status::of(&words).claim()))
            });
            let late = loop {
                // In this order: what it does to the end is looked at once more.
                let is_done = worker.is_finished();
                match watchdog.look(now()) {
                    Err(late) => break Some(late),
                    Ok(_) if is_done => break None,
                    Ok(_) => {}
                }
            };
            let (ran, ends) = worker.join().expect("it counts");
            let expected = (!ends).then_some(Expired::Task(ran));
            assert_eq!(late, expected, "in round {round}");
        }
        Ok(())
    }

    #[test]
    fn one_that_says_what_is_not_so_is_killed_too() -> Result<(), Box<dyn Error>> {
        let (ends, shared) = ring::pair(SIZES)?;
        let watchdog = Watchdog::new(ring::observe(shared.as_fd(), SIZES)?, TASK, now());
        let status = Status::of(&ends.words);
        status.set_initialised();
        assert_eq!(claim(status.claim(), 0, 1), Claimed::Yes);
        assert_eq!(claim(status.claim(), 1, 1), Claimed::Yes);
        status.begin(1);
        status.set_running_since(1);
        assert_eq!(watchdog.look(now()), Err(Expired::Task(1)));
        Ok(())
    }
}
