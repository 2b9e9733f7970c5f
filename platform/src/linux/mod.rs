//! What Linux supplies.

pub mod affinity;
pub mod bell;
pub mod constructors;
pub(crate) mod descriptors;
pub mod guardian;
pub mod holdings;
pub(crate) mod huge;
pub mod image;
#[cfg(any(test, not(target_env = "gnu"), offspring_force_portable))]
pub(crate) mod life;
pub mod lifeline;
pub mod memory;
#[cfg(all(target_env = "gnu", not(offspring_force_portable)))]
pub(crate) mod owner;
pub mod park;
pub mod program;
pub(crate) mod shared;
pub(crate) mod spawn;
pub mod spool;
pub(crate) mod stack;
pub mod threads;
pub mod watch;

#[cfg(not(all(target_env = "gnu", not(offspring_force_portable))))]
pub(crate) use crate::unix::owner_word as owner;
