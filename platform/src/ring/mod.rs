//! Rings in shared memory: bytes from one process to another without a system call.
//!
//! Two processes share one object: a page of words, then the data of two rings, one in each direction.
//! The data of each ring is mapped twice, back to back, so that every run of bytes up to the capacity is
//! contiguous wherever it starts.
//!
//! Bytes count when their index is published (`index.rs`), so a process that is killed while it writes
//! leaves nothing half-read.
//!
//! # Safety
//!
//! The other process may write to any of this memory at any time: it may be broken. So no reference to
//! the data is ever made. Bytes are copied out to private memory before anybody looks at them, and copied
//! in; positions and lengths are this process's own, and indexes of the other side are checked before use.

mod index;
mod map;

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use index::Corrupt;
use index::{ConsumerIndex, ProducerIndex};
use map::{Direction, Map};

/// Words for the users of a pair of rings, beside those of the rings themselves.
pub const USER_WORDS: usize = 64;

/// One process's ends of a pair of rings.
#[derive(Debug)]
pub struct Ends {
    /// Into the other process.
    pub producer: Producer,
    /// Out of the other process.
    pub consumer: Consumer,
    /// Words that both reach.
    pub words: Words,
}

/// Makes a pair of rings, and the descriptor by which the other process reaches them.
///
/// Each ring holds `capacity` bytes: a power of two, at least one page.
///
/// # Errors
///
/// When there is no memory, no address space or no descriptor left.
pub fn pair(capacity: usize) -> io::Result<(Ends, OwnedFd)> {
    let (map, fd) = Map::create(capacity)?;
    Ok((ends(map, Direction::Down, Direction::Up), fd))
}

/// Takes over the other ends of a pair that another process made.
///
/// # Errors
///
/// `InvalidData` when the object is not of the size of such a pair, or could shrink.
pub fn receive(fd: BorrowedFd<'_>, capacity: usize) -> io::Result<Ends> {
    Ok(ends(Map::receive(fd, capacity)?, Direction::Up, Direction::Down))
}

fn ends(map: Map, out: Direction, into: Direction) -> Ends {
    let map = Arc::new(map);
    let capacity = map.capacity() as u64;
    Ends {
        producer: Producer {
            map: map.clone(),
            direction: out,
            index: ProducerIndex::new(capacity),
        },
        consumer: Consumer {
            map: map.clone(),
            direction: into,
            index: ConsumerIndex::new(capacity),
        },
        words: Words(map),
    }
}

/// The words that both processes reach; [`USER_WORDS`] of them.
#[derive(Debug, Clone)]
pub struct Words(Arc<Map>);

impl Words {
    /// The words.
    #[must_use]
    pub fn get(&self) -> &[AtomicU64] {
        self.0.user_words()
    }
}

/// The end into which bytes are put.
#[derive(Debug)]
pub struct Producer {
    map: Arc<Map>,
    direction: Direction,
    index: ProducerIndex,
}

impl Producer {
    /// How many bytes fit now, looking at the other side only if `wanted` would not.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the other side's index cannot be.
    pub fn room(&mut self, wanted: usize) -> Result<usize, Corrupt> {
        let shared = self.map.shared(self.direction);
        self.index.room(shared, wanted as u64).map(narrow)
    }

    /// The most that ever fits.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// Begins to write; nothing counts before [`Writer::publish`].
    ///
    /// # Errors
    ///
    /// As [`Producer::room`].
    pub fn writer(&mut self) -> Result<Writer<'_>, Corrupt> {
        let limit = self.room(self.map.capacity())?;
        Ok(Writer { producer: self, written: 0, limit, overflowed: false })
    }

    /// Says that this side is about to sleep until `wanted` bytes fit. False if they do: then it must
    /// not sleep.
    ///
    /// # Errors
    ///
    /// As [`Producer::room`].
    pub fn prepare_sleep(&mut self, wanted: usize) -> Result<bool, Corrupt> {
        let shared = self.map.shared(self.direction);
        self.index.prepare_sleep(shared, wanted as u64)
    }
}

