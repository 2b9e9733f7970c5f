//! The memory of a pair of rings: one page of words, two stretches of data that are mapped twice each, and
//! two for bulk that are mapped once each.
//!
//! # Safety
//!
//! The mapping is one reservation of address space whose parts are replaced by parts of one object that
//! cannot shrink. It is reached through atomics (the words) and through copies by raw pointers whose
//! range is checked here (the data).
//!
//! Each process maps the rings out of which it reads as read-only, so that a stray write in a worker cannot
//! change what its owner may send to another. A forked child does not get the mappings of the owner at
//! all; its copies of these objects must not be used, and do nothing when they are dropped.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::index::Shared;
use super::{Sizes, USER_WORDS};
use crate::os;
use crate::unix::checked;
use crate::unix::fd::{generation, lift};

/// Which of the rings. Down is from the process that made the pair, up is to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    Down,
    Up,
    BulkDown,
    BulkUp,
}

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Maker,
    Receiver,
}

impl Stretch {
    /// All, in the order in which they lie in the object.
    const ALL: [Self; 4] = [Self::Down, Self::Up, Self::BulkDown, Self::BulkUp];

    fn is_written_by(self, side: Side) -> bool {
        matches!(self, Self::Down | Self::BulkDown) == (side == Side::Maker)
    }

    /// Whether it is mapped twice, so that nothing in it is ever split.
    #[inline]
    fn is_doubled(self) -> bool {
        matches!(self, Self::Down | Self::Up)
    }
}

/// The words take one page, so that data starts at a page. No system has smaller ones than this.
const LEAST_PAGE: usize = 4 << 10;
const _: () = assert!((BED + APART) * size_of::<u64>() <= LEAST_PAGE);
/// Words that different processes write stand on different lines of the processor's cache; two, because
/// processors fetch lines in pairs.
pub(super) const APART: usize = 128 / size_of::<u64>();
/// The words of one ring.
const RING_WORDS: usize = 4 * APART;
/// Where the word is on which somebody sleeps.
const BED: usize = USER_WORDS + Stretch::ALL.len() * RING_WORDS;

/// The mapping.
#[derive(Debug)]
pub(super) struct Map {
    base: *mut u8,
    /// The size of a page: that of the words.
    page: usize,
    sizes: Sizes,
    side: Side,
    generation: u64,
}

// SAFETY: `base` is an address that stays valid until the drop, in any thread; what is there is reached
// as the head of the file says.
unsafe impl Send for Map {}
// SAFETY: as above; `Producer` and `Consumer`, which write and read data, need `&mut` for it.
unsafe impl Sync for Map {}

/// The size of the object: words, the stretches for frames, those for bulk.
fn object(page: usize, sizes: Sizes) -> usize {
    page + 2 * sizes.frames + 2 * sizes.bulk
}

/// The size of the mapping: as the object, with the stretches for frames twice.
fn span(page: usize, sizes: Sizes) -> usize {
    page + 4 * sizes.frames + 2 * sizes.bulk
}

impl Map {
    pub(super) fn create(sizes: Sizes) -> io::Result<(Self, OwnedFd)> {
        let page = check(sizes)?;
        let new = os::shared::Object::new()?;
        // Most rings for bulk are never used, and most of those for frames never in full: their pages come when they
        // are touched, where that cannot fail. Those for bulk are made present by who uses them first.
        let frames = if os::shared::a_touch_may_fail() { 2 * sizes.frames } else { 0 };
        let fd = lift(new.fixed(object(page, sizes), page + frames)?)?;
        let this = Self::over(fd.as_fd(), page, sizes, Side::Maker)?;
        this.keep_from_children()?;
        Ok((this, fd))
    }

    pub(super) fn receive(fd: BorrowedFd<'_>, sizes: Sizes) -> io::Result<Self> {
        let page = check(sizes)?;
        os::shared::verify_fixed(fd, object(page, sizes))?;
        Self::over(fd, page, sizes, Side::Receiver)
    }

    pub(super) fn keep_from_children(&self) -> io::Result<()> {
        os::shared::not_for_children(self.base, self.span())
    }

