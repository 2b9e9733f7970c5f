//! `fork(2)`, for a process that has exactly one thread, after its author promised that it may.
//!
//! Two gates, because two different things can go wrong. Other threads: their stacks and locks are
//! copied into the child without anybody to run them, and glibc hands the stacks to new threads while
//! borrows into them live. So [`fork`] asks for a [`SingleThreaded`]. And memory or kernel objects
//! that must not exist twice: nobody but the author of the program can rule those out, so there is
//! [`allow_fork`].
//!
//! # Safety
//!
//! The only unsafe operation is the call to `fork` itself.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::entry::Entered;
use super::fd::{self, PrivateFd};
use super::forked;
use super::signal::Blocked;
use super::wait::Pid;
use crate::os::threads::SingleThreaded;

static ALLOWED: AtomicBool = AtomicBool::new(false);

/// Promises that this program may be forked, for `Context::Fork`.
///
/// Call it once, early in `main`. Without it every fork is refused with an error. It does not replace
/// the check that there is only one thread, which is made before every fork and cannot be overridden.
///
/// # Safety
///
/// From now on, no code that a forked child can reach, destructors included, may rely on being the
/// only owner of memory or kernel objects that a fork duplicates: writable shared mappings behind
/// `&mut`, rings shared with the kernel (io_uring), contexts of graphics or other drivers, handles of
/// databases in shared memory. And every `pthread_atfork` handler in the process must be sound.
///
/// Plain Rust values, files and sockets are fine.
///
/// # Examples
///
/// ```
/// # use offspring_platform as offspring;
/// // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
/// unsafe { offspring::allow_fork() };
/// ```
pub unsafe fn allow_fork() {
    ALLOWED.store(true, Ordering::Relaxed);
}

/// In a child that was started by exec: its parent, a process of the same program, had the promise,
/// which holds for the program.
pub fn inherit_promise(_entered: &Entered) {
    ALLOWED.store(true, Ordering::Relaxed);
}

/// Whether [`allow_fork`] was called.
#[must_use]
pub fn is_allowed() -> bool {
    ALLOWED.load(Ordering::Relaxed)
}

/// Who may fork, and why that is fine.
#[derive(Debug, Clone, Copy)]
pub struct Permission(());

impl Permission {
    /// The author of the program promised that it may be forked.
    #[must_use]
    pub fn promised() -> Option<Self> {
        is_allowed().then_some(Self(()))
    }

    /// This process entered offspring in its first statement and never ran the program's own code,
    /// so there is nothing that must not exist twice.
    ///
    /// Only for the template of a fork server, which is such a process.
    #[must_use]
    pub fn of_template(_entered: &Entered) -> Self {
        Self(())
    }
}

/// On which side of the fork we are.
#[derive(Debug)]
pub enum Side {
    /// In the process that called; with the number of the new one.
    Parent(Pid),
    /// In the new process; with the descriptors that it was to keep.
    Child(Vec<PrivateFd>),
}

/// Makes a copy of this process.
///
/// Flushes std's and C's standard output before, so that nothing is printed twice. All signals are
/// blocked meanwhile; in the child they stay blocked until `signal::unblock_all`. Of offspring's
/// own descriptors the child keeps those of `keep` and closes the others; the parent drops `keep`.
///
/// Its cost grows with the page tables of the caller: 12 to 14 µs for each MiB of 4 KiB pages.
///
/// # Errors
///
/// What `fork(2)` reports: no memory, or too many processes.
pub fn fork(
    _permission: Permission,
    _witness: SingleThreaded,
    blocked: Blocked,
    keep: Vec<PrivateFd>,
) -> io::Result<Side> {
    // libc's fork and never a raw clone: only libc puts its own locks (malloc) in order for the child.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    // SAFETY: the witness says that this is the only thread, and signals were blocked when it was
    // made, so no handler can have made another. The permission says that nothing breaks by existing
    // twice. So the child may go on like any other program.
    let pid = forked::by_us(|| unsafe { libc::fork() });
    match super::checked(pid)? {
        0 => {
            // The child clears the mask itself, once it is ready to die by a signal.
            std::mem::forget(blocked);
            super::shared::leave_to_parent();
            Ok(Side::Child(fd::enter_child(keep)))
        }
        pid => {
            drop(blocked);
            Ok(Side::Parent(pid))
        }
    }
}

/// Writes out what std and C have buffered for standard output and error.
///
/// To be called before [`fork`], with signals not yet blocked, since a write may block.
pub fn flush_standard() {
    use std::io::Write;
    // An error here is one that the program's own next print will meet again, and report.
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
    super::exit::flush_c();
}
