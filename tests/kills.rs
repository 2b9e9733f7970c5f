//! Whenever and however workers die, each task has one outcome and its effect at most once.
//!
//! A process of its own kills workers of a pool at random moments, while others exit in their tasks.
//! `OFFSPRING_KILL_ROUNDS` says how many deaths on each context; how long it took until they were noticed
//! is written to the file that `OFFSPRING_TORTURE_REPORT` names, and asserted nowhere.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux shows in `/proc` whom to kill, and has descriptors that say when it is dead.
#[cfg(target_os = "linux")]
mod kills {
    pub(crate) mod check;
    pub(crate) mod killer;
    pub(crate) mod stage;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    kills::stage::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this looks for processes in the `/proc` of Linux");
}
