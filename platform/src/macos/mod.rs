//! What macOS supplies: what `portable` has, and what only macOS can do.
//!
//! Written against Apple's headers and manual pages, and the published sources of the kernel (xnu),
//! of dyld and of libpthread, which the comments name where they were needed.

pub mod constructors;
mod ffi;
pub mod holdings;
pub mod image;
pub(crate) mod leaf;
pub(crate) mod life;
pub mod park;
pub(crate) mod stack;
pub mod threads;

pub(crate) use crate::bsd::queue;
pub use crate::portable::{affinity, bell, guardian, lifeline, memory, program, rights, watch};
pub(crate) use crate::portable::{descriptors, huge, receipt, shared, spawn, spool};
pub(crate) use crate::unix::owner_word as owner;
