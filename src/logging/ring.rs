//! The memory through which one child's records reach its owner: a ring of bytes with one owner, who reads.
//!
//! The writer is whoever holds the lock of [`up`](super::up) in the child. A record counts when `tail` has passed
//! it: a child that is killed while it writes leaves nothing half-read, and all that it wrote before can be read
//! after its end. Nothing is kept in the child, so a copy of it (`Reuse::PerTask`) goes on where it was.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use offspring_platform::region::Region;

/// How many bytes wait for the owner at most: about a thousand records of the usual length.
const CAPACITY: usize = 128 << 10;
/// The largest record.
pub(super) const LARGEST: usize = CAPACITY / 4;
/// "os", then "log".
const TAG: u64 = (0x6f73 << 48) | (0x6c6f67 << 16);

/// Places are counts of bytes, and whole words.
const WORD: usize = size_of::<u64>();

// Words of 64 bits.
const TAIL: usize = 0;
const HEAD: usize = 1;
const DROPPED: usize = 2;
// Words of 32 bits.
const LEVEL: usize = 0;
const ASLEEP: usize = 1;
const PID: usize = 2;

/// What is in the ring is none of what a child writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct Ring(Arc<Region>);

impl Ring {
    /// In the owner.
    pub(super) fn new() -> io::Result<Self> {
        Region::new(TAG, CAPACITY).map(|region| Self(Arc::new(region)))
    }

    /// In the child.
    pub(super) fn received(fd: OwnedFd) -> io::Result<Self> {
        Region::receive(fd, TAG, CAPACITY).map(|region| Self(Arc::new(region)))
    }

    /// What is sent to the child.
    pub(super) fn carried(&self) -> Arc<Region> {
        self.0.clone()
    }

    fn tail(&self) -> &AtomicU64 {
        self.0.wide_word(TAIL)
    }

    fn head(&self) -> &AtomicU64 {
        self.0.wide_word(HEAD)
    }

    /// The owner's maximum level, as a number.
    #[inline]
    pub(super) fn level(&self) -> &AtomicU32 {
        self.0.word(LEVEL)
    }

    /// How many records were dropped.
    pub(super) fn dropped(&self) -> &AtomicU64 {
        self.0.wide_word(DROPPED)
    }

    /// Who writes.
    pub(super) fn pid(&self) -> &AtomicU32 {
        self.0.word(PID)
    }

    /// In the owner, before it sleeps: wants to be told of the next record. A fence has to follow, then a look.
    pub(super) fn ask_to_be_woken(&self) {
        self.0.word(ASLEEP).store(1, Ordering::Relaxed);
    }

    /// Up to where there are records.
    pub(super) fn end(&self) -> u64 {
        // Acquire: the bytes are there.
        self.tail().load(Ordering::Acquire)
    }

    /// Up to where the owner has read.
    pub(super) fn read_to(&self) -> u64 {
        // Acquire: the owner has read what will be overwritten.
        self.head().load(Ordering::Acquire)
    }

    /// In the child, by one thread at a time: puts a record into the ring. `None` if there is no room; else
    /// whether the owner must be woken.
    pub(super) fn write(&self, record: &[u8]) -> Option<bool> {
        let size = WORD + record.len().next_multiple_of(WORD);
        // Nobody but this process, and copies of it that have ended, writes there.
        let tail = self.tail().load(Ordering::Relaxed);
        let used = tail.saturating_sub(self.read_to());
        if used.saturating_add(size as u64) > CAPACITY as u64 {
            return None;
        }
        self.put(tail, &(record.len() as u64).to_ne_bytes());
        let (words, rest) = record.split_at(record.len() / WORD * WORD);
        self.put(tail + WORD as u64, words);
        if !rest.is_empty() {
            let mut last = [0; WORD];
            last[..rest.len()].copy_from_slice(rest);
            self.put(tail + (WORD + words.len()) as u64, &last);
        }
        // Release: the bytes are there before the counter says so.
        self.tail().store(tail + size as u64, Ordering::Release);
        // Either the owner sees the record before it sleeps, or we see that it is about to.
        fence(Ordering::SeqCst);
        let asleep = self.0.word(ASLEEP);
        Some(asleep.load(Ordering::Relaxed) != 0 && asleep.swap(0, Ordering::AcqRel) != 0)
    }

