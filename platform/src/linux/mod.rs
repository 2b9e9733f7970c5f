//! What Linux supplies.

pub mod affinity;
pub mod bell;
pub(crate) mod descriptors;
pub mod guardian;
pub mod image;
pub mod lifeline;
pub mod memory;
pub(crate) mod owner;
pub mod park;
pub mod program;
pub(crate) mod shared;
pub(crate) mod spawn;
pub mod spool;
pub mod threads;
pub mod watch;
