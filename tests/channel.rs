//! What goes between processes beside arguments and results: descriptors, pipes, queues.

#[path = "channel/descriptors.rs"]
mod descriptors;
mod harness;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&[descriptors::CASES])
}
