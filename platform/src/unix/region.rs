//! Memory of fixed size that several processes read and write, with one lock in it.
//!
//! Everybody may change it at any time, so nobody has a reference to plain data in it: it is reached through
//! atomics, and copied out and in by atomic words. A process that does not keep to the lock could then
//! cause wrong values and no undefined behaviour, and a forked child, which inherits the mapping, can do
//! no harm with what its parent was looking at.
//!
//! The layout: a tag, the owner of the lock, the lock's words, a few words for the user, then data.
//!
//! # Safety
//!
//! The object cannot shrink (`os::shared`), every access is checked against its length, and places are
//! aligned because the mapping starts at a page. The mapping ends with the last user of the `Region`, except
//! when a thread still owns the lock because its guard was forgotten: then it stays for ever, since the C
//! library has its address.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize, Ordering,
};

use memmap2::{MmapMut, MmapOptions};

use super::fd::{duplicate, lift};
use super::shared::{UNCHECKED, room_for};
use crate::os;
use crate::os::owner::Owner;

/// Where things are.
const TAG: usize = 0;
const OWNER: usize = 64;
const LOCK_WORDS: usize = OWNER + os::owner::SIZE;
const NARROW: usize = LOCK_WORDS + 64;
const WIDE: usize = NARROW + WORDS * size_of::<u32>();
const DATA: usize = 256;
const _: () = assert!(WIDE + WIDE_WORDS * size_of::<u64>() <= DATA);

/// Data is copied in pieces of this size, always the same ones, so that no two accesses overlap in part.
const WORD: usize = size_of::<u64>();

/// How many words of 32 bits there are for the user of a region.
pub const WORDS: usize = 8;
/// How many words of 64 bits.
pub const WIDE_WORDS: usize = 4;

/// A type of the standard library that is accessed by atomic operations only, with every bit pattern valid.
///
/// # Safety
///
/// Whoever implements it says just that, and that its size is at most 8 and its alignment equal to it.
pub unsafe trait Atomic: Send + Sync + 'static {}

macro_rules! atomics {
    ($($atomic:ty),*) => {$(
        // SAFETY: an integer, aligned to its size on the systems that are supported.
        unsafe impl Atomic for $atomic {}
        const _: () = assert!(size_of::<$atomic>() <= 8);
        const _: () = assert!(align_of::<$atomic>() == size_of::<$atomic>());
    )*};
}

atomics!(
    AtomicU8,
    AtomicI8,
    AtomicU16,
    AtomicI16,
    AtomicU32,
    AtomicI32,
    AtomicU64,
    AtomicI64,
    AtomicUsize,
    AtomicIsize
);

/// The memory.
#[derive(Debug)]
pub struct Region {
    map: ManuallyDrop<MmapMut>,
    fd: OwnedFd,
    bytes: usize,
    /// How many guards of this process have not released the lock: 0 or 1, and more where forks left theirs.
    pub(super) held: AtomicU32,
}

impl Region {
    /// Makes a region with `bytes` bytes of data, all zero, and words that are all zero.
    ///
    /// The tag says what it is used for, to those who receive it.
    ///
    /// # Errors
    ///
    /// When the process, the system or the memory cgroup has no descriptor or no memory left.
    pub fn new(tag: u64, bytes: usize) -> io::Result<Self> {
        let length = length(bytes)?;
        if length > UNCHECKED {
            room_for(length)?;
        }
        let fd = lift(os::shared::Object::new()?.fixed(length, length)?)?;
        let this = Self::map(fd, bytes, length)?;
        // SAFETY: just made, and nobody else has it.
        unsafe { this.owner().initialise() }?;
        this.at::<AtomicU64>(TAG).store(tag, Ordering::Release);
        Ok(this)
    }

