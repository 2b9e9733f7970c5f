//! How children ended, and collecting them.

use std::fmt;
use std::io;

use crate::os::watch::Watch;

/// The number of a process.
pub type Pid = i32;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Exit {
    /// It ended by itself, with this status.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The number of the signal; [`Exit`]'s `Display` has its name.
        signal: i32,
        /// Whether a core file was written.
        core: bool,
    },
    /// It ended, but its status was lost: other code in this process collected it first (and the system is none
    /// that keeps it, as Linux does since 6.15), or the process that had to report it was killed.
    Unknown,
}

impl Exit {
    pub(crate) fn from_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            Self::Code(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Self::Signal { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal { signal, core } => {
                match nix::sys::signal::Signal::try_from(signal) {
                    Ok(known) => write!(f, "signal {signal} ({known})")?,
                    Err(_) => write!(f, "signal {signal}")?,
                }
                if core { f.write_str(", core dumped") } else { Ok(()) }
            }
            Self::Unknown => f.write_str("unknown exit status"),
        }
    }
}

/// Whether SIGKILL ended it: somebody did that to it, or the system did because memory ran out. It was
/// no crash.
#[must_use]
pub fn was_killed(exit: Exit) -> bool {
    matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. })
}

/// Collects one child that has ended, without waiting.
///
/// `None` while it runs. A child that somebody else collected has ended: that happens when the program ignores
/// SIGCHLD, or calls `waitpid(-1)`. Its status is [`Exit::Unknown`] then, unless the watch knows it. Without a watch
/// the child is known by its number alone, which in such a program may be another child's by now.
///
/// # Errors
///
/// What `waitpid(2)` reports, except those two.
pub fn try_reap(pid: Pid, watch: Option<&Watch>) -> io::Result<Option<Exit>> {
    match watch {
        Some(watch) => watch.try_reap(pid),
        None => by_number(pid, libc::WNOHANG),
    }
}

/// Waits for one child to end, and collects it.
///
/// # Errors
///
/// As [`try_reap`].
pub fn reap(pid: Pid, watch: Option<&Watch>) -> io::Result<Exit> {
    let exit = match watch {
        Some(watch) => watch.reap(pid),
        None => by_number(pid, 0),
    };
    Ok(exit?.unwrap_or(Exit::Unknown))
}

/// Collects the child that has this number. `None`: it runs, and `options` say not to wait.
pub(crate) fn by_number(pid: Pid, options: i32) -> io::Result<Option<Exit>> {
    debug_assert!(pid > 0, "0 and negative numbers mean groups of processes");
    let mut status = 0;
    let result = super::uninterrupted(|| {
        // SAFETY: `status` is a valid place for the result.
        super::checked(unsafe { libc::waitpid(pid, &raw mut status, options) })
    });
    match result {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(Exit::from_status(status))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Some(Exit::Unknown)),
        Err(error) => Err(error),
    }
}

/// What [`reap_any`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This child had ended.
    Child(Pid, Exit),
    /// There are children, and all of them run.
    AllRun,
    /// There are no children.
    NoChildren,
}

/// Collects any child that has ended. Only for processes that are entirely offspring's own: in a
/// user's process it would steal the children of others.
///
/// # Errors
///
/// What `waitpid(2)` reports.
pub fn reap_any() -> io::Result<Reaped> {
    let mut status = 0;
    let result = super::uninterrupted(|| {
        // SAFETY: `status` is a valid place for the result.
        super::checked(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })
    });
    match result {
        Ok(0) => Ok(Reaped::AllRun),
        Ok(pid) => Ok(Reaped::Child(pid, Exit::from_status(status))),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::NoChildren),
        Err(error) => Err(error),
    }
}