    fn over(fd: BorrowedFd<'_>, page: usize, sizes: Sizes, side: Side) -> io::Result<Self> {
        let anywhere = std::ptr::null_mut();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let length = span(page, sizes);
        // SAFETY: a new mapping that replaces none.
        let base = unsafe { libc::mmap(anywhere, length, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // From here on, the drop unmaps it.
        let this = Self { base: base.cast(), page, sizes, side, generation: generation() };
        this.place(fd, 0, 0, page, true)?;
        let mut from = page;
        for stretch in Stretch::ALL {
            let (first, capacity) = (this.start(stretch), this.capacity(stretch));
            let writable = stretch.is_written_by(side);
            this.place(fd, first, from, capacity, writable)?;
            if stretch.is_doubled() {
                this.place(fd, first + capacity, from, capacity, writable)?;
            }
            from += capacity;
        }
        Ok(this)
    }

    /// Where in the mapping it begins.
    #[inline]
    fn start(&self, stretch: Stretch) -> usize {
        let Sizes { frames, bulk } = self.sizes;
        match stretch {
            Stretch::Down => self.page,
            Stretch::Up => self.page + 2 * frames,
            Stretch::BulkDown => self.page + 4 * frames,
            Stretch::BulkUp => self.page + 4 * frames + bulk,
        }
    }

    /// How many bytes it holds.
    #[inline]
    pub(super) fn capacity(&self, stretch: Stretch) -> usize {
        if stretch.is_doubled() { self.sizes.frames } else { self.sizes.bulk }
    }

    /// Makes sure that all of its memory is there, so that a lack of memory is an error here.
    pub(super) fn reserve(&self, stretch: Stretch) -> io::Result<()> {
        assert!(stretch.is_written_by(self.side), "nobody else writes there");
        // SAFETY: inside the reservation, as `place` has checked.
        let first = unsafe { self.base.add(self.start(stretch)) };
        os::shared::make_present(first, self.capacity(stretch))
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
        span(self.page, self.sizes)
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
    pub(super) fn shared(&self, stretch: Stretch) -> Shared<'_> {
        let first = USER_WORDS + stretch as usize * RING_WORDS;
        Shared {
            tail: self.word(first),
            head: self.word(first + APART),
            consumer_sleeps: self.word(first + 2 * APART),
            producer_sleeps: self.word(first + 3 * APART),
        }
    }

    /// The word on which the process that did not make the pair sleeps.
    pub(super) fn bed(&self) -> &AtomicU32 {
        let word = std::ptr::from_ref(self.word(BED)).cast::<AtomicU32>();
        // SAFETY: the first half of a word, which nobody reaches as a whole; else as for `word`.
        unsafe { &*word }
    }

    /// Where the byte with this count is in a stretch that is mapped twice, with `length` bytes from there on.
    #[inline]
    fn doubled(&self, stretch: Stretch, position: u64, length: usize) -> *mut u8 {
        let capacity = self.sizes.frames;
        assert!(length <= capacity, "no more than a ring holds");
        #[expect(clippy::cast_possible_truncation, reason = "masked to less than the capacity")]
        let inside = position as usize & (capacity - 1);
        let start = self.page + if stretch == Stretch::Down { 0 } else { 2 * capacity };
        // SAFETY: `inside` is below the capacity and so is `length`, and twice the capacity is mapped from the
        // start of either of the two stretches for frames.
        unsafe { self.base.add(start + inside) }
    }

    /// Where the byte with this count is in a stretch that is mapped once, and how many of the `length` from
    /// there on lie behind it. The others lie at its beginning.
    fn single(&self, stretch: Stretch, position: u64, length: usize) -> (*mut u8, usize) {
        let capacity = self.sizes.bulk;
        assert!(length <= capacity && !stretch.is_doubled(), "no more than a ring holds");
        #[expect(clippy::cast_possible_truncation, reason = "masked to less than the capacity")]
        let inside = position as usize & (capacity - 1);
        // SAFETY: `inside` is below the capacity, and so much is mapped from the start.
        let place = unsafe { self.base.add(self.start(stretch) + inside) };
        (place, length.min(capacity - inside))
    }

    /// Copies bytes into a ring of this process.
    #[inline]
    pub(super) fn write(&self, stretch: Stretch, position: u64, bytes: &[u8]) {
        assert!(stretch.is_written_by(self.side), "nobody else writes there");
        if !stretch.is_doubled() {
            return self.write_single(stretch, position, bytes);
        }
        let to = self.doubled(stretch, position, bytes.len());
        // SAFETY: `doubled` promises as many bytes, and those of this side are writable. `bytes` is a
        // reference, so it is not in this mapping, to which there are none.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    #[cold]
    fn write_single(&self, stretch: Stretch, position: u64, bytes: &[u8]) {
        let (to, straight) = self.single(stretch, position, bytes.len());
        let (first, rest) = bytes.split_at(straight);
        // SAFETY: as in `write`; `single` promises as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(first.as_ptr(), to, first.len()) };
        let (to, _) = self.single(stretch, 0, rest.len());
        // SAFETY: as above; at the beginning, all up to the capacity lies behind each other.
        unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), to, rest.len()) };
    }

