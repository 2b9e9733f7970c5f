//! The start lock, which Linux does not need.

pub(crate) use super::inherit::{EXTRA_FLAGS, close_from, inherit};

/// Held while a process is started, and elsewhere while descriptors lack close-on-exec.
pub(crate) struct Gap(());

/// Nothing to hold: here descriptors are born with close-on-exec.
pub(crate) fn lock() -> Gap {
    Gap(())
}
