//! Frames in the rings between a pool and one worker, and the words beside them.
//!
//! A frame is a word, its kind and length, then as many bytes, then up to seven that fill the last word.
//! Tasks go down, outcomes come up, both in one order, so nothing has to be numbered. A message that is
//! too large goes through the rings for bulk, and one that brings descriptors over the socket; its frame
//! says only that it does.

use std::sync::atomic::{AtomicU64, Ordering};

use offspring_platform::ring::{self, APART, Sizes, Words};

/// How many bytes each ring holds. Both are touched page by page as they are used.
pub(crate) const CAPACITY: usize = 128 << 10;
/// How many bytes each ring for bulk holds: what both sides copy stays in the processor's cache.
pub(crate) const BULK: usize = 1 << 20;
/// What is copied at once into and out of such a ring.
pub(crate) const PIECE: usize = BULK / 8;
/// The sizes of all rings.
pub(crate) const SIZES: Sizes = Sizes { frames: CAPACITY, bulk: BULK };
/// The largest frame that goes through a ring.
pub(crate) const LARGEST: usize = CAPACITY / 4;
/// Room that is kept for frames that are not tasks.
pub(crate) const RESERVE: usize = 64;
/// The size of what stands before the bytes of a frame.
pub(crate) const HEAD: usize = 8;

/// The largest number that a head has room for beside length and kind. In milliseconds: four hours and a
/// half.
pub(crate) const LARGEST_TAG: u32 = (1 << 24) - 1;
/// Set in the length of an outcome that brings something back.
const BROUGHT: u64 = 1 << 31;

/// What a frame in a ring is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    /// To the worker: a task; the function's name, then the argument.
    Task = 1,
    /// To the worker: a task that comes over the socket.
    TaskElsewhere,
    /// To the worker: end when you have done what came before.
    Close,
    /// From the worker: the result of the next task.
    Done,
    /// From the worker: how the next task failed.
    Failed,
    /// From the worker: the outcome of the next task comes over the socket.
    Elsewhere,
    /// From the worker: it will end, and does not begin what else was sent.
    Leaving,
    /// To the worker: a task whose argument comes through the ring for bulk; the function's name, then the
    /// length.
    TaskInPieces,
    /// From the worker: the result of the next task comes through the ring for bulk; its length.
    DoneInPieces,
    /// From the worker: when the task ran whose outcome comes next, where its owner wants to know.
    Ran,
}

/// When a task ran, by the clock that all processes read alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

impl Span {
    /// How many bytes it takes behind the head of its frame.
    pub(crate) const LENGTH: usize = 2 * size_of::<u64>();

    pub(crate) fn to_bytes(self) -> [u8; Self::LENGTH] {
        (u128::from(self.begin) | (u128::from(self.end) << 64)).to_le_bytes()
    }

    #[expect(clippy::cast_possible_truncation, reason = "one half of it, then the other")]
    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self { begin: both as u64, end: (both >> 64) as u64 }
    }
}

/// What stands before the bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) note: Note,
    pub(crate) length: usize,
    /// Of an outcome: how many milliseconds the task took; 0 for less than the clock's few. Of a task: what
    /// was captured for it; 0 for nothing.
    pub(crate) tag: u32,
    /// Of an outcome: what the task brought back stands before it, and the length of that before both.
    pub(crate) brought: bool,
}

impl Head {
    #[inline]
    pub(crate) fn new(note: Note, length: usize) -> Self {
        Self { note, length, tag: 0, brought: false }
    }

    /// 31 bits of length, one that says whether something was brought back, 24 of the tag, 8 of kind.
    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; HEAD] {
        let tag = u64::from(self.tag.min(LARGEST_TAG)) << 32;
        let brought = if self.brought { BROUGHT } else { 0 };
        (self.length as u64 | brought | tag | ((self.note as u64) << 56)).to_ne_bytes()
    }

    /// `None` when this is no head.
    #[inline]
    pub(crate) fn from_bytes(bytes: [u8; HEAD]) -> Option<Self> {
        let word = u64::from_ne_bytes(bytes);
        let note = match word >> 56 {
            1 => Note::Task,
            2 => Note::TaskElsewhere,
            3 => Note::Close,
            4 => Note::Done,
            5 => Note::Failed,
            6 => Note::Elsewhere,
            7 => Note::Leaving,
            8 => Note::TaskInPieces,
            9 => Note::DoneInPieces,
            10 => Note::Ran,
            _ => return None,
        };
        let length = usize::try_from(word & (BROUGHT - 1)).ok()?;
        let tag = u32::try_from((word >> 32) & u64::from(LARGEST_TAG)).ok()?;
        let brought = word & BROUGHT != 0;
        (length <= LARGEST).then_some(Self { note, length, tag, brought })
    }

    /// How many bytes the frame takes in the ring.
    #[inline]
    pub(crate) fn size(self) -> usize {
        HEAD + padded(self.length)
    }
}

/// So many bytes in whole words.
#[inline]
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(HEAD)
}

/// The words that a worker and its owner share, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status<'a>(&'a [AtomicU64]);

impl<'a> Status<'a> {
    pub(crate) fn of(words: &'a Words) -> Self {
        const { assert!(3 * APART <= ring::USER_WORDS) }
        Self(words.get())
    }

