//! What tables, arrays, locks and queues take of the system: given back whatever happens, and an error where
//! there is none.
//!
//! `OFFSPRING_RESOURCE_ROUNDS` says how often a parent is killed on each context, and by it how many pools
//! come and go, half as many; 200 for the full run.

#[path = "resources/ends.rs"]
mod ends;
mod harness;
#[path = "resources/limits.rs"]
mod limits;
mod torture;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::programs::set(&[("parent", ends::parent)]);
    harness::main(&[ends::CASES, ends::PROCESSES, limits::HERE, limits::PROCESSES])
}
