//! What FreeBSD supplies: what `portable` has, and what only FreeBSD can do. Type-checked, linted and linked for
//! FreeBSD 14, and never run: nobody has promised anything for it yet.

mod ffi;
pub mod holdings;
pub(crate) mod leaf;
pub(crate) mod life;
pub mod park;
mod process;
pub(crate) mod stack;
pub mod threads;

pub(crate) use crate::bsd::queue;
pub use crate::elf::{constructors, image};
pub use crate::portable::{affinity, bell, guardian, lifeline, memory, program, rights, watch};
pub(crate) use crate::portable::{descriptors, huge, receipt, shared, spawn, spool};
pub(crate) use crate::unix::owner_word as owner;
