//! Linux with `--cfg offspring_force_portable`: what macOS does, tested where no Mac is.
//!
//! In place of what only macOS can do stands what comes next to it here, in `leaf` and `queue`.

pub(crate) mod leaf;
pub(crate) mod queue;

pub use crate::linux::{constructors, holdings, image, park, threads};
pub(crate) use crate::linux::{life, stack};
pub use crate::portable::{affinity, bell, guardian, lifeline, memory, program, rights, watch};
pub(crate) use crate::portable::{descriptors, huge, receipt, shared, spawn, spool};
pub(crate) use crate::unix::owner_word as owner;
