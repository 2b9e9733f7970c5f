//! What needs no more of a system than POSIX, and a few short functions that each system has in its own way:
//! `os::leaf` and `os::queue`.
//!
//! macOS uses all of it. Linux does with `--cfg offspring_force_portable`, so that it is tested where no Mac
//! is: all test programs run that way but `documents`, `linked`, `ui` and `user`, which are about texts and
//! about building other programs. `docs/platforms.md` says what the promises are kept by then, and which cases are left out.

pub mod affinity;
pub mod bell;
pub(crate) mod descriptors;
pub mod guardian;
pub(crate) mod huge;
pub mod lifeline;
pub mod memory;
pub mod program;
pub(crate) mod receipt;
pub mod rights;
pub(crate) mod shared;
pub(crate) mod spawn;
pub(crate) mod spool;
pub mod watch;
