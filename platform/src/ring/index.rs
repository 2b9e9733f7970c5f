//! The index protocol of a ring: one producer, one consumer, who may each be killed at any instruction.
//!
//! Two counters of bytes that only grow: `tail`, written by the producer, and `head`, written by the
//! consumer. What lies between them is published. A producer that dies before it stores `tail` has
//! published nothing; a consumer that dies before it stores `head` leaves what it was reading.
//!
//! **Waking.** Each side has a word that says "I sleep". A side that is about to sleep sets its word, then
//! looks at the other's counter once more, and sleeps only if nothing changed. The other side stores its
//! counter, then looks at the word, and wakes the sleeper if it is set. Between the store and the load
//! stands, on both sides, a sequentially consistent fence, so at least one of the two sees what the other
//! stored: either the sleeper does not go to sleep, or it is woken. The crate in `platform/loom` checks
//! this in all interleavings.
//!
//! The consumer's word also says how far the producer may go on before it wakes it: a consumer of many
//! small messages is not woken for each. A producer that has nothing more to do wakes it at once.
//!
//! The counters come from another process, which may be broken: a distance that no ring has is reported,
//! never used.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// The words of one ring that both processes reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    /// Bytes published so far.
    pub(crate) tail: &'a AtomicU64,
    /// Bytes consumed so far.
    pub(crate) head: &'a AtomicU64,
    /// Not zero while the consumer sleeps: how far the tail has to be for it to be woken.
    pub(crate) consumer_sleeps: &'a AtomicU64,
    /// Not zero while the producer sleeps, because there is no room.
    pub(crate) producer_sleeps: &'a AtomicU64,
}

/// The other side wrote a counter that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// The producer's own view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProducerIndex {
    capacity: u64,
    tail: u64,
    /// Up to where what was written may be overwritten.
    freed: u64,
}

/// The consumer's own view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsumerIndex {
    capacity: u64,
    head: u64,
    /// The producer's counter when it was last looked at.
    seen: u64,
}

impl ProducerIndex {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, tail: 0, freed: 0 }
    }

    /// Where the next byte goes, as a count of bytes.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.tail
    }

    /// How many bytes can be written. Looks at the other side only if `wanted` does not fit in what is
    /// known to be free.
    #[inline]
    pub(crate) fn room(&mut self, shared: Shared<'_>, wanted: u64) -> Result<u64, Corrupt> {
        if self.known_room() < wanted {
            // Acquire: the consumer has read what we are going to overwrite.
            let head = shared.head.load(Ordering::Acquire);
            if head < self.freed || head > self.tail {
                return Err(Corrupt);
            }
            self.freed = head;
        }
        Ok(self.known_room())
    }

    /// How many bytes can be written, without a look at the other side.
    #[inline]
    pub(crate) fn known_room(&self) -> u64 {
        self.capacity - (self.tail - self.freed)
    }

    /// Lets the bytes before `position` be overwritten. For a producer that learns in another way than
    /// by `head` what the consumer is done with.
    #[inline]
    pub(crate) fn free_to(&mut self, position: u64) {
        debug_assert!(self.freed <= position && position <= self.tail);
        self.freed = position;
    }

    /// Publishes `count` bytes that were written. The consumer is not woken by that: see [`Self::wakes`].
    #[inline]
    pub(crate) fn publish(&mut self, shared: Shared<'_>, count: u64) {
        self.tail += count;
        // Release: the bytes are there before the counter says so.
        shared.tail.store(self.tail, Ordering::Release);
    }

    /// Goes on from where a copy of this end has got to. Returns how many bytes that published.
    pub(crate) fn catch_up(&mut self, shared: Shared<'_>) -> Result<u64, Corrupt> {
        let tail = shared.tail.load(Ordering::Acquire);
        let moved = tail.checked_sub(self.tail).ok_or(Corrupt)?;
        // The consumer may have taken some of it meanwhile: a ring that has gone around counts, too.
        let head = shared.head.load(Ordering::Acquire);
        if head < self.freed || head > tail || tail - head > self.capacity {
            return Err(Corrupt);
        }
        self.tail = tail;
        self.freed = head;
        Ok(moved)
    }

    /// Whether the consumer sleeps and must be woken now, after one or more [`Self::publish`]. `idle` if
    /// nothing more comes for a while: then it is woken however little there is.
    #[inline]
    pub(crate) fn wakes(&self, shared: Shared<'_>, idle: bool) -> bool {
        fence(Ordering::SeqCst);
        let wanted = shared.consumer_sleeps.load(Ordering::Relaxed);
        wanted != 0
            && (idle || self.tail >= wanted)
            && shared.consumer_sleeps.swap(0, Ordering::AcqRel) != 0
    }

    /// Announces sleep until there is room for `wanted`. False if there is: then do not sleep.
    pub(crate) fn prepare_sleep(
        &mut self,
        shared: Shared<'_>,
        wanted: u64,
    ) -> Result<bool, Corrupt> {
        shared.producer_sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let sleep = self.room(shared, wanted)? < wanted;
        if !sleep {
            shared.producer_sleeps.store(0, Ordering::Relaxed);
        }
        Ok(sleep)
    }
}

impl ConsumerIndex {
    pub(crate) fn new(capacity: u64) -> Self {
        Self { capacity, head: 0, seen: 0 }
    }

    /// Where the next byte is, as a count of bytes.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        self.head
    }

    /// How many bytes can be read. Looks at the other side only if nothing is known to be there.
    #[inline]
    pub(crate) fn available(&mut self, shared: Shared<'_>) -> Result<u64, Corrupt> {
        if self.seen == self.head {
            // Acquire: the bytes are there.
            let tail = shared.tail.load(Ordering::Acquire);
            if tail < self.seen || tail - self.head > self.capacity {
                return Err(Corrupt);
            }
            self.seen = tail;
        }
        Ok(self.seen - self.head)
    }

    /// Takes note that `count` bytes were read, without giving back their room.
    #[inline]
    pub(crate) fn advance(&mut self, count: u64) {
        self.head += count;
    }

    /// Gives back the room of all that was read. True if the producer sleeps and must be woken.
    #[inline]
    pub(crate) fn release(&mut self, shared: Shared<'_>) -> bool {
        // Release: our reads are done before the counter says so.
        shared.head.store(self.head, Ordering::Release);
        fence(Ordering::SeqCst);
        shared.producer_sleeps.load(Ordering::Relaxed) != 0
            && shared.producer_sleeps.swap(0, Ordering::AcqRel) != 0
    }

    /// Announces sleep until `wanted` bytes are published, or some and then no more for a while. False
    /// if there is something already: then do not sleep.
    pub(crate) fn prepare_sleep(
        &mut self,
        shared: Shared<'_>,
        wanted: u64,
    ) -> Result<bool, Corrupt> {
        shared.consumer_sleeps.store(self.head + wanted.max(1), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let sleep = self.available(shared)? == 0;
        if !sleep {
            self.wake_up(shared);
        }
        Ok(sleep)
    }

    /// Takes the announcement back.
    pub(crate) fn wake_up(&self, shared: Shared<'_>) {
        shared.consumer_sleeps.store(0, Ordering::Relaxed);
    }
}
