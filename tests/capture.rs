//! What is captured in the parent is found by the function in the child, on every entry point; is undone
//! after it; and what it brings back is merged in order. Rows AC40 to AC49 of docs/acceptance.md.

#![allow(
    clippy::unused_unit,
    reason = "a child that never returns needs it; Rust 1.85's lint disagrees"
)]

#[path = "capture/back.rs"]
mod back;
#[path = "capture/entries.rs"]
mod entries;
#[path = "capture/failures.rs"]
mod failures;
#[path = "capture/guards.rs"]
mod guards;
mod harness;
#[path = "capture/lifetimes.rs"]
mod lifetimes;
#[path = "capture/locks.rs"]
mod locks;
#[path = "capture/pools.rs"]
mod pools;
#[path = "capture/ready_made.rs"]
mod ready_made;
#[path = "capture/undo.rs"]
mod undo;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use offspring::CaptureGuard;

/// What some library keeps in a global.
static LEVEL: AtomicI64 = AtomicI64::new(0);

fn level() -> i64 {
    LEVEL.load(Ordering::Relaxed)
}

fn set_level(level: i64) {
    LEVEL.store(level, Ordering::Relaxed);
}

struct Restore(i64);

impl Drop for Restore {
    fn drop(&mut self) {
        set_level(self.0);
    }
}

/// The level as every test captures it.
fn capture_level() -> CaptureGuard {
    offspring::capture("level", level, |wanted: i64| Restore(LEVEL.swap(wanted, Ordering::Relaxed)))
        .expect("the name is free")
}

/// What happened in this process, in order.
static EVENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(event: impl Into<String>) {
    EVENTS.lock().unwrap().push(event.into());
}

fn events() -> Vec<String> {
    std::mem::take(&mut EVENTS.lock().unwrap())
}
