//! What processes share and change: exact under any number of them, and usable after any death of one.
//!
//! `OFFSPRING_SYNC_ROUNDS` says how often those are killed who hold a lock, how many rounds a barrier has, and
//! by it how many pools come and go and parents are killed; 1,000 for the full run. How long it took until a lock
//! was had again is written to the file that `OFFSPRING_TORTURE_REPORT` names, and asserted nowhere.

#[path = "sync/arrays.rs"]
mod arrays;
#[path = "sync/conditions.rs"]
mod conditions;
#[path = "sync/deaths.rs"]
mod deaths;
#[path = "sync/ends.rs"]
mod ends;
mod harness;
#[path = "sync/locks.rs"]
mod locks;
mod torture;
#[path = "sync/waits.rs"]
mod waits;

use std::process::ExitCode;
use std::time::Duration;

/// Reached by a deadlock, and by nothing else.
const LONG: Duration = Duration::from_secs(120);

/// So many rounds, of 1,000 in the full run.
fn rounds() -> u64 {
    torture::scale("OFFSPRING_SYNC_ROUNDS", 30)
}

fn main() -> ExitCode {
    harness::programs::set(&[("parent", ends::parent)]);
    harness::main(&[
        locks::CASES,
        locks::PROCESSES,
        locks::FORKS,
        arrays::CASES,
        conditions::CASES,
        conditions::PROCESSES,
        waits::CASES,
        waits::PROCESSES,
        deaths::PROCESSES,
        ends::CASES,
        ends::PROCESSES,
    ])
}
