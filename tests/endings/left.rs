//! What is left when a pool has ended: nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::leaks::{SHARED_MEMORY, Snapshot, descendants_of};

/// What there was before.
pub(crate) struct Before {
    descendants: BTreeSet<u32>,
    all: Snapshot,
    memory: usize,
}

/// The memory that processes share: it has no name, and is mapped.
fn shared_memory() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("this is Linux");
    maps.lines().filter(|line| line.contains(SHARED_MEMORY)).count()
}

impl Before {
    pub(crate) fn take() -> Self {
        let descendants = descendants_of(std::process::id());
        Self { descendants, all: Snapshot::take(), memory: shared_memory() }
    }

    /// Runs what ends a pool, after which no process of it may be left, not even for a moment. Returns how
    /// long it took.
    pub(crate) fn end<T>(&self, end: impl FnOnce() -> T) -> (Duration, T) {
        let start = Instant::now();
        let result = end();
        let took = start.elapsed();
        let now = descendants_of(std::process::id());
        let left: Vec<_> = now.difference(&self.descendants).map(|pid| line_of(*pid)).collect();
        assert!(left.is_empty(), "processes are left: {left:#?}");
        (took, result)
    }

    /// When also the tasks are gone.
    pub(crate) fn check(&self) {
        self.all.compare().expect("nothing is left");
        assert_eq!(shared_memory(), self.memory, "shared memory is left");
    }
}

/// What a process is, for whoever reads a failure.
pub(crate) fn line_of(pid: u32) -> String {
    let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    format!("{} | {}", read("stat").trim(), read("wchan"))
}
