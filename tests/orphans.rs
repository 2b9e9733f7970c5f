//! Nothing outlives its owner, however the owner ends, and whatever its children do meanwhile.
//!
//! Each case starts an owner, a program with children in every state, and becomes the parent of all
//! that is left when the owner is gone. It collects until nothing is left. How long that took is
//! written to the file that `OFFSPRING_ORPHAN_REPORT` names, and asserted nowhere.
//!
//! `OFFSPRING_ORPHAN_ROUNDS` is how many owners are killed in each case, 20 if it is not set, and
//! `OFFSPRING_ORPHAN_WORKERS` how many workers the pool of an owner has: one for each state if it is not set. Where
//! there are more, the states take turns. `OFFSPRING_ORPHAN_SEED` brings back the moments of an earlier run.

#[cfg(target_os = "linux")]
mod harness;
#[cfg(target_os = "linux")]
mod torture;

/// Only Linux makes a case the parent of what an owner leaves behind, and shows its state in `/proc`.
#[cfg(target_os = "linux")]
mod orphans {
    // Only a system on which a process can adopt what its children left behind finds them.
    #[cfg(not(offspring_force_portable))]
    pub(crate) mod daemons;
    pub(crate) mod deaths;
    pub(crate) mod grandchildren;
    pub(crate) mod owner;
    pub(crate) mod warden;
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    orphans::deaths::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: this looks for processes in the `/proc` of Linux");
}
