//! Large arguments and results: many at once, and whatever can happen while one is half-way; floods, deaf peers,
//! and what all of it takes of the owner's memory.
//!
//! `OFFSPRING_BULK_ROUNDS` says how many messages of 64 MiB go both ways on each context, and by it how large the
//! floods are; 1,000 for the full run. The most memory is written to the file that `OFFSPRING_TORTURE_REPORT`
//! names.

#[path = "bulk/copies.rs"]
mod copies;
#[path = "bulk/crowds.rs"]
mod crowds;
// Only Linux can be asked for the most memory since a moment.
#[cfg(target_os = "linux")]
#[path = "bulk/duplex.rs"]
mod duplex;
#[cfg(target_os = "linux")]
#[path = "bulk/floods.rs"]
mod floods;
#[path = "bulk/halfway.rs"]
mod halfway;
mod harness;
#[cfg(target_os = "linux")]
#[path = "bulk/peak.rs"]
mod peak;
mod torture;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
use harness::props::Scratch;
use harness::props::note;

fn main() -> ExitCode {
    harness::main(&[
        crowds::CASES,
        halfway::PROCESSES,
        copies::PROCESSES,
        #[cfg(target_os = "linux")]
        duplex::PROCESSES,
        #[cfg(target_os = "linux")]
        floods::PROCESSES,
    ])
}

/// More than any buffer between two processes holds, by far.
const HUGE: usize = 24 << 20;

/// Bytes that show if some are missing, or in another place.
fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while bytes.len() < length {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seed | 1);
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The process that has written down its number, once it sleeps; as long as nobody reads, that is in the
/// middle of its result. Its worker was there when the task was submitted: this process sends nothing now.
#[cfg(target_os = "linux")]
fn stuck(log: &Scratch) -> u32 {
    let mut pid = 0;
    harness::eventually("it waits until its result is read", || {
        pid = log.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0);
        pid != 0 && harness::props::state_of(pid) == Some('S')
    });
    pid
}

/// A task that says who runs it, and has a large result.
fn answers_at_length((log, seed): (std::path::PathBuf, u64)) -> Vec<u8> {
    let bytes = body(seed, HUGE);
    note(&log, std::process::id());
    bytes
}
