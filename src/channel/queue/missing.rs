//! What a sender had no room for: those who wait for room beside other things wait for that.

use std::sync::atomic::{AtomicU64, Ordering};

use offspring_platform::clock::{nanoseconds, now};

use super::core::{Core, SLICE, State};

/// It does not matter where the first message begins.
const ANYWHERE: u64 = u64::MAX;

/// Why there was no room for a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lack {
    bytes: u64,
    /// Where the first message began, and the next one would have. While nobody takes a message the first stays, and
    /// the second goes on.
    head: u64,
    tail: u64,
    /// When it was refused.
    at: u64,
}

impl Lack {
    const NOTHING: Self = Self::of_bytes(0);

    /// There was no room for so many bytes.
    pub(super) const fn of_bytes(bytes: u64) -> Self {
        Self { bytes, head: ANYWHERE, tail: u64::MAX, at: 0 }
    }

    /// There was room for so many bytes, and none in the socket for their descriptors.
    pub(super) fn of_descriptors(bytes: u64, state: &State) -> Self {
        Self { bytes, head: state.head, tail: state.tail, at: now() }
    }

    /// Whether there was room for its bytes.
    pub(super) fn is_of_descriptors(self) -> bool {
        self.head != ANYWHERE
    }

    /// There was room for so many bytes, but not so far behind. There is none until the queue begins anew, when it
    /// was empty.
    pub(super) fn of_place(bytes: u64, state: &State) -> Self {
        Self { bytes, head: ANYWHERE, tail: state.tail, at: 0 }
    }

    /// Whether there may be room now.
    fn is_over(self, core: &Core, state: &State) -> bool {
        if self.head != ANYWHERE && state.messages == 0 {
            // Descriptors of other queues and sockets are in the way, and nobody tells when they are not.
            return now().saturating_sub(self.at) >= nanoseconds(SLICE);
        }
        let is_as_then =
            (self.head == ANYWHERE || self.head == state.head) && state.tail >= self.tail;
        (state.messages == 0 || !is_as_then) && core.fits(state, self.bytes.max(1))
    }
}

/// What the last message lacked that was refused in this process. Who looks at half of it looks again after a slice.
#[derive(Debug)]
pub(super) struct Missing([AtomicU64; 4]);

impl Missing {
    pub(super) fn nothing() -> Self {
        let Lack { bytes, head, tail, at } = Lack::NOTHING;
        Self([bytes, head, tail, at].map(AtomicU64::new))
    }

    pub(super) fn clear(&self) {
        self.note(Lack::NOTHING);
    }

    pub(super) fn note(&self, lack: Lack) {
        for (word, value) in self.0.iter().zip([lack.bytes, lack.head, lack.tail, lack.at]) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Whether there may be room for it now.
    pub(super) fn has_come(&self, core: &Core, state: &State) -> bool {
        let [bytes, head, tail, at] = self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
        Lack { bytes, head, tail, at }.is_over(core, state)
    }
}
