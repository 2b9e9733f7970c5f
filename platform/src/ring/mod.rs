//! Rings in shared memory: bytes from one process to another without a system call.
//!
//! Two processes share one object: a page of words, then the data of four rings, two in each direction.
//! One of the two is for frames: its data is mapped twice, back to back, so that every run of bytes up to
//! the capacity is contiguous wherever it starts. The other is for bulk, which goes through it in pieces: it
//! is mapped once. Neither takes memory before it is used, where a page that is touched is sure to be there.
//!
//! Each process maps the rings out of which it reads as read-only.
//!
//! Bytes count when their index is published (`index.rs`), so a process that is killed while it writes
//! leaves nothing half-read.
//!
//! # Safety
//!
//! The other process may write to any of this memory at any time: it may be broken. So no reference to
//! the data is ever made. Bytes are copied out to private memory before anybody looks at them, and copied
//! in; positions and lengths are this process's own, and indexes of the other side are checked before use.

pub mod claim;
mod index;
mod map;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

pub use index::Corrupt;
use index::{ConsumerIndex, ProducerIndex};
use map::{Map, Side, Stretch};

use crate::os::{park, receipt};

/// Words for the users of a pair of rings, beside those of the rings themselves.
pub const USER_WORDS: usize = 64;
/// Words this far apart are on different lines of the processor's cache.
pub const APART: usize = map::APART;

/// How many bytes rings hold: powers of two, at least one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Each of the two for frames.
    pub frames: usize,
    /// Each of the two for bulk.
    pub bulk: usize,
}

/// One process's ends of a pair of rings for frames, and of a pair for bulk.
#[derive(Debug)]
pub struct Ends {
    /// Into the other process.
    pub producer: Producer,
    /// Out of the other process.
    pub consumer: Consumer,
    /// Into the other process, for bulk. Only after [`Producer::reserve`].
    pub bulk_producer: Producer,
    /// Out of the other process, for bulk.
    pub bulk_consumer: Consumer,
    /// Words that both reach.
    pub words: Words,
}

/// Makes pairs of rings, and the descriptor by which the other process reaches them.
///
/// # Errors
///
/// When there is no memory, no address space or no descriptor left.
pub fn pair(sizes: Sizes) -> io::Result<(Ends, OwnedFd)> {
    let (map, fd) = Map::create(sizes)?;
    Ok((ends(map, Side::Maker), fd))
}

/// Takes over the other ends of pairs that another process made.
///
/// # Errors
///
/// `InvalidData` when the object is not of the size of such pairs, or could shrink.
pub fn receive(fd: BorrowedFd<'_>, sizes: Sizes) -> io::Result<Ends> {
    Ok(ends(Map::receive(fd, sizes)?, Side::Receiver))
}

/// Maps only to look at the words. Children that are forked later do not get the mapping.
///
/// # Errors
///
/// As [`receive`].
pub fn observe(fd: BorrowedFd<'_>, sizes: Sizes) -> io::Result<Words> {
    let map = Map::receive(fd, sizes)?;
    map.keep_from_children()?;
    Ok(Words(Arc::new(map)))
}

fn ends(map: Map, side: Side) -> Ends {
    let map = &Arc::new(map);
    let capacity = |stretch| map.capacity(stretch) as u64;
    let producer = |stretch| {
        let index = ProducerIndex::new(capacity(stretch));
        Producer { map: map.clone(), stretch, index, staged: 0 }
    };
    let consumer = |stretch| {
        let index = ConsumerIndex::new(capacity(stretch));
        Consumer { map: map.clone(), stretch, index }
    };
    let (out, into) = match side {
        Side::Maker => ((Stretch::Down, Stretch::BulkDown), (Stretch::Up, Stretch::BulkUp)),
        Side::Receiver => ((Stretch::Up, Stretch::BulkUp), (Stretch::Down, Stretch::BulkDown)),
    };
    Ends {
        producer: producer(out.0),
        consumer: consumer(into.0),
        bulk_producer: producer(out.1),
        bulk_consumer: consumer(into.1),
        words: Words(map.clone()),
    }
}

/// The words that both processes reach, and the place where one of them sleeps.
#[derive(Debug, Clone)]
pub struct Words(Arc<Map>);

impl Words {
    /// The words; [`USER_WORDS`] of them.
    #[must_use]
    pub fn get(&self) -> &[AtomicU64] {
        self.0.user_words()
    }

    fn bed(&self) -> &AtomicU32 {
        self.0.bed()
    }

    /// What [`Words::sleep`] wants to be told. To be asked before sleep is announced.
    #[must_use]
    pub fn before_sleep(&self) -> u32 {
        self.bed().load(Ordering::Acquire)
    }

    /// Sleeps until [`Words::wake`] is called, if it was not since `before`; for at most `limit`. May
    /// return early.
    pub fn sleep(&self, before: u32, limit: Duration) {
        park::wait(self.bed(), before, receipt::limited(Some(limit)).unwrap_or(limit));
    }

    /// Wakes the one that sleeps.
    pub fn wake(&self) {
        self.bed().fetch_add(1, Ordering::Release);
        // Fails only on memory that is not there; this is.
        let _ = park::wake(self.bed());
    }
}

/// The end into which bytes are put.
#[derive(Debug)]
pub struct Producer {
    map: Arc<Map>,
    stretch: Stretch,
    index: ProducerIndex,
    /// Bytes written and not published.
    staged: u64,
}

