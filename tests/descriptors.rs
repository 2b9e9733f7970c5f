//! Descriptors: closed standard streams, unrelated ones, limits, and what is printed through them.

mod harness;
mod tools;
#[cfg(target_os = "linux")]
mod torture;

#[path = "descriptors/limits.rs"]
mod limits;
/// Only Linux shows in `/proc` what other processes hold.
#[cfg(target_os = "linux")]
#[path = "descriptors/noisy.rs"]
mod noisy;
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
        #[cfg(target_os = "linux")]
        ("noisy", noisy::noisy),
        #[cfg(target_os = "linux")]
        ("noisy owner", noisy::owner),
        ("cold_template", limits::cold_template),
        ("raised", limits::raised),
        ("unflushed", output::unflushed),
        ("exit_handlers", output::exit_handlers),
        ("guards", output::guards),
    ]);
    harness::main(&[
        standard::CASES,
        strangers::CASES,
        strangers::CASES_BY_EXEC,
        strangers::CASES_BY_FORK,
        #[cfg(target_os = "linux")]
        noisy::CASES,
        #[cfg(target_os = "linux")]
        noisy::BESIDE_THREADS,
        limits::CASES,
        limits::CASES_OF_THE_FORK_SERVER,
        output::CASES,
    ])
}
