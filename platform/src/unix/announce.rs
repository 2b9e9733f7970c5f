//! The word by which those who wait, and those who have something for them, miss each other never.
//!
//! Who is about to sleep sets the word, then looks once more for what it waits for, and sleeps only while the
//! word is set. Who has given something clears the word, and wakes if it was set. On both sides a
//! sequentially consistent fence stands between the store and the load, so at least one of the two sees what
//! the other did. The crate in `platform/loom` checks it in all interleavings.
//!
//! Who was woken sets the word again before it looks, and leaves it so when it gets what it waited for: others
//! may sleep for the same, and are woken by its own release. The price is one wake-up of nobody at the end.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering, fence};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering, fence};

/// What the word is while somebody may sleep.
pub(crate) const ANNOUNCED: u32 = 1;

/// Before the last look: somebody will sleep.
#[inline]
pub(crate) fn announce(word: &AtomicU32) {
    word.store(ANNOUNCED, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}

/// After something was given: whether somebody may sleep, and must be woken.
#[inline]
pub(crate) fn must_wake(word: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    word.load(Ordering::Relaxed) != 0 && word.swap(0, Ordering::AcqRel) != 0
}
