//! What goes between processes beside arguments and results: descriptors, pipes, queues.

#[path = "channel/descriptors.rs"]
mod descriptors;
mod harness;
#[path = "channel/kills.rs"]
mod kills;
#[path = "channel/pipe.rs"]
mod pipe;
#[path = "channel/queue.rs"]
mod queue;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&[
        descriptors::CASES,
        pipe::CASES,
        pipe::PROCESSES,
        queue::CASES,
        queue::PROCESSES,
        queue::FORKED,
        kills::CASES,
    ])
}
