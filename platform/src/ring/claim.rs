//! Who has a task: the word in which a worker claims tasks before it runs them, and its owner takes back
//! those that it did not claim.
//!
//! Tasks of one worker are numbered, from 1, in the order in which they were sent. The low half of the
//! word is the number of the last task that the worker claimed. The high half is not zero while the owner
//! has taken tasks back: so many, right after those claimed, that the worker must pass over. All
//! change the word by compare-and-swap only, so at every moment each task belongs to exactly one of them,
//! and nobody waits for the other: a task that was sent ahead to a worker that is stuck in another can be
//! given to somebody else at once. The crate in `platform/loom` checks that each task runs exactly once.
//!
//! The highest bit is set by whoever kills a worker for a task that takes too long: the worker claims nothing
//! after that. Otherwise that task could end at the last moment, and the next one die for it. The bit below is set by a
//! worker that begins nothing more, before what it does last: it is not killed for a task after that. Only one of
//! both is set.
//!
//! Numbers are kept modulo 2^32. Far fewer than 2^30 tasks are with one worker at a time.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};

/// The word, as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    claimed: u32,
    void: u32,
    closed: bool,
    retired: bool,
}

/// See the head of the file.
const CLOSED: u64 = 1 << 63;
const RETIRED: u64 = 1 << 62;
/// As many as there is room for below these are never taken back at once.
const LEAST_TOO_MANY: u32 = 1 << 30;

impl State {
    #[inline]
    fn of(word: u64) -> Self {
        let void = (word & !(CLOSED | RETIRED)) >> 32;
        #[expect(clippy::cast_possible_truncation, reason = "the low half, and less")]
        let (claimed, void) = (word as u32, void as u32);
        Self { claimed, void, closed: word & CLOSED != 0, retired: word & RETIRED != 0 }
    }

    #[inline]
    fn word(self) -> u64 {
        let closed = if self.closed { CLOSED } else { 0 };
        let retired = if self.retired { RETIRED } else { 0 };
        u64::from(self.claimed) | (u64::from(self.void) << 32) | closed | retired
    }
}

/// What a worker gets when it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The tasks are its own.
    Yes,
    /// So many of the next tasks were taken back: it must pass over them, and claim again.
    PassOver(u32),
    /// Nothing is its own any more: it is about to be killed.
    Closed,
}

/// In a worker: claims the next `count` tasks.
///
/// `last` is the number of the last task that it claimed or passed over.
#[inline]
pub fn claim(word: &AtomicU64, last: u64, count: u32) -> Claimed {
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
    let last = last as u32;
    let mut old = State { claimed: last, void: 0, closed: false, retired: false };
    loop {
        let new = match old.void {
            0 => State { claimed: last.wrapping_add(count), ..old },
            void => State { claimed: last.wrapping_add(void), void: 0, ..old },
        };
        // AcqRel: what the owner did before it took tasks back is seen; what it sees after our claim
        // includes all that was before.
        match word.compare_exchange(old.word(), new.word(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) if old.void == 0 => return Claimed::Yes,
            Ok(_) => return Claimed::PassOver(old.void),
            Err(found) => old = State::of(found),
        }
        if old.closed {
            return Claimed::Closed;
        }
        if old.void == 0 || old.claimed != last {
            // Only the owner changes the word beside us, and only so that something is void: the other
            // process is broken. Nothing is ours then.
            return Claimed::PassOver(0);
        }
    }
}

/// In the owner: takes back all tasks up to `last` that were not claimed. Returns the number of the last
/// task that stays with the worker; `last` if that is all.
///
/// `settled` is the number of a task that the worker certainly claimed, at most 2^31 before `last`.
pub fn take_back(word: &AtomicU64, settled: u64, last: u64) -> u64 {
    let mut old = word.load(Ordering::Acquire);
    loop {
        let claimed = unwrapped(State::of(old).claimed, settled);
        if claimed >= last {
            return last;
        }
        let void = u32::try_from(last - claimed).ok().filter(|void| *void < LEAST_TOO_MANY);
        let Some(void) = void else { return last };
        let new = State { void, ..State::of(old) };
        match word.compare_exchange(old, new.word(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return claimed,
            Err(found) => old = found,
        }
    }
}

/// In a worker that begins nothing more: whether it may end in its own way, for as long as that takes. If not, it is about
/// to be killed.
pub fn retire(word: &AtomicU64) -> bool {
    let mut old = word.load(Ordering::Acquire);
    while !State::of(old).closed {
        // AcqRel: who sees this sees that its last task has ended.
        match word.compare_exchange(old, old | RETIRED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(found) => old = found,
        }
    }
    false
}

/// Before a worker is killed for the task of this number: whether it claimed that one last, and will neither claim any
/// after it nor end in its own way. If not, it has come to its end, and so the worker must not be killed for it.
pub fn close_after(word: &AtomicU64, number: u64) -> bool {
    let mut old = word.load(Ordering::Acquire);
    loop {
        let state = State::of(old);
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
        let is_last = state.claimed == number as u32;
        if !is_last || state.retired {
            return false;
        }
        match word.compare_exchange(old, old | CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(found) => old = found,
        }
    }
}

/// The full number of which `low` is the low half, at or after `base`.
fn unwrapped(low: u32, base: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32")]
    let ahead = low.wrapping_sub(base as u32);
    // A broken worker can write a number that is behind: then nothing is known to be claimed.
    if ahead > u32::MAX / 2 { base } else { base + u64::from(ahead) }
}
