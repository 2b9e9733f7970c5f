//! What a child wrote last is in the error that says how it ended, when its standard error was captured.

#![allow(
    clippy::unused_unit,
    reason = "a task that never returns needs it; Rust 1.85's lint disagrees"
)]

mod harness;

mod last_words {
    pub(crate) mod amount;
    pub(crate) mod pool;
    pub(crate) mod process;
    pub(crate) mod speech;
}

fn main() -> std::process::ExitCode {
    harness::main(&[
        last_words::process::CASES,
        last_words::process::ON_ALL,
        last_words::amount::CASES,
        last_words::pool::CASES,
    ])
}
