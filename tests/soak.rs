//! A pool under load for long, while its workers are killed, run out of memory and are replaced: nothing grows.
//!
//! `OFFSPRING_SOAK_SECONDS` says how long on each context; 3600 is the full run, to be started with
//! `--test-threads 3`. What was counted and measured is written to the file that `OFFSPRING_TORTURE_REPORT` names.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux shows in `/proc` what processes hold, and has groups that limit memory.
#[cfg(target_os = "linux")]
mod soak {
    pub(crate) mod beside;
    pub(crate) mod faults;
    pub(crate) mod killer;
    pub(crate) mod load;
    pub(crate) mod measure;
    pub(crate) mod stage;
    pub(crate) mod times;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    soak::stage::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this reads what processes hold in the `/proc` of Linux");
}
