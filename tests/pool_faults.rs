//! What goes wrong in a pool stays with the task it befell: values that do not travel, workers that
//! die at any moment, wedged tasks, a lost supervisor, misused channels.

#![expect(clippy::exit, reason = "that tasks and initialisers exit is part of what is tested")]

#[path = "pool_faults/channel.rs"]
mod channel;
#[path = "pool_faults/copies.rs"]
mod copies;
#[path = "pool_faults/ends.rs"]
mod ends;
mod harness;
#[path = "pool_faults/kills.rs"]
mod kills;
#[path = "pool_faults/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use harness::leaks::possible_supervisors;

/// A file of the case's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn lines(&self) -> Vec<String> {
        lines(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn note(path: &Path, text: impl std::fmt::Display) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Runs `build`, and returns with its result the pid of the supervisor that it started.
fn with_supervisor<T>(build: impl FnOnce() -> T) -> (T, u32) {
    let before = possible_supervisors();
    let built = build();
    let after = possible_supervisors();
    let new: BTreeSet<_> = after.difference(&before).collect();
    assert_eq!(new.len(), 1, "a pool has one supervisor: {new:?}");
    let supervisor = **new.first().unwrap();
    (built, supervisor)
}

fn kill(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).unwrap();
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid, signal) };
}
