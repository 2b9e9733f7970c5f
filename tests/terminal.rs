//! A program with a live pool at a terminal: keys that interrupt and stop it, the end of the terminal, and
//! ends of its own.
//!
//! Each case opens a terminal and is the shell in it, or starts the program in its place.

#[cfg(target_os = "linux")]
mod harness;

/// Only Linux shows in `/proc` which processes are stopped, and which are left.
#[cfg(target_os = "linux")]
mod terminal {
    pub(crate) mod ends;
    pub(crate) mod hangups;
    pub(crate) mod interrupts;
    pub(crate) mod programs;
    pub(crate) mod screen;
    pub(crate) mod stops;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use terminal::{ends, hangups, interrupts, programs, stops};

    harness::programs::set(&[
        ("live", programs::live),
        ("orderly", programs::orderly),
        ("executing", programs::executing),
        ("starting", programs::starting),
        ("working", programs::working),
        ("reading", programs::reading),
        ("deaf_to_hangups", programs::deaf_to_hangups),
        ("ending", ends::program),
    ]);
    harness::main(&[interrupts::CASES, stops::CASES, hangups::CASES, ends::CASES])
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this looks for processes in the `/proc` of Linux");
}
