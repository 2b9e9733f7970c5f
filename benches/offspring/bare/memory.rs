//! Memory that forked children share with their parent, and memory that makes a parent large.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::AtomicU64;

use crate::Outcome;

const PAGE: usize = 4096;

/// A mapping that ends with this value.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    length: usize,
}

impl Region {
    /// Zeroes that this process and its forked children all see, already touched by this process.
    pub(crate) fn shared(length: usize) -> Outcome<Self> {
        let mut region = Self::anonymous(length, libc::MAP_SHARED)?;
        region.touch();
        Ok(region)
    }

    /// Memory of this process alone, resident, in small pages: what makes a fork slow.
    pub(crate) fn ballast(length: usize) -> Outcome<Self> {
        let mut region = Self::anonymous(length, libc::MAP_PRIVATE)?;
        #[cfg(target_os = "linux")]
        // SAFETY: the range is a mapping of ours, and the advice does not change what it holds. Where the
        // kernel has no huge pages it refuses, which is as good.
        unsafe {
            libc::madvise(region.start.as_ptr().cast(), length, libc::MADV_NOHUGEPAGE);
        }
        region.touch();
        Ok(region)
    }

    /// The file behind a descriptor, to read.
    pub(crate) fn of_file(file: BorrowedFd<'_>, length: usize) -> Outcome<Self> {
        Self::map(length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd())
    }

    /// The same, to write.
    pub(super) fn of_file_to_fill(file: BorrowedFd<'_>, length: usize) -> Outcome<Self> {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        Self::map(length, both, libc::MAP_SHARED, file.as_raw_fd())
    }

    fn anonymous(length: usize, sharing: i32) -> Outcome<Self> {
        Self::map(length, libc::PROT_READ | libc::PROT_WRITE, sharing | libc::MAP_ANON, -1)
    }

    fn map(length: usize, protection: i32, flags: i32, file: i32) -> Outcome<Self> {
        // SAFETY: the kernel chooses a range that nobody uses.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        let start = NonNull::new(start.cast()).ok_or("a mapping at address zero")?;
        Ok(Self { start, length })
    }

    /// Writes to each page once, what is in it already.
    fn touch(&mut self) {
        // SAFETY: the mapping is writable, initialised, and no other process has it yet.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) };
        bytes.iter_mut().step_by(PAGE).for_each(|byte| *byte = std::hint::black_box(0));
    }

    /// All of it, as words that several processes may read and write at the same time.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping lives as long as `self`, starts at a page and is initialised; whoever has it
        // uses atomics, or bytes at times when nobody writes.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.length / 8) }
    }

    /// Copies bytes to the start.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes the memory meanwhile, and no [`Region::bytes`] is in use.
    pub(super) unsafe fn copy_in(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length, "it fits");
        // SAFETY: it fits, a borrowed slice and a mapping of ours do not overlap, and the caller sees to
        // the rest.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len());
        }
    }

    /// All of it.
    ///
    /// # Safety
    ///
    /// Nobody writes to the memory while the slice is in use.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self` and is initialised; the caller sees to the rest.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is a mapping of ours, and every borrow of it has ended.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