    /// Copies bytes out of a ring.
    #[inline]
    pub(super) fn read(&self, stretch: Stretch, position: u64, buffer: &mut [u8]) {
        if !stretch.is_doubled() {
            return self.read_single(stretch, position, buffer);
        }
        let from = self.doubled(stretch, position, buffer.len());
        // SAFETY: `doubled` promises as many readable bytes, and `buffer` is not in this mapping. A peer that
        // breaks the protocol may change them meanwhile; any bytes are valid bytes.
        unsafe { std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), buffer.len()) };
    }

    #[cold]
    fn read_single(&self, stretch: Stretch, position: u64, buffer: &mut [u8]) {
        let (from, straight) = self.single(stretch, position, buffer.len());
        let (first, rest) = buffer.split_at_mut(straight);
        // SAFETY: as in `read`; `single` promises as many bytes.
        unsafe { std::ptr::copy_nonoverlapping(from, first.as_mut_ptr(), first.len()) };
        let (from, _) = self.single(stretch, 0, rest.len());
        // SAFETY: as above; at the beginning, all up to the capacity lies behind each other.
        unsafe { std::ptr::copy_nonoverlapping(from, rest.as_mut_ptr(), rest.len()) };
    }

    /// Copies bytes out of a ring for bulk, behind those that `buffer` has, into the room that it has: memory that was
    /// not written before is written once.
    pub(super) fn read_behind(
        &self,
        stretch: Stretch,
        position: u64,
        buffer: &mut Vec<u8>,
        length: usize,
    ) {
        let spare = buffer.spare_capacity_mut();
        assert!(length <= spare.len(), "the caller has made room");
        let into = spare.as_mut_ptr().cast::<u8>();
        let (from, straight) = self.single(stretch, position, length);
        // SAFETY: `single` promises as many readable bytes, and there is room for them, which is not in this
        // mapping; else as for `read`.
        unsafe { std::ptr::copy_nonoverlapping(from, into, straight) };
        let rest = length - straight;
        if rest > 0 {
            let (from, _) = self.single(stretch, 0, rest);
            // SAFETY: `straight` is at most `length`, for which there is room.
            let into = unsafe { into.add(straight) };
            // SAFETY: as above; at the beginning, all up to the capacity lies behind each other.
            unsafe { std::ptr::copy_nonoverlapping(from, into, rest) };
        }
        let all = buffer.len() + length;
        // SAFETY: `length` bytes behind those that were there have just been written, and there was room.
        unsafe { buffer.set_len(all) };
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

/// Whether rings can have these sizes. Returns the size of a page.
fn check(sizes: Sizes) -> io::Result<usize> {
    // SAFETY: no memory is involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    for capacity in [sizes.frames, sizes.bulk] {
        if !capacity.is_power_of_two() || capacity < page || capacity > 1 << 40 {
            let text = format!(
                "a ring cannot hold {capacity} bytes: a power of two, at least a page, is wanted"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    Ok(page)
}
