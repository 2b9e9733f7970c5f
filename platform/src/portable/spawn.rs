//! The start lock: no process of ours is started while a descriptor of ours lacks close-on-exec.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use crate::os::leaf::{EXTRA_FLAGS, close_from, inherit};

/// Held to make descriptors that are born without close-on-exec (write), and to start a process
/// (read).
static START: RwLock<()> = RwLock::new(());

/// While this lives, no descriptor of ours lacks close-on-exec.
///
/// [`EXTRA_FLAGS`] and [`close_from`] already keep such a descriptor out of a process of ours. Processes that other code
/// starts meanwhile, by std's `Command` for instance, can still inherit one: they do not know of this
/// lock, and the system has no `pipe2`.
pub(crate) fn lock() -> RwLockReadGuard<'static, ()> {
    // There is nothing under the lock that a panic could leave half done.
    START.read().unwrap_or_else(PoisonError::into_inner)
}

/// While this lives, no process is started by us.
pub(super) fn hold_starts() -> RwLockWriteGuard<'static, ()> {
    START.write().unwrap_or_else(PoisonError::into_inner)
}
