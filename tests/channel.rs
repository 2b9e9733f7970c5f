//! What goes between processes beside arguments and results: descriptors, queues.

#[path = "channel/descriptors.rs"]
mod descriptors;
mod harness;
#[path = "channel/kills.rs"]
mod kills;
#[path = "channel/queue.rs"]
mod queue;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&[
        descriptors::CASES,
        queue::CASES,
        queue::PROCESSES,
        queue::FORKED,
        kills::CASES,
    ])
}
