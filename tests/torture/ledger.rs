//! Words in a file that several processes map: what was written to them outlives whoever wrote it.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many words. What is not written to needs no memory.
pub type Words = &'static [AtomicU64];

/// Maps `count` words of a file, which is made if it is not there, until this process ends.
pub fn map(path: &Path, count: usize) -> Words {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.expect("a file for the ledger");
    let bytes = count * size_of::<AtomicU64>();
    file.set_len(bytes as u64).expect("room for the ledger");
    let (access, how) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the system chooses where; the file is as long as that.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, how, file.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED, "the ledger is mapped");
    // SAFETY: so many bytes are mapped there and never unmapped, aligned to a page; all bits are valid; and
    // nobody who maps the file does anything to it but atomic operations.
    unsafe { std::slice::from_raw_parts(start.cast(), count) }
}

/// Entries of so many words, appended by any process, read when all have ended.
#[derive(Clone, Copy)]
pub struct Log<const WIDTH: usize>(Words);

impl<const WIDTH: usize> Log<WIDTH> {
    /// How many words a log of so many entries takes.
    pub const fn size(entries: usize) -> usize {
        1 + entries * WIDTH
    }

    pub fn of(words: Words) -> Self {
        Self(words)
    }

    /// Appends an entry, the first word last: it must not be 0. Returns its place.
    pub fn append(self, entry: [u64; WIDTH]) -> usize {
        let place = 1 + self.0[0].fetch_add(1, Ordering::SeqCst) as usize * WIDTH;
        for nth in (0..WIDTH).rev() {
            self.0[place + nth].store(entry[nth], Ordering::SeqCst);
        }
        place
    }

    /// Changes a word of an entry.
    pub fn set(self, place: usize, nth: usize, value: u64) {
        self.0[place + nth].store(value, Ordering::SeqCst);
    }

    pub fn len(self) -> usize {
        self.0[0].load(Ordering::SeqCst) as usize
    }

    /// All entries, in order; not those whose writer died before they were whole.
    pub fn entries(self) -> impl Iterator<Item = [u64; WIDTH]> {
        let entry = move |index: usize| {
            std::array::from_fn(|nth| self.0[1 + index * WIDTH + nth].load(Ordering::SeqCst))
        };
        (0..self.len()).map(entry).filter(|entry: &[u64; WIDTH]| entry[0] != 0)
    }
}
