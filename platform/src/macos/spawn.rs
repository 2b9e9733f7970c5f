//! The macOS side of `posix_spawn`: nothing is inherited but what is listed.
//!
//! # Safety
//!
//! The only unsafe operations work on descriptor numbers, and on actions that are initialised.

use std::io;
use std::os::fd::RawFd;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ffi;
use crate::unix::spawn::{Actions, returned};

/// The new process gets the descriptors that the actions name, and no other, whatever their
/// close-on-exec says (posix_spawnattr_setflags(3)).
pub(crate) const EXTRA_FLAGS: i32 = libc::POSIX_SPAWN_CLOEXEC_DEFAULT;

/// Held to make descriptors that are born without close-on-exec (write), and to start a process
/// (read).
static START: RwLock<()> = RwLock::new(());

/// While this lives, no descriptor of ours lacks close-on-exec.
///
/// The flag above already keeps such a descriptor out of a process of ours. Processes that other code
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

/// Lets the new process have one of our standard descriptors, if it is open.
pub(crate) fn inherit(actions: &mut Actions, target: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFD on any number is harmless: EBADF when it is closed. To name a closed one in the
    // actions would make the start fail.
    if unsafe { libc::fcntl(target, libc::F_GETFD) } == -1 {
        return Ok(());
    }
    // SAFETY: the actions are initialised.
    returned(unsafe { ffi::posix_spawn_file_actions_addinherit_np(actions.raw(), target) })
}

/// Closes every descriptor from `first` on, in the new process: [`EXTRA_FLAGS`] has done it.
#[expect(clippy::unnecessary_wraps, reason = "Linux has something to do, and it can fail")]
pub(crate) fn close_from(_actions: &mut Actions, _first: RawFd) -> io::Result<()> {
    Ok(())
}
