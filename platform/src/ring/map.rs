//! The memory of a pair of rings: one page of words, and two stretches of data, each mapped twice.
//!
//! # Safety
//!
//! The mapping is one reservation of address space whose parts are replaced by parts of one object that
//! cannot shrink. It is reached through atomics (the words) and through copies by raw pointers whose
//! range is checked here (the data).
//!
//! Each process maps the ring out of which it reads as read-only, so that a stray write in a worker cannot
//! change what its owner may send to another. A forked child does not get the mappings of the owner at
//! all; its copies of these objects must not be used, and do nothing when they are dropped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::USER_WORDS;
use super::index::Shared;
use crate::os;
use crate::unix::checked;
use crate::unix::fd::{generation, lift};

/// Which of the two rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the process that made the pair.
    Down,
    /// To it.
    Up,
}

/// The words take one page, so that data starts at a page. No system has smaller ones than this.
const LEAST_PAGE: usize = 4 << 10;
const _: () = assert!((USER_WORDS + 9 * APART) * size_of::<u64>() <= LEAST_PAGE);
/// Words that different processes write stand on different lines of the processor's cache; two, because
/// processors fetch lines in pairs.
pub(super) const APART: usize = 128 / size_of::<u64>();

/// The mapping.
#[derive(Debug)]
pub(super) struct Map {
    base: *mut u8,
    /// The size of a page: that of the words.
    page: usize,
    capacity: usize,
    /// The ring into which this process writes.
    out: Direction,
    generation: u64,
}

// SAFETY: `base` is an address that stays valid until the drop, in any thread; what is there is reached
// as the head of the file says.
unsafe impl Send for Map {}
// SAFETY: as above; `Producer` and `Consumer`, which write and read data, need `&mut` for it.
unsafe impl Sync for Map {}

/// The size of the object: words, then the data of both rings.
fn object(page: usize, capacity: usize) -> usize {
    page + 2 * capacity
}

/// The size of the mapping: words, then the data of both rings, twice each.
fn span(page: usize, capacity: usize) -> usize {
    page + 4 * capacity
}

impl Map {
    pub(super) fn create(capacity: usize) -> io::Result<(Self, OwnedFd)> {
        let page = check(capacity)?;
        let fd = lift(os::shared::Object::new()?.fixed(object(page, capacity))?)?;
        let this = Self::over(fd.as_fd(), page, capacity, Direction::Down)?;
        this.keep_from_children()?;
        Ok((this, fd))
    }

    pub(super) fn receive(fd: BorrowedFd<'_>, capacity: usize) -> io::Result<Self> {
        let page = check(capacity)?;
        os::shared::verify_fixed(fd, object(page, capacity))?;
        Self::over(fd, page, capacity, Direction::Up)
    }

    pub(super) fn keep_from_children(&self) -> io::Result<()> {
        os::shared::not_for_children(self.base, self.span())
    }

