//! What goes between processes beside arguments and results: descriptors, pipes, queues.

#![allow(
    clippy::unused_unit,
    reason = "a child that never returns needs it; Rust 1.85's lint disagrees"
)]

#[path = "channel/descriptors.rs"]
mod descriptors;
mod harness;
/// Only Linux shows where a process has its memory.
#[cfg(target_os = "linux")]
#[path = "channel/hostile.rs"]
mod hostile;
#[path = "channel/kills.rs"]
mod kills;
#[path = "channel/pipe.rs"]
mod pipe;
#[path = "channel/pipe_threads.rs"]
mod pipe_threads;
#[path = "channel/queue.rs"]
mod queue;
#[path = "channel/select.rs"]
mod select;
#[path = "channel/select_crowds.rs"]
mod select_crowds;
#[path = "channel/select_kills.rs"]
mod select_kills;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[path = "channel/small_buffer.rs"]
mod small_buffer;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&[
        descriptors::CASES,
        descriptors::ONCE,
        descriptors::PROCESSES,
        pipe::CASES,
        pipe::PROCESSES,
        pipe_threads::CASES,
        #[cfg(target_os = "linux")]
        hostile::CASES,
        queue::CASES,
        queue::PROCESSES,
        queue::FORKED,
        kills::CASES,
        select::CASES,
        select_crowds::CASES,
        select_crowds::FORKED,
        select_kills::CASES,
        #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
        small_buffer::CASES,
        #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
        small_buffer::PROCESSES,
    ])
}
