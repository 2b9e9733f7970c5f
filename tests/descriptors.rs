//! Descriptors: closed standard streams, unrelated ones, limits, and what is printed through them.

mod harness;
mod tools;

#[path = "descriptors/limits.rs"]
mod limits;
#[path = "descriptors/output.rs"]
mod output;
#[path = "descriptors/standard.rs"]
mod standard;
#[path = "descriptors/strangers.rs"]
mod strangers;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::programs::set(&[
        ("closed", standard::closed),
        ("full_of_strangers", strangers::full_of_strangers),
        ("cold_template", limits::cold_template),
        ("unflushed", output::unflushed),
        ("exit_handlers", output::exit_handlers),
        ("guards", output::guards),
    ]);
    harness::main(&[
        standard::CASES,
        strangers::CASES,
        strangers::CASES_BY_EXEC,
        strangers::CASES_BY_FORK,
        limits::CASES,
        limits::CASES_OF_THE_FORK_SERVER,
        output::CASES,
    ])
}