    /// Which tasks the worker has; see [`offspring_platform::ring::claim`].
    pub(crate) fn claim(self) -> &'a AtomicU64 {
        &self.0[0]
    }

    /// In a worker: says that it begins a task now.
    #[inline]
    pub(crate) fn begin(self, number: u64) {
        self.0[APART].store(number, Ordering::Release);
    }

    /// In a worker with a deadline or a timeline: when it began the task, or zero when it has none.
    pub(crate) fn set_running_since(self, time: u64) {
        self.0[APART + 2].store(time, Ordering::Release);
    }

    /// The number of the task that runs, and since when; zero if none does, or nobody wanted to know.
    pub(crate) fn running(self) -> (u64, u64) {
        loop {
            let number = self.begun();
            let since = self.0[APART + 2].load(Ordering::Acquire);
            if self.begun() == number {
                return (number, since);
            }
        }
    }

    /// In a worker: its state is made.
    pub(crate) fn set_initialised(self) {
        self.0[APART + 3].store(1, Ordering::Release);
    }

    /// In a worker: it waits, for a task or for room.
    pub(crate) fn begin_waiting(self, now: u64) {
        self.0[APART + 5].store(now, Ordering::Relaxed);
    }

    /// In a worker: it waits no longer.
    pub(crate) fn end_waiting(self, now: u64) {
        // Only the worker writes these.
        let since = self.0[APART + 5].swap(0, Ordering::Relaxed);
        self.0[APART + 4].fetch_add(now.saturating_sub(since), Ordering::Relaxed);
    }

    /// How long the worker has waited, in nanoseconds; about, while it changes.
    pub(crate) fn waited(self, now: u64) -> u64 {
        let since = self.0[APART + 5].load(Ordering::Relaxed);
        let current = if since == 0 { 0 } else { now.saturating_sub(since) };
        // A broken worker may have written any number.
        self.0[APART + 4].load(Ordering::Relaxed).saturating_add(current)
    }

    /// In a worker: when it came to run the user's code, and when its state was made; zero while not.
    pub(crate) fn set_came_up(self, entered: u64, made: u64) {
        self.0[APART + 6].store(entered, Ordering::Relaxed);
        self.0[APART + 7].store(made, Ordering::Relaxed);
    }

    /// See [`Status::set_came_up`].
    pub(crate) fn came_up(self) -> (u64, u64) {
        (self.0[APART + 6].load(Ordering::Relaxed), self.0[APART + 7].load(Ordering::Relaxed))
    }

    /// In a worker: when it began to end; zero before.
    pub(crate) fn closing_since(self) -> &'a AtomicU64 {
        &self.0[APART + 8]
    }

    /// In a worker whose stream is captured: where the transcript was when the task began.
    pub(crate) fn set_mark(self, place: u64) {
        // What says that the task began comes after it, and publishes it.
        self.0[APART + 9].store(place, Ordering::Relaxed);
    }

    pub(crate) fn mark(self) -> u64 {
        self.0[APART + 9].load(Ordering::Relaxed)
    }

    pub(crate) fn is_initialised(self) -> bool {
        self.0[APART + 3].load(Ordering::Acquire) != 0
    }

    /// When the worker rang the bell last.
    pub(crate) fn rung(self) -> &'a AtomicU64 {
        &self.0[APART + 1]
    }

    /// When the owner woke the worker last.
    pub(crate) fn woken(self) -> &'a AtomicU64 {
        &self.0[2 * APART]
    }

    /// How many notices the owner has sent over the socket. What is in the ring may need all of them.
    #[inline]
    pub(crate) fn notices(self) -> &'a AtomicU64 {
        &self.0[2 * APART + 1]
    }

    /// The number of the task that was begun last.
    pub(crate) fn begun(self) -> u64 {
        self.0[APART].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_survive_and_what_cannot_be_is_none() {
        for note in [
            Note::Task,
            Note::TaskElsewhere,
            Note::Close,
            Note::Done,
            Note::Failed,
            Note::Elsewhere,
            Note::Leaving,
            Note::TaskInPieces,
            Note::DoneInPieces,
            Note::Ran,
        ] {
            for (tag, brought) in [(0, false), (7, true), (LARGEST_TAG, false), (LARGEST_TAG, true)]
            {
                let head = Head { note, length: LARGEST, tag, brought };
                assert_eq!(Head::from_bytes(head.to_bytes()), Some(head));
            }
        }
        let span = Span { begin: 1, end: u64::MAX - 1 };
        assert_eq!(Span::from_bytes(span.to_bytes()), span);
        assert_eq!(Head::from_bytes([0; HEAD]), None);
        assert_eq!(Head::from_bytes([0xff; HEAD]), None);
        let long = ((Note::Task as u64) << 56) | (LARGEST as u64 + 1);
        assert_eq!(Head::from_bytes(long.to_ne_bytes()), None);
        assert_eq!(Head::new(Note::Done, 1).size(), 16);
        assert_eq!(Head::new(Note::Done, 8).size(), 16);
    }

    #[test]
    fn a_worker_that_says_it_waited_for_ever_is_believed() {
        let words: Vec<AtomicU64> = (0..ring::USER_WORDS).map(|_| AtomicU64::new(1)).collect();
        let status = Status(&words);
        words[APART + 4].store(u64::MAX, Ordering::Relaxed);
        assert_eq!(status.waited(7), u64::MAX);
    }
}
