//! Knowing that one child has ended, and signalling exactly that child.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::unix::fd::lift;
use crate::unix::signal::Signal;
use crate::unix::wait::{self, Exit, Pid};
use crate::unix::{checked, signal, uninterrupted};

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

    /// Collects the process if it has ended, and never a later one that was given the same number. The caller
    /// must be its parent.
    pub(crate) fn try_reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        self.collect(pid, libc::WNOHANG)
    }

    /// Waits for its end, and collects it.
    pub(crate) fn reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        self.collect(pid, 0)
    }

    fn collect(&self, pid: Pid, options: i32) -> io::Result<Option<Exit>> {
        let id = libc::id_t::try_from(self.0.as_raw_fd()).map_err(io::Error::other)?;
        // SAFETY: all its fields may be zero.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let waited = uninterrupted(|| {
            // SAFETY: `info` is a valid place for the result.
            checked(unsafe {
                libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | options)
            })
        });
        match waited {
            Ok(_) => {}
            // Somebody else has collected it.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                return Ok(Some(self.kept_exit().unwrap_or(Exit::Unknown)));
            }
            // The system waits for numbers only: before Linux 5.4, or a filter.
            Err(_) => return wait::by_number(pid, options),
        }
        // SAFETY: the field is there after every wait, and 0 if nothing has ended.
        if unsafe { info.si_pid() } == 0 {
            return Ok(None);
        }
        // SAFETY: the field is there when a child has ended.
        let status = unsafe { info.si_status() };
        Ok(Some(match info.si_code {
            libc::CLD_EXITED => Exit::Code(status),
            code => Exit::Signal { signal: status, core: code == libc::CLD_DUMPED },
        }))
    }

    /// How a process ended that is no child of this one. `None`: it runs, or the system does not say.
    #[must_use]
    pub fn exit_of_other(&self) -> Option<Exit> {
        let Some(number) = self.number() else { return self.kept_exit() };
        let exit = exit_of(number);
        // Not collected meanwhile either, so the number was its own.
        if self.number() == Some(number) { exit } else { self.kept_exit() }
    }

    /// Its number in `/proc`, until it is collected.
    fn number(&self) -> Option<Pid> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let text = std::fs::read_to_string(path).ok()?;
        let number = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        number.trim().parse().ok().filter(|number| *number > 0)
    }

    /// How a process ended that somebody else has collected: the system keeps that for a pidfd since Linux 6.15.
    fn kept_exit(&self) -> Option<Exit> {
        // It is collected before that is written down, some microseconds.
        for _ in 0..LOOKS {
            let mut info = Info { mask: INFO_EXIT, other: [0; 13], exit_code: 0 };
            let fd = self.0.as_raw_fd();
            // SAFETY: the kernel writes no more into `info` than the command says that there is.
            let told = checked(unsafe { libc::ioctl(fd, GET_INFO, &raw mut info) });
            if told.is_err() {
                return None;
            }
            if info.mask & INFO_EXIT != 0 {
                return Some(Exit::from_status(info.exit_code));
            }
            std::thread::sleep(LOOK);
        }
        None
    }
}

/// How a process ended that nobody has collected yet. `None`: it runs, or this process may not know.
fn exit_of(pid: Pid) -> Option<Exit> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc_pid_stat(5): the name, in parentheses, may hold anything. The status is the last field there is, the 50th behind the name.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let has_ended = matches!(fields.next(), Some("Z" | "X" | "x"));
    let status = fields.nth(48)?.parse().ok()?;
    // Who may not know is told 0.
    (has_ended && (status != 0 || has_own_ids(pid))).then(|| Exit::from_status(status))
}

/// Whether a process has this one's user and group in all places where it could have another: then this one may know all
/// about it, by ptrace(2), "Ptrace access mode checking".
fn has_own_ids(pid: Pid) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    // SAFETY: no memory is involved.
    let user = unsafe { libc::geteuid() };
    // SAFETY: no memory is involved.
    let group = unsafe { libc::getegid() };
    [("Uid:", user), ("Gid:", group)].into_iter().all(|(name, own)| {
        let all = text.lines().find_map(|line| line.strip_prefix(name));
        all.is_some_and(|all| all.split_ascii_whitespace().all(|id| id.parse() == Ok(own)))
    })
}

/// How often, and how far apart, to look for the status of a process that was just collected.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_micros(50);

/// `struct pidfd_info` of <linux/pidfd.h> in its first form, which the libc crate does not have.
#[repr(C)]
struct Info {
    mask: u64,
    /// The number, the parent, the users, the control group.
    other: [u32; 13],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: the exit code is wanted, and there.
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`. It carries the size of the structure.
const GET_INFO: libc::Ioctl = libc::_IOWR::<Info>(0xff, 11);

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