    fn over(fd: BorrowedFd<'_>, page: usize, capacity: usize, out: Direction) -> io::Result<Self> {
        let anywhere = std::ptr::null_mut();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let length = span(page, capacity);
        // SAFETY: a new mapping that replaces none.
        let base = unsafe { libc::mmap(anywhere, length, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // From here on, the drop unmaps it.
        let this = Self { base: base.cast(), page, capacity, out, generation: generation() };
        this.place(fd, 0, 0, page, true)?;
        for (number, direction) in [Direction::Down, Direction::Up].into_iter().enumerate() {
            let from = page + number * capacity;
            let first = page + 2 * number * capacity;
            this.place(fd, first, from, capacity, direction == out)?;
            this.place(fd, first + capacity, from, capacity, direction == out)?;
        }
        Ok(this)
    }

    /// Maps `length` bytes of the object at `offset` into the reservation.
    fn place(
        &self,
        fd: BorrowedFd<'_>,
        at: usize,
        offset: usize,
        length: usize,
        writable: bool,
    ) -> io::Result<()> {
        assert!(at + length <= self.span(), "inside the reservation");
        // SAFETY: inside the reservation: checked above.
        let address = unsafe { self.base.add(at) };
        let protection =
            if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: replaces a part of our own reservation, to which nobody has a reference.
        let placed = unsafe {
            libc::mmap(address.cast(), length, protection, flags, fd.as_raw_fd(), offset)
        };
        if placed == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn span(&self) -> usize {
        span(self.page, self.capacity)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline]
    fn word(&self, number: usize) -> &AtomicU64 {
        assert!((number + 1) * size_of::<u64>() <= LEAST_PAGE, "inside the words");
        let words = self.base.cast::<AtomicU64>();
        // SAFETY: inside the words: checked above.
        let word = unsafe { words.add(number) };
        // SAFETY: mapped until the drop, aligned (the mapping starts at a page), any bits are valid, and
        // all processes reach it through atomics only.
        unsafe { &*word }
    }

    #[inline]
    pub(super) fn user_words(&self) -> &[AtomicU64] {
        let first = std::ptr::from_ref(self.word(0));
        // SAFETY: as for `word`, for the first `USER_WORDS`; those of the rings lie behind.
        unsafe { std::slice::from_raw_parts(first, USER_WORDS) }
    }

    #[inline]
    pub(super) fn shared(&self, direction: Direction) -> Shared<'_> {
        let first = USER_WORDS
            + match direction {
                Direction::Down => 0,
                Direction::Up => 4 * APART,
            };
        Shared {
            tail: self.word(first),
            head: self.word(first + APART),
            consumer_sleeps: self.word(first + 2 * APART),
            producer_sleeps: self.word(first + 3 * APART),
        }
    }

    /// Where the byte with this count is, with at least `length` contiguous bytes after it.
    #[inline]
    fn data(&self, direction: Direction, position: u64, length: usize) -> *mut u8 {
        assert!(length <= self.capacity, "no more than a ring holds");
        #[expect(clippy::cast_possible_truncation, reason = "masked to less than the capacity")]
        let inside = position as usize & (self.capacity - 1);
        let start = match direction {
            Direction::Down => self.page,
            Direction::Up => self.page + 2 * self.capacity,
        };
        // SAFETY: `inside` is below the capacity and so is `length`, and twice the capacity is mapped
        // from `start`.
        unsafe { self.base.add(start + inside) }
    }

    /// The word on which the process that did not make the pair sleeps.
    pub(super) fn bed(&self) -> &AtomicU32 {
        let word = std::ptr::from_ref(self.word(USER_WORDS + 8 * APART)).cast::<AtomicU32>();
        // SAFETY: the first half of a word, which nobody reaches as a whole; else as for `word`.
        unsafe { &*word }
    }

    /// Copies bytes into the ring of this process.
    #[inline]
    pub(super) fn write(&self, position: u64, bytes: &[u8]) {
        let to = self.data(self.out, position, bytes.len());
        // SAFETY: `data` promises as many bytes, and those of `out` are writable. `bytes` is a reference, so it is not in this
        // mapping, to which there are none.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Copies bytes out of a ring.
    #[inline]
    pub(super) fn read(&self, direction: Direction, position: u64, buffer: &mut [u8]) {
        let from = self.data(direction, position, buffer.len());
        // SAFETY: `data` promises as many readable bytes, and `buffer` is not in this mapping. A peer that
        // breaks the protocol may change them meanwhile; any bytes are valid bytes.
        unsafe { std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), buffer.len()) };
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        if self.generation != generation() {
            // A forked child: the mapping was not inherited, and something else may be in its place.
            return;
        }
        // SAFETY: the whole reservation, made in `over`; no reference to it outlives `self`. Failure is
        // impossible for a range that is mapped.
        let _ = checked(unsafe { libc::munmap(self.base.cast(), self.span()) });
    }
}

/// Whether a ring can have this capacity. Returns the size of a page.
fn check(capacity: usize) -> io::Result<usize> {
    // SAFETY: no memory is involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    if capacity.is_power_of_two() && capacity >= page && capacity <= 1 << 40 {
        return Ok(page);
    }
    let text =
        format!("a ring cannot hold {capacity} bytes: a power of two, at least a page, is wanted");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
