//! A place where processes wait until all are there.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::waiting::{self, SLICE, Whom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::shared::object::{Kind, Object};
use crate::woken::after;

const DOING: &str = "wait at a barrier";

/// A barrier for a fixed number of processes: all wait until the last has come, again and again.
///
/// It travels in arguments, results and worker state, on every context, as one descriptor. Cloning is cheap,
/// and a clone is the same barrier. What a process did before it came is seen by all who passed with it.
///
/// # When a process dies
///
/// One that dies before it comes is missing, and the others wait. So give them a limit
/// ([`wait_timeout`](Barrier::wait_timeout)): the first whose time runs out **breaks** the barrier, and all who
/// wait, and all who come, get [`ErrorKind::Broken`] until somebody calls [`reset`](Barrier::reset). One that
/// dies while it waits has come, and counts. If it dies within the last call of a round, or within breaking or
/// resetting, others may notice 100 ms later.
///
/// # Examples
///
/// ```standalone_crate
/// use std::time::Duration;
///
/// use offspring::sync::Barrier;
/// use offspring::Context;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let barrier = Barrier::new(3)?;
///     let group = Context::Spawn.process().start_group(vec![barrier; 3], |barrier: Barrier| {
///         let leads = barrier.wait_timeout(Duration::from_secs(60)).map_err(|error| error.to_string())?;
///         Ok::<_, String>(u32::from(leads.is_leader()))
///     })?;
///     let leaders: Result<Vec<u32>, String> = group.join()?.into_iter().collect();
///     assert_eq!(leaders?.iter().sum::<u32>(), 1);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Barrier(Object);

/// What is told to those who pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this was the last that came. It is one of each round.
    #[must_use]
    pub fn is_leader(self) -> bool {
        self.0
    }
}

/// The wide word with the [`State`].
const STATE: usize = 0;
/// The word that changes whenever those who wait should look, on which they sleep.
const NEWS: usize = 0;
/// How many have to come.
const PARTIES: usize = 1;

/// All that changes, in one word, so that each change is one step and nobody can die within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    /// The number of the round.
    round: u32,
    /// How the last eight rounds ended, the last in the lowest bit: 1 by a reset.
    resets: u8,
    broken: bool,
    arrived: u16,
}

