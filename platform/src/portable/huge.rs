//! Huge pages for tables: none here, as macOS has none for shared memory.

use std::os::fd::BorrowedFd;

/// A mapping in huge pages, which does not exist here.
#[derive(Debug)]
pub(crate) enum HugeMap {}

impl HugeMap {
    /// # Safety
    ///
    /// As on Linux: the object has that many bytes, and nobody can change it any more.
    pub(crate) unsafe fn new(_fd: BorrowedFd<'_>, _length: usize) -> Option<Self> {
        None
    }

    pub(crate) fn populate(&self) {
        match *self {}
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match *self {}
    }
}

/// Does nothing: pages are as large as they are.
pub(crate) fn gather(_fd: BorrowedFd<'_>, _length: usize) {}
