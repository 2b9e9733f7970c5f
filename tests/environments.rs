//! Where a part of the system is missing, forbidden or small, an ordinary program works, or is told what is wrong.
//!
//! Each case runs a program in a namespace, or under a limit, of its own; what only root can set up says so and is
//! left out for others. Without `/proc`, and under filters of system calls, see also tests/fork_guard.rs and
//! tests/failing_calls.rs; with standard streams closed, tests/descriptors.rs; with less memory, tests/resources.rs.
//!
//! `OFFSPRING_PLACE_ROUNDS` says how often pools are started where few processes are allowed; 100 for the full run.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux has namespaces.
#[cfg(target_os = "linux")]
mod environments {
    pub(crate) mod everyday;
    pub(crate) mod places;
    pub(crate) mod processes;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    const PROGRAMS: &[harness::programs::Program] =
        &[environments::everyday::PROGRAM, environments::processes::PROGRAM];
    harness::programs::set(PROGRAMS);
    harness::main(&[environments::places::CASES, environments::processes::CASES])
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this makes namespaces, which only Linux has");
}