/// Bytes on their way into a ring. Dropping it takes them back.
#[derive(Debug)]
pub struct Writer<'a> {
    producer: &'a mut Producer,
    written: usize,
    limit: usize,
    overflowed: bool,
}

impl Writer<'_> {
    /// How many bytes were written.
    #[must_use]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Whether a write failed because the ring had no room for it.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes back all but the first `keep` bytes.
    pub fn truncate(&mut self, keep: usize) {
        self.written = self.written.min(keep);
        self.overflowed = false;
    }

    /// Overwrites bytes that were written before, as a header whose length was not known.
    ///
    /// # Panics
    ///
    /// When they were not.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.written, "only what was written can be overwritten");
        self.copy_in(at, bytes);
    }

    fn copy_in(&self, at: usize, bytes: &[u8]) {
        let position = self.producer.index.position() + at as u64;
        self.producer.map.write(self.producer.direction, position, bytes);
    }

    /// Publishes what was written. True if the other side sleeps and must be woken.
    #[must_use = "the other side sleeps until it is woken"]
    pub fn publish(self) -> bool {
        let count = self.written as u64;
        let shared = self.producer.map.shared(self.producer.direction);
        self.producer.index.publish(shared, count)
    }
}

impl Write for Writer<'_> {
    /// All or nothing: what does not fit whole is refused with `WouldBlock`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.written {
            self.overflowed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.copy_in(self.written, bytes);
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end from which bytes are taken.
#[derive(Debug)]
pub struct Consumer {
    map: Arc<Map>,
    direction: Direction,
    index: ConsumerIndex,
}

impl Consumer {
    /// How many bytes are published and not yet consumed.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when the other side's index cannot be.
    pub fn available(&mut self) -> Result<usize, Corrupt> {
        let shared = self.map.shared(self.direction);
        self.index.available(shared).map(narrow)
    }

    /// Begins to read what is available; nothing is consumed before [`Reader::consume`].
    ///
    /// # Errors
    ///
    /// As [`Consumer::available`].
    pub fn reader(&mut self) -> Result<Reader<'_>, Corrupt> {
        let limit = self.available()?;
        Ok(Reader { consumer: self, read: 0, limit })
    }

    /// Says that this side is about to sleep until something is published. False if something is: then
    /// it must not sleep.
    ///
    /// # Errors
    ///
    /// As [`Consumer::available`].
    pub fn prepare_sleep(&mut self) -> Result<bool, Corrupt> {
        let shared = self.map.shared(self.direction);
        self.index.prepare_sleep(shared)
    }
}

/// Bytes being read out of a ring.
#[derive(Debug)]
pub struct Reader<'a> {
    consumer: &'a mut Consumer,
    read: usize,
    limit: usize,
}

impl Reader<'_> {
    /// How many bytes are left to read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.limit - self.read
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.read
    }

    /// Nothing beyond the next `count` bytes is read.
    pub fn limit(&mut self, count: usize) {
        self.limit = self.limit.min(self.read.saturating_add(count));
    }

    /// Passes over the next `count` bytes, or as many as are left.
    pub fn skip(&mut self, count: usize) {
        self.read += count.min(self.left());
    }

    /// Gives back the room of what was read. True if the other side sleeps and must be woken.
    #[must_use = "the other side sleeps until it is woken"]
    pub fn consume(self) -> bool {
        let count = self.read as u64;
        let shared = self.consumer.map.shared(self.consumer.direction);
        self.consumer.index.release(shared, count)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.left());
        let position = self.consumer.index.position() + self.read as u64;
        self.consumer.map.read(self.consumer.direction, position, &mut buffer[..count]);
        self.read += count;
        Ok(count)
    }
}

/// A count of bytes inside one ring.
fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
