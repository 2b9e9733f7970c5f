//! Workers, their supervisor and their owner are stopped and continued at random moments, and nothing comes of it.
//!
//! A process of its own sends SIGSTOP and, up to 5 ms later, SIGCONT. `OFFSPRING_STORM_ROUNDS` says how often on each
//! context. How much later than their deadlines tasks ended is written to the file that `OFFSPRING_TORTURE_REPORT`
//! names, and asserted nowhere.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux shows in `/proc` whom to stop.
#[cfg(target_os = "linux")]
mod stop_storm {
    pub(crate) mod stage;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    stop_storm::stage::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this looks for processes in the `/proc` of Linux");
}