    /// In the owner: copies out the record at `at`, and returns where the next one is; `None` at `end`.
    pub(super) fn read(
        &self,
        at: u64,
        end: u64,
        record: &mut Vec<u8>,
    ) -> Result<Option<u64>, Corrupt> {
        let there = end.checked_sub(at).ok_or(Corrupt)?;
        if there == 0 {
            return Ok(None);
        }
        if there > CAPACITY as u64 || there % WORD as u64 != 0 {
            return Err(Corrupt);
        }
        let mut length = [0; WORD];
        self.get(at, &mut length);
        let length = u64::from_ne_bytes(length);
        if length > LARGEST as u64 {
            return Err(Corrupt);
        }
        let size = WORD as u64 + length.next_multiple_of(WORD as u64);
        if size > there {
            return Err(Corrupt);
        }
        let length = usize::try_from(length).map_err(|_| Corrupt)?;
        record.clear();
        record.resize(length, 0);
        self.get(at + WORD as u64, record);
        Ok(Some(at + size))
    }

    /// In the owner: all before this place may be overwritten.
    pub(super) fn release(&self, to: u64) {
        // Release: what was there has been read.
        self.head().store(to, Ordering::Release);
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        let (place, straight) = place(at, bytes.len());
        let (first, second) = bytes.split_at(straight);
        self.0.write(place, first);
        self.0.write(0, second);
    }

    fn get(&self, at: u64, into: &mut [u8]) {
        let (place, straight) = place(at, into.len());
        let (first, second) = into.split_at_mut(straight);
        self.0.read(place, first);
        self.0.read(0, second);
    }
}

/// Where in the memory a place of the ring is, and how many of so many bytes are there before its end.
fn place(at: u64, length: usize) -> (usize, usize) {
    let place = usize::try_from(at % CAPACITY as u64).unwrap_or(0);
    (place, length.min(CAPACITY - place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_lengths_come_out_as_they_went_in_around_the_end_of_the_ring() {
        let ring = Ring::new().unwrap();
        let (mut at, mut record) = (0, Vec::new());
        for length in (0..3000).chain([LARGEST, LARGEST - 1, 1, 0]) {
            let wrote = vec![u8::try_from(length % 251).unwrap(); length];
            assert_eq!(ring.write(&wrote), Some(false), "{length}");
            let end = ring.end();
            at = ring.read(at, end, &mut record).unwrap().expect("a record is there");
            assert_eq!(record, wrote);
            assert_eq!(ring.read(at, end, &mut record), Ok(None));
            ring.release(at);
        }
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let ring = Ring::new().unwrap();
        let mut count = 0u64;
        while ring.write(&count.to_ne_bytes()).is_some() {
            count += 1;
        }
        assert_eq!(count, (CAPACITY / 16) as u64);
        let (mut at, mut record, mut next) = (0, Vec::new(), 0u64);
        while let Some(after) = ring.read(at, ring.end(), &mut record).unwrap() {
            assert_eq!(record, next.to_ne_bytes());
            (at, next) = (after, next + 1);
        }
        assert_eq!(next, count);
    }

    #[test]
    fn whoever_sleeps_is_woken_once() {
        let ring = Ring::new().unwrap();
        ring.ask_to_be_woken();
        assert_eq!(ring.write(b"first"), Some(true));
        assert_eq!(ring.write(b"second"), Some(false));
    }

    #[test]
    fn counters_that_cannot_be_are_noticed() {
        let ring = Ring::new().unwrap();
        let mut record = Vec::new();
        for end in [1, 8 + CAPACITY as u64, u64::MAX] {
            assert_eq!(ring.read(0, end, &mut record), Err(Corrupt), "{end}");
        }
        assert_eq!(ring.read(8, 0, &mut record), Err(Corrupt), "backwards");
        ring.put(0, &(LARGEST as u64 + 1).to_ne_bytes());
        assert_eq!(ring.read(0, CAPACITY as u64, &mut record), Err(Corrupt), "too long");
        ring.put(0, &24u64.to_ne_bytes());
        assert_eq!(ring.read(0, 24, &mut record), Err(Corrupt), "more than there is");
    }
}
