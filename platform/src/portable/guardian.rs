//! The process that finds, ends and reaps every descendant it can find.
//!
//! There is no way to become the parent of orphans here, as there is on Linux. So what is found are
//! the children of this process; a descendant whose own parent ended becomes a child of launchd, and
//! nothing tells any more where it came from.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::os::leaf::children;
use crate::os::queue::Queue;
use crate::unix::signal::{self, Signal};
use crate::unix::wait::{self, Pid, Reaped};

/// A descriptor that becomes readable when a child of this process has ended.
#[derive(Debug)]
pub struct Endings(Queue);

impl Endings {
    /// Makes it. SIGCHLD must be blocked, as it is in a supervisor: no handler needs to run.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn new() -> io::Result<Self> {
        Queue::of_endings().map(Self)
    }

    /// Takes note that children have ended; `wait::reap_any` finds out which.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn clear(&self) -> io::Result<()> {
        self.0.clear()
    }

    /// The descriptor, to wait for. Forked children do not inherit it: it is a queue.
    ///
    /// # Errors
    ///
    /// None on this system.
    pub fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.0.as_fd())
    }
}

/// Makes this process the parent of all descendants whose own parent ends, so that they can be found.
///
/// Does nothing here: orphans always go to launchd. The children of a child that was killed live on,
/// unless a lifeline of their own ends them.
///
/// # Errors
///
/// None on this system.
pub fn adopt_descendants() -> io::Result<()> {
    Ok(())
}

/// In a child of a supervisor: ends it if the supervisor died before this point.
///
/// What happens later is left to the lifeline; the kernel has no second line to offer here.
pub fn die_with_supervisor(supervisor: Pid) {
    if u32::try_from(supervisor) != Ok(std::os::unix::process::parent_id()) {
        crate::unix::exit::now(0);
    }
}

/// Kills and collects every child, until none is left. `seen` is told of each.
///
/// # Errors
///
/// What `waitpid(2)` reports.
pub fn end_all(mut seen: impl FnMut(Pid, wait::Exit)) -> io::Result<()> {
    loop {
        match wait::reap_any()? {
            Reaped::NoChildren => return Ok(()),
            Reaped::Child(pid, exit) => seen(pid, exit),
            Reaped::AllRun => {
                for child in children() {
                    // Children of ours that were not collected: the numbers are theirs.
                    let _ = signal::send(child, Signal::Kill);
                }
                // A killed process takes a moment to end.
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }
}

/// The children that this process has now.
#[must_use]
pub fn present() -> Vec<Pid> {
    children()
}

/// Kills the children that are not `known`. They are collected when they have ended, like the others.
///
/// Whether there were any. Finds few here: what ended children of ours left behind belongs to launchd.
pub fn end_strays(known: impl Fn(Pid) -> bool) -> bool {
    let mut found = false;
    for child in children() {
        if !known(child) {
            found = true;
            // A child of ours that was not collected: the number is its own.
            let _ = signal::send(child, Signal::Kill);
        }
    }
    found
}
