//! However a pool ends, and whatever its 64 workers are doing then: nothing of it is left.
//!
//! `OFFSPRING_ENDING_ROUNDS` says how many such pools for each way to end, on each context, and
//! `OFFSPRING_ENDING_RACES` how many small ones end at a random moment. How long it took is written to the
//! file that `OFFSPRING_TORTURE_REPORT` names, and asserted nowhere.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux shows in `/proc` what processes do, and which are left.
#[cfg(target_os = "linux")]
mod endings {
    pub(crate) mod exits;
    pub(crate) mod here;
    pub(crate) mod left;
    pub(crate) mod races;
    pub(crate) mod wedge;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use endings::{exits, here, races};

    harness::programs::set(&[("owner", exits::main)]);
    harness::main(&[here::CASES, exits::CASES, races::CASES])
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this looks for processes in the `/proc` of Linux");
}
