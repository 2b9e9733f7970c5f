//! What Linux supplies. With `--cfg offspring_force_portable`, only what `forced` needs of it.

pub(crate) mod children;
pub(crate) mod endings;
pub mod holdings;
pub(crate) mod inherit;
#[cfg(any(test, not(target_env = "gnu"), offspring_force_portable))]
pub(crate) mod life;
pub mod park;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod stack;
pub mod threads;

pub use crate::elf::{constructors, image};

#[cfg(not(offspring_force_portable))]
pub mod affinity;
#[cfg(not(offspring_force_portable))]
pub mod bell;
#[cfg(not(offspring_force_portable))]
pub(crate) mod descriptors;
#[cfg(not(offspring_force_portable))]
pub mod guardian;
#[cfg(not(offspring_force_portable))]
pub(crate) mod huge;
#[cfg(not(offspring_force_portable))]
pub mod lifeline;
#[cfg(not(offspring_force_portable))]
pub mod memory;
#[cfg(all(target_env = "gnu", not(offspring_force_portable)))]
pub(crate) mod owner;
#[cfg(not(offspring_force_portable))]
pub mod program;
#[cfg(not(offspring_force_portable))]
pub(crate) mod receipt;
#[cfg(not(offspring_force_portable))]
pub mod rights;
#[cfg(not(offspring_force_portable))]
pub(crate) mod shared;
#[cfg(not(offspring_force_portable))]
pub(crate) mod spawn;
#[cfg(not(offspring_force_portable))]
pub(crate) mod spool;
#[cfg(not(offspring_force_portable))]
pub mod watch;
#[cfg(all(not(target_env = "gnu"), not(offspring_force_portable)))]
pub(crate) use crate::unix::owner_word as owner;
