//! Knowing that one child has ended, and signalling exactly that child.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::unix::fd::lift;
use crate::unix::signal::Signal;
use crate::unix::wait::Pid;
use crate::unix::{checked, signal};

/// A pidfd: readable when the process has ended, and never mistaken for a later process that was
/// given the same number.
#[derive(Debug)]
pub struct Watch(OwnedFd);

impl Watch {
    /// Watches a process. The caller must be its parent and not have collected it.
    ///
    /// # Errors
    ///
    /// What `pidfd_open(2)` reports.
    pub fn child(pid: Pid) -> io::Result<Self> {
        // SAFETY: the call takes two integers.
        let raw = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
        let raw = i32::try_from(raw).map_err(io::Error::other)?;
        // SAFETY: the kernel just made this number for us.
        Ok(Self(lift(unsafe { OwnedFd::from_raw_fd(raw) })?))
    }

    /// Takes over a watch that the parent of the process made and sent.
    ///
    /// # Errors
    ///
    /// None on this system; elsewhere watches cannot be sent.
    pub fn received(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(fd))
    }

    /// Whether watches can be sent to other processes on this system.
    pub const CAN_BE_SENT: bool = true;

    /// Signals the process; one that has ended already is no error.
    ///
    /// # Errors
    ///
    /// What `pidfd_send_signal(2)` reports.
    pub fn signal(&self, _pid: Pid, signal: Signal) -> io::Result<()> {
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null `siginfo` is allowed, the rest are integers.
        let result = checked(unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal.number(), info, 0)
        });
        match result {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map(drop),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Signals a child of ours that we have not collected, by its number: the number is still its own.
///
/// # Errors
///
/// What `kill(2)` reports.
pub fn signal_own_child(pid: Pid, signal: Signal) -> io::Result<()> {
    signal::send(pid, signal)
}
