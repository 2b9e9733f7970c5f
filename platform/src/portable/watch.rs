//! Knowing that one child has ended, and signalling exactly that child.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::os::queue::Queue;
use crate::unix::signal::{self, Signal};
use crate::unix::wait::{self, Exit, Pid};

/// A kernel queue that waits for one event: the end of the process.
///
/// It becomes readable a moment before the status can be collected: the kernel posts the event, and
/// then turns the process into a zombie (xnu, `proc_exit`). So `wait::try_reap` may say once more
/// that the child runs; `wait::reap` waits for that moment.
///
/// In a forked child of the process that made it, a watch is dead: `signal` fails and `as_fd` panics.
#[derive(Debug)]
pub struct Watch(Queue);

impl Watch {
    /// Watches a process. The caller must be its parent and not have collected it.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn child(pid: Pid) -> io::Result<Self> {
        Queue::of_end(pid).map(Self)
    }

    /// Takes over a watch that the parent of the process made and sent. That never happens on this
    /// system; the name exists so that callers are the same on all.
    ///
    /// # Errors
    ///
    /// `Unsupported`, always.
    pub fn received(_fd: OwnedFd) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a watch was received, and this system has none that can be sent",
        ))
    }

    /// Whether watches can be sent to other processes on this system.
    pub const CAN_BE_SENT: bool = false;

    /// Signals the process; one that has ended already is no error.
    ///
    /// By its number, since nothing else names a process here. That is right only because the caller
    /// is the parent and has not collected it: until then the number cannot be given to another
    /// process.
    ///
    /// # Errors
    ///
    /// What `kill(2)` reports; and in a forked child, which is not the parent of that process.
    pub fn signal(&self, pid: Pid, signal: Signal) -> io::Result<()> {
        if !self.0.is_own() {
            return Err(io::Error::other(
                "this process belongs to the parent; a forked child cannot signal it",
            ));
        }
        match signal::send(pid, signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// How a process ended that is no child of this one. The system does not say that here.
    #[must_use]
    pub fn exit_of_other(&self) -> Option<Exit> {
        None
    }

    /// Collects the process if it has ended, by its number: see `signal`.
    pub(crate) fn try_reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        wait::by_number(pid, libc::WNOHANG)
    }

    /// Waits for its end, and collects it.
    pub(crate) fn reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        wait::by_number(pid, 0)
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
