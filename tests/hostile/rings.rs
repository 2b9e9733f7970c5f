//! The memory that a pool and its worker share, found and written without asking anybody.
//!
//! As it lies in `platform/src/ring/map.rs` and `src/link/lane.rs`: a page of words, then the ring down, the ring
//! up (each mapped twice), and those for bulk.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::leaks::SHARED_MEMORY;

const PAGE: usize = 4096;
const FRAMES: usize = 128 << 10;
/// The first words, which are not those of rings.
const USER_WORDS: usize = 64;
/// Words of one ring: tail, head, and who sleeps; so far from each other.
const APART: usize = 16;
pub(crate) const WORDS: usize = USER_WORDS + 4 * 4 * APART;
pub(crate) const HEAD: usize = 8;

/// Which of the two rings for frames.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ring {
    Down,
    Up,
}

/// See the head of the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rings {
    words: &'static [AtomicU64],
    base: *mut u8,
}

struct Line {
    start: usize,
    offset: usize,
}

impl Rings {
    /// Those of this process, which is a worker, or the owner of one.
    pub(crate) fn find() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let lines: Vec<Line> = maps.lines().filter_map(line).collect();
        // The words, and twice each ring for frames: no other shared memory looks like this.
        let found = lines.iter().find(|first| {
            let has = |start, offset| {
                lines.iter().any(|line| line.start == first.start + start && line.offset == offset)
            };
            first.offset == 0
                && has(PAGE + FRAMES, PAGE)
                && has(PAGE + 2 * FRAMES, PAGE + FRAMES)
                && has(PAGE + 3 * FRAMES, PAGE + FRAMES)
        });
        let first = found.unwrap_or_else(|| panic!("no rings in\n{maps}"));
        let base = std::ptr::with_exposed_provenance_mut::<u8>(first.start);
        // SAFETY: mapped as long as the process lives or has its pool, aligned, and everybody reaches it through
        // atomics.
        let words = unsafe { std::slice::from_raw_parts(base.cast::<AtomicU64>(), WORDS) };
        Self { words, base }
    }

    pub(crate) fn word(&self, number: usize) -> &AtomicU64 {
        &self.words[number]
    }

    /// What is published in a ring and not taken: from, to.
    pub(crate) fn published(&self, ring: Ring) -> (u64, u64) {
        let first = USER_WORDS + 4 * APART * ring as usize;
        let load = |word: usize| self.words[word].load(Ordering::Acquire);
        (load(first + APART), load(first))
    }

    pub(crate) fn publish(&self, ring: Ring, tail: u64) {
        self.words[USER_WORDS + 4 * APART * ring as usize].store(tail, Ordering::Release);
    }

    /// How much more a ring takes.
    pub(crate) fn room(&self, ring: Ring, tail: u64) -> usize {
        let (head, _) = self.published(ring);
        FRAMES.saturating_sub(usize::try_from(tail - head).unwrap())
    }

    fn place(&self, ring: Ring, position: u64, length: usize) -> *mut u8 {
        assert!(length <= FRAMES, "more than a ring holds");
        let inside = usize::try_from(position).unwrap() % FRAMES;
        // SAFETY: twice as much as a ring holds is mapped from its start on.
        unsafe { self.base.add(PAGE + 2 * FRAMES * ring as usize + inside) }
    }

    pub(crate) fn write(&self, ring: Ring, position: u64, bytes: &[u8]) {
        let to = self.place(ring, position, bytes.len());
        // SAFETY: as `place` says; only the ring of this side is written, and nobody has a reference to it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    pub(crate) fn read(&self, ring: Ring, position: u64, bytes: &mut [u8]) {
        let from = self.place(ring, position, bytes.len());
        // SAFETY: as `place` says; any bytes are valid.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
    }
}

/// A line of the list of mappings, if it is of memory that processes share.
fn line(text: &str) -> Option<Line> {
    let mut fields = text.split_ascii_whitespace();
    let (range, _, offset) = (fields.next()?, fields.next()?, fields.next()?);
    if !text.contains(SHARED_MEMORY) {
        return None;
    }
    let (start, _) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(Line { start: number(start)?, offset: number(offset)? })
}

/// The most memory that this process ever had, in bytes.
pub(crate) fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