    /// Maps a region that another process made.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it has another tag, is smaller than that, or could shrink.
    pub fn receive(fd: OwnedFd, tag: u64, bytes: usize) -> io::Result<Self> {
        let length = length(bytes)?;
        os::shared::verify_fixed(fd.as_fd(), length)?;
        let this = Self::map(fd, bytes, length)?;
        let found = this.at::<AtomicU64>(TAG).load(Ordering::Acquire);
        if found != tag {
            let text = format!("the memory received is used as {found:#x}, and not as {tag:#x}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(this)
    }

    fn map(fd: OwnedFd, bytes: usize, length: usize) -> io::Result<Self> {
        let file = File::from(duplicate(fd.as_fd())?);
        // SAFETY: `os::shared` says that the object has `length` bytes and cannot shrink. Others may write to
        // it, so no reference to bytes of it is ever made.
        let map = unsafe { MmapOptions::new().len(length).map_mut(&file) }?;
        Ok(Self { map: ManuallyDrop::new(map), fd, bytes, held: AtomicU32::new(0) })
    }

    /// How many bytes of data it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A word of 32 bits for the user of the region.
    ///
    /// # Panics
    ///
    /// When `number` is not below [`WORDS`].
    #[must_use]
    pub fn word(&self, number: usize) -> &AtomicU32 {
        assert!(number < WORDS, "a region has no word {number}");
        self.at(NARROW + number * size_of::<u32>())
    }

    /// A word of 64 bits for the user of the region.
    ///
    /// # Panics
    ///
    /// When `number` is not below [`WIDE_WORDS`].
    #[must_use]
    pub fn wide_word(&self, number: usize) -> &AtomicU64 {
        assert!(number < WIDE_WORDS, "a region has no wide word {number}");
        self.at(WIDE + number * size_of::<u64>())
    }

    /// The data, as atomics: as many as there is room for.
    #[must_use]
    pub fn atomics<A: Atomic>(&self) -> &[A] {
        let first = std::ptr::from_ref(self.at::<A>(DATA));
        // SAFETY: so many are inside, see `length`; else as for `at`.
        unsafe { std::slice::from_raw_parts(first, self.bytes / size_of::<A>()) }
    }

    /// Copies data out, from the byte `from` on.
    ///
    /// It is that of one moment only if nobody writes meanwhile, which is what the lock is for.
    ///
    /// # Panics
    ///
    /// When there are not as many bytes.
    pub fn read(&self, from: usize, into: &mut [u8]) {
        let mut rest = into;
        for (place, inside) in self.places(from, rest.len()) {
            let word = self.at::<AtomicU64>(place).load(Ordering::Relaxed).to_ne_bytes();
            let (part, after) = rest.split_at_mut(inside.len());
            part.copy_from_slice(&word[inside]);
            rest = after;
        }
    }

    /// Copies data in, from the byte `to` on.
    ///
    /// # Panics
    ///
    /// When there is no room for as many bytes.
    pub fn write(&self, to: usize, bytes: &[u8]) {
        let mut rest = bytes;
        for (place, inside) in self.places(to, rest.len()) {
            let word = self.at::<AtomicU64>(place);
            let (part, after) = rest.split_at(inside.len());
            let mut new = [0; WORD];
            if part.len() < WORD {
                // The bytes beside it stay; the lock keeps others from changing them meanwhile.
                new = word.load(Ordering::Relaxed).to_ne_bytes();
            }
            new[inside].copy_from_slice(part);
            word.store(u64::from_ne_bytes(new), Ordering::Relaxed);
            rest = after;
        }
    }

    /// The words that hold some bytes of the data: where each is in the region, and which of its bytes.
    fn places(&self, at: usize, count: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let inside = at.checked_add(count).is_some_and(|end| end <= self.bytes);
        assert!(inside, "{count} bytes at {at} are not inside of {}", self.bytes);
        let end = DATA + at + count;
        let mut next = DATA + at;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let place = next / WORD * WORD;
            let range = next - place..WORD.min(end - place);
            next = place + WORD;
            Some((place, range))
        })
    }

    /// The word on which those sleep who wait for the lock.
    pub(super) fn queue(&self) -> &AtomicU32 {
        self.at(LOCK_WORDS)
    }

    /// Not zero when somebody who had the lock did not come to an end with it.
    pub(super) fn poison(&self) -> &AtomicU32 {
        self.at(LOCK_WORDS + size_of::<u32>())
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        // SAFETY: within the header, which every mapping has.
        let place = unsafe { self.map.as_ptr().cast_mut().add(OWNER) };
        // SAFETY: a multiple of 64 within a page, mapped while `self` lives, and for ever if the lock is
        // owned then. Nothing else reaches it.
        unsafe { Owner::at(place) }
    }

    /// The atomic at a place in the mapping.
    #[inline]
    fn at<A: Atomic>(&self, at: usize) -> &A {
        assert!(at + size_of::<A>() <= self.map.len(), "inside of the region");
        assert!(at % align_of::<A>() == 0, "aligned");
        // SAFETY: inside of the mapping, checked above.
        let place = unsafe { self.map.as_ptr().add(at) };
        // SAFETY: aligned (the mapping starts at a page), mapped while `self` lives, every bit pattern is
        // valid, and all processes reach it through atomics.
        unsafe { &*place.cast::<A>() }
    }
}

/// The size of the object: whole words, and one at least, so that there always is a first.
fn length(bytes: usize) -> io::Result<usize> {
    let most = isize::MAX.unsigned_abs() - DATA - WORD;
    if bytes > most {
        return Err(io::Error::from_raw_os_error(libc::ENOMEM));
    }
    Ok(DATA + bytes.max(1).next_multiple_of(WORD))
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if *self.held.get_mut() == 0 {
            // SAFETY: not used after this, and nobody has the address of the owner.
            unsafe { ManuallyDrop::drop(&mut self.map) };
        }
    }
}
