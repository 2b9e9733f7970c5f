//! The work that all libraries are given, and its right answers.

use std::time::Duration;

/// As many numbers as are in a task where tasks are chunks.
pub const CHUNK: usize = 64;
/// The sum of the on bits of all 16-bit numbers.
pub const ALL_BITS: u64 = 524_288;
/// So many tasks are given at once when one of them kills its worker.
pub const CRASH_TASKS: u64 = 20;
/// The one that does.
pub const KILLER: u64 = 5;
/// How long each of the others takes.
pub const CRASH_PACE: Duration = Duration::from_millis(5);

pub const MIB: usize = 1 << 20;

/// Next to nothing, and its answer can be checked.
pub fn work(number: u64) -> u64 {
    number.wrapping_mul(3).wrapping_add(1)
}

pub fn work_chunk(numbers: Vec<u64>) -> Vec<u64> {
    numbers.into_iter().map(work).collect()
}

/// The sum of [`work`] over all numbers below `count`.
pub fn all_work(count: u64) -> u64 {
    (0..count).map(work).fold(0, u64::wrapping_add)
}

/// The numbers of one chunk.
pub fn chunk(index: u64) -> Vec<u64> {
    let each = CHUNK as u64;
    (index * each..(index + 1) * each).collect()
}

pub fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::wrapping_add)
}

/// Something that only whoever has all bytes can know. It does not read them all, since that would hide the
/// way that they came.
pub fn ends(bytes: &[u8]) -> u64 {
    let at = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0));
    let last = bytes.len().saturating_sub(1);
    bytes.len() as u64 + (at(0) << 40) + (at(last / 2) << 48) + (at(last) << 56)
}

/// The argument of 64 MiB.
pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8 + 1).collect()
}

/// How many bits are on in each 16-bit number.
pub fn bit_table() -> Vec<u8> {
    (0..=u16::MAX).map(|number| number.count_ones() as u8).collect()
}

/// All 16-bit numbers in tasks of `chunk` numbers.
pub fn bit_tasks(chunk: usize) -> Vec<Vec<u16>> {
    let numbers: Vec<u16> = (0..=u16::MAX).collect();
    numbers.chunks(chunk).map(<[u16]>::to_vec).collect()
}

/// One task of [`bit_tasks`].
pub fn look_up(table: &[u8], numbers: &[u16]) -> Vec<u8> {
    numbers.iter().map(|&number| table[usize::from(number)]).collect()
}

/// A task of the pool that loses a worker.
pub fn crash_task(index: u64) -> u64 {
    if index == KILLER {
        // Fails never, and if it did, the task would be answered, which is noticed.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
    std::thread::sleep(CRASH_PACE);
    work(index)
}
