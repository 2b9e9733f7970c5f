//! Bare limits: what a few lines over the system reach, without codec, errors or API.
//!
//! Not a design, a floor. Only here is unsafe code, one operation in each block.

pub(crate) mod bell;
pub(crate) mod copy;
pub(crate) mod exec;
pub(crate) mod memory;
pub(crate) mod passing;
pub(crate) mod pipe;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod processor;
pub(crate) mod ring;
pub(crate) mod server;
pub(crate) mod sharing;
