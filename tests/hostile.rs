//! Peers that say anything: no panic, no abort, bounded memory, typed errors, and the pool serves afterwards.
//!
//! `fuzz/` has the same for each parser alone. Here it is a real pool, and a real worker.

#[path = "hostile/deep.rs"]
mod deep;
mod harness;
#[cfg(target_os = "linux")]
#[path = "hostile/owner.rs"]
mod owner;
#[cfg(target_os = "linux")]
#[path = "hostile/rings.rs"]
mod rings;
#[path = "hostile/tree.rs"]
mod tree;
#[cfg(target_os = "linux")]
#[path = "hostile/worker.rs"]
mod worker;

fn main() -> std::process::ExitCode {
    harness::main(&[
        deep::CASES,
        #[cfg(target_os = "linux")]
        owner::CASES,
        #[cfg(target_os = "linux")]
        worker::CASES,
    ])
}
