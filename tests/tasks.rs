//! Tasks that are submitted one at a time: joined in any order, cancelled at any moment, by any thread.

#![allow(
    clippy::unused_unit,
    reason = "a task that never returns needs it; Rust 1.85's lint disagrees"
)]
#![expect(clippy::exit, reason = "that tasks exit is part of what is tested")]

#[path = "tasks/beside.rs"]
mod beside;
#[path = "tasks/cancel.rs"]
mod cancel;
mod harness;
#[path = "tasks/joins.rs"]
mod joins;
#[path = "tasks/limits.rs"]
mod limits;
#[path = "tasks/starved.rs"]
mod starved;
#[path = "tasks/threads.rs"]
mod threads;
#[path = "tasks/values.rs"]
mod values;

use std::path::{Path, PathBuf};

use harness::props::{note, wait_for};

/// A task that says who runs it, and waits at a gate.
fn held((log, gate): (PathBuf, PathBuf)) -> u32 {
    note(&log, std::process::id());
    wait_for(&gate);
    std::process::id()
}

fn has_lines(path: &Path, count: usize) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().count() >= count)
}
