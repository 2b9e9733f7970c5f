//! The process that finds, ends and reaps every descendant.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::children::children;
use super::endings;
use crate::unix::checked;
use crate::unix::fd::PrivateFd;
use crate::unix::signal::{self, Signal};
use crate::unix::wait::{self, Pid, Reaped};

/// A descriptor that becomes readable when a child of this process has ended. Forked children close it.
#[derive(Debug)]
pub struct Endings(PrivateFd);

impl Endings {
    /// Makes it. SIGCHLD must be blocked, as it is in a supervisor.
    ///
    /// # Errors
    ///
    /// What `signalfd(2)` reports.
    pub fn new() -> io::Result<Self> {
        endings::open().map(Self)
    }

    /// Takes note that children have ended; `wait::reap_any` finds out which.
    ///
    /// # Errors
    ///
    /// What reading reports.
    pub fn clear(&self) -> io::Result<()> {
        endings::clear(&self.0)
    }

    /// The descriptor, to wait for.
    ///
    /// # Errors
    ///
    /// In a forked child.
    pub fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.borrow()
    }
}

/// Makes this process the parent of all descendants whose own parent ends, so that they can be found.
///
/// # Errors
///
/// What `prctl(2)` reports.
pub fn adopt_descendants() -> io::Result<()> {
    // SAFETY: the call takes integers.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    Ok(())
}

/// In a child of a supervisor: the kernel kills it when the supervisor dies. A second line beside the
/// lifeline; right only here, because the supervisor has one thread.
pub fn die_with_supervisor(supervisor: Pid) {
    // SAFETY: the call takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    // SAFETY: no memory is involved.
    if unsafe { libc::getppid() } != supervisor {
        // It died before the kernel knew.
        crate::unix::exit::now(0);
    }
}

/// How long to wait for children to end by their lifelines where they cannot be found, to be killed.
const BLIND: Duration = Duration::from_millis(100);

/// Kills and collects every child, and every descendant that becomes a child by that, until none is
/// left. `seen` is told of each.
///
/// Without `/proc`, what children of ours left behind is not found, and not waited for.
///
/// # Errors
///
/// What `waitpid(2)` reports.
pub fn end_all(mut seen: impl FnMut(Pid, wait::Exit)) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match wait::reap_any()? {
            Reaped::NoChildren => return Ok(()),
            Reaped::Child(pid, exit) => seen(pid, exit),
            Reaped::AllRun => {
                match children() {
                    Some(list) => {
                        for child in list {
                            // Children of ours that were not collected: the numbers are theirs.
                            let _ = signal::send(child, Signal::Kill);
                        }
                    }
                    None if start.elapsed() > BLIND => return Ok(()),
                    None => {}
                }
                // A killed process takes a moment to end.
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// The children that this process has now. None without `/proc`.
#[must_use]
pub fn present() -> Vec<Pid> {
    children().unwrap_or_default()
}

/// Kills the children that are not `known`: what ended children of ours left behind. They are collected
/// when they have ended, like the others.
///
/// Whether there were any. If so, they may leave descendants behind in their turn: to be repeated when
/// they have ended.
pub fn end_strays(known: impl Fn(Pid) -> bool) -> bool {
    let mut found = false;
    for child in children().unwrap_or_default() {
        if !known(child) {
            found = true;
            // A child of ours that was not collected: the number is its own.
            let _ = signal::send(child, Signal::Kill);
        }
    }
    found
}
