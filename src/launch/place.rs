//! The place of this process among all that the program has started: how deep it is, and what it may use.
//!
//! Each child is told its place when it is launched, so no process has to ask another.

use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

/// More generations than this are refused: something starts children without end.
pub(crate) const DEEPEST: u32 = 10;
/// Pools may have as many processes in all, in the tree of the process that the user started.
const MOST_PROCESSES: u32 = 4096;

/// See the head of the file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Place {
    /// How many processes are above this one, up to the one that the user started.
    pub(crate) depth: u32,
    /// How many processors it may count on. The workers of a pool share those of its owner, so that a pool
    /// in each of them does not have as many workers as the machine has processors, each.
    pub(crate) processors: u32,
    /// How many processes the pools in it may have, and those in their workers.
    pub(crate) processes: u32,
}

static DEPTH: AtomicU32 = AtomicU32::new(0);
/// 0: as many as the system gives us.
static PROCESSORS: AtomicU32 = AtomicU32::new(0);
static PROCESSES: AtomicU32 = AtomicU32::new(MOST_PROCESSES);

impl Place {
    /// That of this process.
    pub(crate) fn own() -> Self {
        let processors = match PROCESSORS.load(Ordering::Relaxed) {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            told => told as usize,
        };
        Self {
            depth: DEPTH.load(Ordering::Relaxed),
            processors: u32::try_from(processors).unwrap_or(u32::MAX),
            processes: PROCESSES.load(Ordering::Relaxed),
        }
    }

    /// That of a child of this process.
    pub(crate) fn of_child() -> Self {
        let own = Self::own();
        Self { depth: own.depth + 1, processes: own.processes.saturating_sub(1), ..own }
    }

    /// That of one of so many workers of a pool.
    pub(crate) fn of_worker(workers: usize) -> Self {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        let own = Self::own();
        Self {
            depth: own.depth + 1,
            processors: (own.processors / workers).max(1),
            processes: own.processes.saturating_sub(workers).saturating_sub(1) / workers,
        }
    }

    /// In a child: takes it.
    pub(crate) fn take(self) {
        DEPTH.store(self.depth, Ordering::Relaxed);
        PROCESSORS.store(self.processors, Ordering::Relaxed);
        PROCESSES.store(self.processes, Ordering::Relaxed);
    }
}
