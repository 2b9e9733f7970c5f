//! Signals: blocking them around a fork, and the state in which a child starts.
//!
//! # Safety
//!
//! Handlers are only ever set to "default", "ignore", or a function that does nothing, all of which
//! may run at any instruction.

use std::io;
use std::mem::MaybeUninit;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number, pthread_sigmask};

use super::wait::Pid;

/// The signals that offspring sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGKILL: end now.
    Kill,
    /// SIGCONT: go on, if stopped.
    Continue,
}

impl Signal {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
            Self::Continue => libc::SIGCONT,
        }
    }
}

/// All signals are blocked while this lives; then the mask is what it was.
#[derive(Debug)]
pub struct Blocked(SigSet);

impl Blocked {
    /// Blocks every signal that can be blocked, for the calling thread.
    ///
    /// # Errors
    ///
    /// What `pthread_sigmask(3)` reports.
    pub fn all() -> io::Result<Self> {
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        Ok(Self(before))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Cannot fail: the mask came from the kernel.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None);
    }
}

/// The highest number that `sigaction` may know; others are refused, which is harmless.
const LAST: i32 = 64;

/// Puts a forked child into the state in which a freshly executed program starts: every handler at its
/// default, SIGPIPE ignored as std does. The mask stays: see [`unblock_all`].
///
/// The handlers of SIGSEGV and SIGBUS stay: std's print the message of a stack overflow.
pub fn reset_for_child() {
    for number in 1..=LAST {
        let wanted = match number {
            libc::SIGPIPE => libc::SIG_IGN,
            libc::SIGSEGV | libc::SIGBUS | libc::SIGKILL | libc::SIGSTOP => continue,
            _ => libc::SIG_DFL,
        };
        set_disposition(number, wanted);
    }
}

/// Whose waiting signals are dropped; see [`forget_pending`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Of a child that was nobody yet: whatever was sent to it, mostly with its whole group, was not for who it is going
    /// to be.
    All,
    /// What is sent to whole groups: by a terminal, and SIGTERM. The rest was sent to this child.
    OfGroups,
}

/// Drops signals that wait for being unblocked. Those of faults stay, as do their handlers.
///
/// Whether there were any. If so, to be followed by [`reset_for_child`].
#[must_use]
pub fn forget_pending(which: Pending) -> bool {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the place is valid for a set.
    if unsafe { libc::sigpending(pending.as_mut_ptr()) } != 0 {
        return false;
    }
    let mut found = false;
    // SAFETY: filled by the call above.
    let pending = unsafe { pending.assume_init() };
    let faults = [libc::SIGSEGV, libc::SIGBUS];
    for number in (1..=LAST).filter(|number| !faults.contains(number)) {
        let of_groups = OF_TERMINALS.contains(&number) || number == libc::SIGTERM;
        if which == Pending::OfGroups && !of_groups {
            continue;
        }
        // SAFETY: the set is initialised.
        if unsafe { libc::sigismember(&raw const pending, number) } == 1 {
            // That is what drops it.
            set_disposition(number, libc::SIG_IGN);
            found = true;
        }
    }
    found
}

/// Nothing is blocked any more in the calling thread: for a forked child that is ready for signals.
pub fn unblock_all() {
    // Cannot fail: the mask is valid.
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// What a terminal sends to everybody in the foreground (or in the background, to who uses it).
///
/// They are blocked in a program that was just executed as a child, until it is ready for them.
pub(crate) const OF_TERMINALS: [i32; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Unblocks what is blocked in a program that was just executed as a child.
pub fn unblock_terminal() {
    let set: SigSet =
        OF_TERMINALS.iter().filter_map(|number| Number::try_from(*number).ok()).collect();
    // Cannot fail: the mask is valid.
    let _ = pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

/// The signals by which a terminal ends everybody in the foreground do nothing in this process.
///
/// For processes of a pool: Ctrl-C, and the end of the terminal, are the parent's to decide about, and
/// workers end with it. A handler that does nothing, rather than "ignore", because "ignore" would be
/// inherited by programs that a task executes.
pub fn leave_terminal_to_parent() {
    for number in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        set_disposition(number, do_nothing as *const () as libc::sighandler_t);
    }
}

/// A supervisor ends when its owner's socket closes, and by nothing else: all signals that can be
/// blocked stay blocked in it. Synchronous ones (a crash) are delivered all the same.
///
/// It hears of the end of its children, also when its parent ignored that of its own.
pub fn deaf() {
    set_disposition(libc::SIGCHLD, libc::SIG_DFL);
    // Cannot fail: the mask is valid.
    let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
}

extern "C" fn do_nothing(_signal: i32) {}

/// A write to a pipe or socket that nobody reads is an error, and does not end the process: as std has it from
/// `main` on.
pub fn ignore_pipe() {
    set_disposition(libc::SIGPIPE, libc::SIG_IGN);
}

/// Back to what a signal does by itself. May be called in a handler.
pub(crate) fn forget_handler(number: i32) {
    set_disposition(number, libc::SIG_DFL);
}

/// Has the kernel end this process by SIGALRM when so much time has passed, in whole seconds, rounded up.
/// Children do not inherit that.
pub fn end_after(time: std::time::Duration) {
    let seconds = u32::try_from(time.as_secs().saturating_add(1)).unwrap_or(u32::MAX);
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(seconds) };
}

fn set_disposition(number: i32, handler: libc::sighandler_t) {
    // SAFETY: all zeroes is a valid `sigaction`: default handler, no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is valid, and its handler is one of those named at the head of the file. A
    // number that does not exist, or that the C library keeps for itself, gives EINVAL.
    unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) };
}

/// Sends a signal to a process by its number. Only its parent may, while it has not been collected:
/// otherwise the number may by now belong to somebody else.
///
/// # Errors
///
/// What `kill(2)` reports.
pub fn send(pid: Pid, signal: Signal) -> io::Result<()> {
    debug_assert!(pid > 0, "0 and negative numbers mean groups of processes");
    // SAFETY: no memory is involved.
    super::checked(unsafe { libc::kill(pid, signal.number()) })?;
    Ok(())
}
