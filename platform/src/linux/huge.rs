//! Huge pages for tables: 2 MiB instead of 4 KiB for each entry of the processor's address cache.
//!
//! Three things must come together: the object has huge pages (the kernel gathers its small ones when it
//! is asked to, MADV_COLLAPSE, whatever the setting `shmem_enabled` says short of `deny`; since Linux
//! 6.1); the mapping starts at a multiple of 2 MiB, which the kernel does not see to for such objects; and
//! the mapping has the wish. All of it is a wish: what fails is left as it is.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::c_int;

/// The size of a huge page, or a multiple of it, on all processors with pages of 4 KiB.
const HUGE: usize = 2 << 20;

/// A mapping that starts at a multiple of 2 MiB.
#[derive(Debug)]
pub(crate) struct HugeMap {
    /// The reservation in which the mapping lies.
    base: *mut u8,
    reserved: usize,
    start: *mut u8,
    length: usize,
}

// SAFETY: the addresses stay valid until the drop, in any thread; what is there is only read.
unsafe impl Send for HugeMap {}
// SAFETY: as above.
unsafe impl Sync for HugeMap {}

impl HugeMap {
    /// Maps the first `length` bytes, to read; `None` when that does not work.
    ///
    /// # Safety
    ///
    /// The object has that many bytes, and nobody can change it any more.
    pub(crate) unsafe fn new(fd: BorrowedFd<'_>, length: usize) -> Option<Self> {
        Self::map(fd, length, libc::PROT_READ)
    }

    fn map(fd: BorrowedFd<'_>, length: usize, protection: c_int) -> Option<Self> {
        // Less than one huge page gains nothing.
        if length < HUGE {
            return None;
        }
        let reserved = length.checked_next_multiple_of(HUGE)?.checked_add(HUGE)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        // SAFETY: a new range that nobody uses.
        let base = unsafe { libc::mmap(ptr::null_mut(), reserved, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return None;
        }
        let base = base.cast::<u8>();
        let start = base.map_addr(|address| address.next_multiple_of(HUGE));
        // From here on its drop gives the range back.
        let this = Self { base, reserved, start, length };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: replaces a part of the reservation, which is ours and unused.
        let map = unsafe { libc::mmap(start.cast(), length, protection, flags, fd.as_raw_fd(), 0) };
        if map == libc::MAP_FAILED {
            return None;
        }
        this.advise(libc::MADV_HUGEPAGE).ok()?;
        Some(this)
    }

    /// Says what the mapping is for. Never changes what is in it.
    fn advise(&self, advice: c_int) -> io::Result<()> {
        // SAFETY: the range is our mapping, and the advices of this file do not change what it holds.
        crate::unix::checked(unsafe { libc::madvise(self.start.cast(), self.length, advice) })?;
        Ok(())
    }

    /// Maps all pages now.
    pub(crate) fn populate(&self) {
        // Older kernels do not know it: then each page is mapped when it is touched.
        let _ = self.advise(libc::MADV_POPULATE_READ);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has that many bytes, lives as long as `self`, and the promise of `new` says
        // that they never change. The writable mappings of this file do not leave it.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for HugeMap {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and no borrow of its bytes is left.
        unsafe { libc::munmap(self.base.cast(), self.reserved) };
    }
}

/// Gathers the small pages of an object into huge ones. Takes about as long as copying it.
pub(crate) fn gather(fd: BorrowedFd<'_>, length: usize) {
    if let Some(map) = HugeMap::map(fd, length, libc::PROT_READ) {
        let _ = map.advise(libc::MADV_COLLAPSE);
    }
}

/// Gives a new object its pages, huge ones where possible.
pub(crate) fn allocate(fd: BorrowedFd<'_>, length: usize) {
    if let Some(map) = HugeMap::map(fd, length, libc::PROT_READ | libc::PROT_WRITE) {
        // Fails, and raises no signal, when there is no memory.
        if map.advise(libc::MADV_POPULATE_WRITE).is_ok() {
            let _ = map.advise(libc::MADV_COLLAPSE);
        }
    }
}
