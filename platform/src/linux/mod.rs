//! What Linux supplies.

pub mod affinity;
pub mod bell;
pub(crate) mod descriptors;
pub mod guardian;
pub(crate) mod huge;
pub mod image;
pub mod lifeline;
pub mod memory;
pub mod park;
pub mod program;
pub(crate) mod shared;
pub(crate) mod spawn;
pub mod threads;
pub mod watch;