impl State {
    fn of(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "each part has its bits")]
        Self {
            round: (word >> 32) as u32,
            resets: (word >> 24) as u8,
            broken: (word >> 16) & 1 == 1,
            arrived: word as u16,
        }
    }

    fn word(self) -> u64 {
        (u64::from(self.round) << 32)
            | (u64::from(self.resets) << 24)
            | (u64::from(self.broken) << 16)
            | u64::from(self.arrived)
    }

    /// The next round, of which nobody has come yet.
    fn next(self, reset: bool) -> Self {
        Self {
            round: self.round.wrapping_add(1),
            resets: (self.resets << 1) | u8::from(reset),
            broken: false,
            arrived: 0,
        }
    }

    /// What has become of those who came in `round`; `None` while they wait.
    fn outcome(self, round: u32) -> Option<Outcome> {
        match self.round.wrapping_sub(round) {
            0 => self.broken.then_some(Outcome::Broken),
            // They slept through so many rounds of others. How their own ended is forgotten.
            since if since > u8::BITS => Some(Outcome::Broken),
            since if (self.resets >> (since - 1)) & 1 == 1 => Some(Outcome::Broken),
            _ => Some(Outcome::Passed),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Broken,
}

impl Barrier {
    /// Makes a barrier for so many processes, 65,535 at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for none or more, [`ErrorKind::System`] when there is no memory or no
    /// descriptor left.
    pub fn new(parties: usize) -> Result<Self, Error> {
        const MAKING: &str = "make a shared barrier";
        let number = u16::try_from(parties).ok().filter(|parties| *parties > 0);
        let number = number.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, MAKING)
                .detail(format!("it is for 1 to 65,535 processes, and not for {parties}"))
        })?;
        let object = Object::new::<()>(Kind::Barrier, 0, MAKING)?;
        object.word(PARTIES).store(number.into(), Ordering::Relaxed);
        Ok(Self(object))
    }

    /// Waits until all have come, without a limit.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Broken`] when the barrier is broken, or somebody breaks or resets it meanwhile.
    pub fn wait(&self) -> Result<BarrierWaitResult, Error> {
        self.wait_until(None)
    }

    /// Waits until all have come, for this long at most. If they have not, the barrier is broken, for all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] for the one whose time ran out first; else as [`wait`](Barrier::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<BarrierWaitResult, Error> {
        self.wait_until(after(limit))
    }

    fn wait_until(&self, end: Option<Instant>) -> Result<BarrierWaitResult, Error> {
        let parties = self.parties();
        let mut leads = false;
        let come = self.change(|state| {
            leads = usize::from(state.arrived) + 1 >= parties;
            let next = State { arrived: state.arrived.saturating_add(1), ..state };
            (!state.broken).then(|| if leads { state.next(false) } else { next })
        });
        let Some(State { round, .. }) = come else { return Err(broken()) };
        if leads {
            waiting::notify(self.0.word(NEWS), Whom::All);
            return Ok(BarrierWaitResult(true));
        }
        loop {
            // In this order: a change that is not seen by the second line comes after it, and its news after
            // that, so the third line does not sleep, or is woken.
            let news = self.0.word(NEWS).load(Ordering::Acquire);
            match self.state().outcome(round) {
                Some(Outcome::Passed) => return Ok(BarrierWaitResult(false)),
                Some(Outcome::Broken) => return Err(broken()),
                None => {}
            }
            if end.is_some_and(|end| end <= Instant::now()) {
                let waits = |state: State| state.outcome(round).is_none();
                if self.break_if(waits) {
                    return Err(Error::new(ErrorKind::TimedOut, DOING)
                        .detail("not all came in time, so it is broken now")
                        .advice("reset the barrier when those who are left are ready"));
                }
                continue;
            }
            // For its slices: who dies between the change and the news leaves those who sleep unaware.
            let slice = after(SLICE);
            let until = end.into_iter().chain(slice).min();
            let _look_again = waiting::changed(self.0.word(NEWS), news, until, SLICE);
        }
    }

    /// Breaks the barrier: all who wait, and all who come, get an error until it is reset.
    pub fn abort(&self) {
        self.break_if(|_| true);
    }

    /// Makes the barrier whole and empty. Those who wait get [`ErrorKind::Broken`].
    pub fn reset(&self) {
        self.change(|state| Some(state.next(true)));
        waiting::notify(self.0.word(NEWS), Whom::All);
    }

    /// Whether it is broken. Others can change that at any moment.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.state().broken
    }

    /// For how many processes it is.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.0.word(PARTIES).load(Ordering::Relaxed).try_into().unwrap_or(usize::MAX)
    }

    /// Breaks it, if that is still wanted of its state. Whether it was.
    fn break_if(&self, wanted: impl Fn(State) -> bool) -> bool {
        let broken =
            self.change(|state| wanted(state).then_some(State { broken: true, ..state })).is_some();
        if broken {
            waiting::notify(self.0.word(NEWS), Whom::All);
        }
        broken
    }

    fn state(&self) -> State {
        State::of(self.0.wide_word(STATE).load(Ordering::Acquire))
    }

    /// Changes the state in one step, if `next` says to what. Returns what it was.
    fn change(&self, mut next: impl FnMut(State) -> Option<State>) -> Option<State> {
        // AcqRel: what was done by those who came before is seen by the last, and what the last has seen and
        // done is seen by all who see the next round.
        let word = self.0.wide_word(STATE);
        let changed = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            next(State::of(word)).map(State::word)
        });
        changed.ok().map(State::of)
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Broken, DOING)
        .advice("reset the barrier when those who are left are ready")
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { arrived, broken, .. } = self.state();
        let broken = if broken { ", broken" } else { "" };
        write!(f, "Barrier({arrived} of {} are there{broken})", self.parties())
    }
}

impl Serialize for Barrier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize::<(), S>(Kind::Barrier, serializer)
    }
}

impl<'de> Deserialize<'de> for Barrier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize::<(), D>(Kind::Barrier, deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_slept_learn_how_their_round_ended() {
        let mut state = State { round: u32::MAX - 1, resets: 0, broken: false, arrived: 1 };
        let first = state.round;
        assert_eq!(State::of(state.word()), state);
        assert_eq!(state.outcome(first), None);
        assert_eq!(State { broken: true, ..state }.outcome(first), Some(Outcome::Broken));
        state = state.next(false);
        let second = state.round;
        state = state.next(true);
        for _ in 0..6 {
            assert_eq!(State::of(state.word()), state);
            assert_eq!(state.outcome(first), Some(Outcome::Passed));
            assert_eq!(state.outcome(second), Some(Outcome::Broken));
            state = state.next(false);
        }
        state = state.next(false);
        assert_eq!(state.outcome(first), Some(Outcome::Broken), "forgotten");
    }
}
