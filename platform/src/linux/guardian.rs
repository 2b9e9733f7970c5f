//! The process that finds, ends and reaps every descendant.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::unix::signal::{self, Signal};
use crate::unix::wait::{self, Pid, Reaped};

/// A descriptor that becomes readable when a child of this process has ended.
#[derive(Debug)]
pub struct Endings(SignalFd);

impl Endings {
    /// Makes it. SIGCHLD must be blocked, as it is in a supervisor.
    ///
    /// # Errors
    ///
    /// What `signalfd(2)` reports.
    pub fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Number::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Takes note that children have ended; `wait::reap_any` finds out which.
    ///
    /// # Errors
    ///
    /// What reading reports.
    pub fn clear(&self) -> io::Result<()> {
        while self.0.read_signal()?.is_some() {}
        Ok(())
    }
}

impl AsFd for Endings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes this process the parent of all descendants whose own parent ends, so that they can be found.
///
/// # Errors
///
/// What `prctl(2)` reports.
pub fn adopt_descendants() -> io::Result<()> {
    // SAFETY: the call takes integers.
    crate::unix::checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
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

/// Kills and collects every child, and every descendant that becomes a child by that, until none is
/// left. `seen` is told of each.
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

/// Kills the children that are not `known`: what ended children of ours left behind. They are collected
/// when they have ended, like the others.
pub fn end_strays(known: impl Fn(Pid) -> bool) {
    for child in children() {
        if !known(child) {
            // A child of ours that was not collected: the number is its own.
            let _ = signal::send(child, Signal::Kill);
        }
    }
}

/// The children of this process, which has one thread.
fn children() -> Vec<Pid> {
    let own = std::process::id();
    if let Ok(list) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        return list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    }
    // A kernel without CONFIG_PROC_CHILDREN: look for processes whose parent we are.
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &Pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse::<u32>().ok());
            parent == Some(own)
        })
        .collect()
}
