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
    /// Of the processors that the system gives it, it may count on one in so many: the workers of a pool
    /// share those of its owner, so that a pool in each of them does not have as many workers as the machine
    /// has processors, each.
    pub(crate) sharing: u32,
    /// How many processes the pools in it may have, and those in their workers.
    pub(crate) processes: u32,
}

static DEPTH: AtomicU32 = AtomicU32::new(0);
static SHARING: AtomicU32 = AtomicU32::new(1);
static PROCESSES: AtomicU32 = AtomicU32::new(MOST_PROCESSES);

impl Place {
    /// That of this process.
    pub(crate) fn own() -> Self {
        Self {
            depth: DEPTH.load(Ordering::Relaxed),
            sharing: SHARING.load(Ordering::Relaxed),
            processes: PROCESSES.load(Ordering::Relaxed),
        }
    }

    /// How many processors it may count on. Asks the system, which on Linux takes as long as a small start:
    /// not for each child.
    pub(crate) fn processors(self) -> usize {
        let given = std::thread::available_parallelism().map_or(1, NonZero::get);
        (given / usize::try_from(self.sharing).unwrap_or(usize::MAX).max(1)).max(1)
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
            sharing: own.sharing.saturating_mul(workers),
            processes: own.processes.saturating_sub(workers).saturating_sub(1) / workers,
        }
    }

    /// In a child: takes it.
    pub(crate) fn take(self) {
        DEPTH.store(self.depth, Ordering::Relaxed);
        SHARING.store(self.sharing, Ordering::Relaxed);
        PROCESSES.store(self.processes, Ordering::Relaxed);
    }
}
