//! What macOS supplies.
//!
//! Written against Apple's headers and manual pages, and the published sources of the kernel (xnu),
//! of dyld and of libpthread, which the comments name where they were needed.

pub mod affinity;
pub mod bell;
pub mod constructors;
pub(crate) mod descriptors;
mod ffi;
pub mod guardian;
pub mod holdings;
pub(crate) mod huge;
pub mod image;
mod kqueue;
pub(crate) mod life;
pub mod lifeline;
pub mod memory;
pub mod park;
pub mod program;
pub(crate) mod shared;
pub(crate) mod spawn;
pub mod spool;
pub(crate) mod stack;
pub mod threads;
pub mod watch;

pub(crate) use crate::unix::owner_word as owner;