impl Producer {
    /// How many bytes fit now, looking at the other side only if `wanted` would not.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the other side's index cannot be.
    #[inline]
    pub fn room(&mut self, wanted: usize) -> Result<usize, Corrupt> {
        let shared = self.map.shared(self.stretch);
        let room = self.index.room(shared, wanted as u64 + self.staged)?;
        Ok(narrow(room - self.staged))
    }

    /// How many bytes fit now, for an owner that uses [`Producer::free_to`].
    #[must_use]
    #[inline]
    pub fn known_room(&self) -> usize {
        narrow(self.index.known_room() - self.staged)
    }

    /// Where the next byte goes, as a count of all bytes so far.
    #[must_use]
    #[inline]
    pub fn position(&self) -> u64 {
        self.index.position() + self.staged
    }

    /// Lets what was written before `position` be overwritten, whatever the other side says.
    #[inline]
    pub fn free_to(&mut self, position: u64) {
        self.index.free_to(position);
    }

    /// Whether the other side has said, by [`Consumer::release`], that it has taken all there is.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        // Acquire: it has read what we are going to overwrite.
        self.map.shared(self.stretch).head.load(Ordering::Acquire) == self.position()
    }

    /// The most that ever fits.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.capacity(self.stretch)
    }

    /// Makes sure that there is memory for all that this ring holds. Once, before the first byte is put into
    /// a ring for bulk.
    ///
    /// # Errors
    ///
    /// When there is no memory left, and on systems that cannot tell. The ring must not be used then.
    pub fn reserve(&self) -> io::Result<()> {
        self.map.reserve(self.stretch)
    }

    /// Writes bytes behind those written before. They do not count before [`Producer::publish`].
    ///
    /// # Panics
    ///
    /// When they do not fit.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.known_room(), "the caller has asked for room");
        self.map.write(self.stretch, self.position(), bytes);
        self.staged += bytes.len() as u64;
    }

    /// Publishes what was written. See [`Producer::wakes`].
    #[inline]
    pub fn publish(&mut self) {
        let count = std::mem::take(&mut self.staged);
        self.index.publish(self.map.shared(self.stretch), count);
    }

    /// After [`Producer::publish`]: whether the other side sleeps and must be woken. `idle` if this side
    /// has nothing more to do for a while: then it must be woken however little it got.
    #[must_use = "the other side sleeps until it is woken"]
    #[inline]
    pub fn wakes(&self, idle: bool) -> bool {
        self.index.wakes(self.map.shared(self.stretch), idle)
    }

    /// Says that this side is about to sleep until `wanted` bytes fit. False if they do: then it must
    /// not sleep.
    ///
    /// # Errors
    ///
    /// As [`Producer::room`].
    pub fn prepare_sleep(&mut self, wanted: usize) -> Result<bool, Corrupt> {
        let shared = self.map.shared(self.stretch);
        self.index.prepare_sleep(shared, wanted as u64)
    }

    /// Takes over what another process has published through a copy of this end: a forked child that has
    /// ended since. What was written here and not published is forgotten. Returns how many bytes it
    /// published.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when it published more than there was room for.
    pub fn catch_up(&mut self) -> Result<u64, Corrupt> {
        self.staged = 0;
        self.index.catch_up(self.map.shared(self.stretch))
    }

    /// Reads bytes that were written at `position` and not overwritten since.
    #[inline]
    pub fn read_back(&self, position: u64, buffer: &mut [u8]) {
        self.map.read(self.stretch, position, buffer);
    }
}

/// The end from which bytes are taken.
#[derive(Debug)]
pub struct Consumer {
    map: Arc<Map>,
    stretch: Stretch,
    index: ConsumerIndex,
}

impl Consumer {
    /// How many bytes are published and not yet taken.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the other side's index cannot be.
    #[inline]
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        let shared = self.map.shared(self.stretch);
        self.index.available(shared).map(narrow)
    }

    /// Copies out bytes that are available, from `offset` on, without taking them.
    #[inline]
    pub fn peek(&self, offset: usize, buffer: &mut [u8]) {
        self.map.read(self.stretch, self.index.position() + offset as u64, buffer);
    }

    /// Takes `count` of the available bytes, and puts them behind those that `buffer` has, into the room that it
    /// has: memory that was not written before is written once.
    ///
    /// # Panics
    ///
    /// When there is no room for them, and if this is no ring for bulk.
    pub fn take_behind(&mut self, buffer: &mut Vec<u8>, count: usize) {
        self.map.read_behind(self.stretch, self.index.position(), buffer, count);
        self.take(count);
    }

    /// How many bytes were taken so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.index.position()
    }

    /// Takes `count` of the available bytes. Their room is given back by [`Consumer::release`].
    #[inline]
    pub fn take(&mut self, count: usize) {
        self.index.advance(count as u64);
    }

    /// Gives back the room of what was taken. True if the other side sleeps and must be woken.
    #[must_use = "the other side sleeps until it is woken"]
    #[inline]
    pub fn release(&mut self) -> bool {
        self.index.release(self.map.shared(self.stretch))
    }

    /// Says that this side is about to sleep until `wanted` bytes are published, or fewer and the other
    /// side is idle. False if there are some already: then it must not sleep.
    ///
    /// # Errors
    ///
    /// As [`Consumer::available`].
    pub fn prepare_sleep(&mut self, wanted: usize) -> Result<bool, Corrupt> {
        let shared = self.map.shared(self.stretch);
        self.index.prepare_sleep(shared, wanted as u64)
    }

    /// Says that this side is awake.
    pub fn wake_up(&self) {
        self.index.wake_up(self.map.shared(self.stretch));
    }
}

/// A count of bytes inside one ring.
#[inline]
fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
