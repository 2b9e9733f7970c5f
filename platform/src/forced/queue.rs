//! What stands for kernel queues: descriptors that tell of ends of processes.
//!
//! The same promises as on macOS, and no more: a queue belongs to the process that made it, cannot be sent,
//! and no signal is sent through it. Below it is what comes next to `EVFILT_PROC` and `EVFILT_SIGNAL`
//! here, pidfd and signalfd: POSIX has no descriptor that tells of the end of any child, and to make one
//! takes a thread, or a handler for a signal that is the user's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::linux::endings;
use crate::unix::checked;
use crate::unix::fd::PrivateFd;
use crate::unix::wait::Pid;

/// Readable while something has happened and was not taken out. Forked children close it.
#[derive(Debug)]
pub(crate) struct Queue(PrivateFd);

impl Queue {
    /// Readable when a process has ended: a child of the caller that was not collected.
    pub(crate) fn of_end(pid: Pid) -> io::Result<Self> {
        // SAFETY: the call takes two integers.
        let raw = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        let raw = i32::try_from(raw).map_err(io::Error::other)?;
        // SAFETY: the kernel just made this number for us.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        PrivateFd::new(fd).map(Self)
    }

    /// Readable when a child of this process has ended. SIGCHLD must be blocked.
    pub(crate) fn of_endings() -> io::Result<Self> {
        endings::open().map(Self)
    }

    /// Whether this is the process that made the queue.
    pub(crate) fn is_own(&self) -> bool {
        self.0.borrow().is_ok()
    }

    /// Takes out all that has happened to children.
    pub(crate) fn clear(&self) -> io::Result<()> {
        endings::clear(&self.0)
    }
}

impl AsFd for Queue {
    /// # Panics
    ///
    /// In a forked child of the process that made the queue: there is no such descriptor there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.borrow().unwrap_or_else(|error| panic!("{error}"))
    }
}
