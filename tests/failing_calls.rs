//! Whichever system call fails, in whichever process: an error or a success, nothing left, and the next start works.
//!
//! A preloaded library (tests/faults/failing_call.c) counts the calls of the owner, of its children, or of theirs,
//! while something is done, and lets the k-th fail once, or from the k-th on all of its kind. `OFFSPRING_CALL_ROUNDS`
//! says how many calls of each case fail, chosen at random; 0 is all of them, with each error that they may have.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux lets a library stand before the C library for all processes of a program so simply.
#[cfg(target_os = "linux")]
mod failing_calls {
    pub(crate) mod held;
    pub(crate) mod page;
    pub(crate) mod scenes;
    pub(crate) mod sweep;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    failing_calls::sweep::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this preloads a library, and looks for processes in the `/proc` of Linux");
}
