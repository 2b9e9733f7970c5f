//! Kernel queues, for what Linux has descriptors of its own for: ends of processes, and signals.
//!
//! A queue belongs to the process that made it. The kernel closes it in a forked child (kqueue(2):
//! "The queue is not inherited"), where its number may soon mean something else, and refuses to send
//! it to another process (xnu, `kqueue_internal`: `FP_CLOFORK`, `FG_CONFINED`).
//!
//! # Safety
//!
//! A queue of an older generation (made before the fork that made this process) owns nothing any
//! more: its number is neither used nor closed.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::unix::fd::{generation, lift};
use crate::unix::wait::Pid;
use crate::unix::{checked, uninterrupted};

/// A queue of events; readable while at least one has happened and was not taken out.
#[derive(Debug)]
pub(crate) struct Queue {
    fd: ManuallyDrop<OwnedFd>,
    generation: u64,
}

impl Queue {
    /// Readable when a process has ended: a child of the caller that was not collected.
    pub(crate) fn of_end(pid: Pid) -> io::Result<Self> {
        let queue = Self::new()?;
        let identity = usize::try_from(pid).map_err(io::Error::other)?;
        let ends = event(identity, libc::EVFILT_PROC, libc::EV_ADD, libc::NOTE_EXIT);
        match queue.change(&[ends]) {
            // The process is ending, and the kernel attaches nothing to it any more. No ending falls in
            // between: the kernel marks the process so, waits for calls such as this one, and only
            // then posts the event (xnu, `filt_procattach`, `proc_refdrain`).
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => queue.change(&happened())?,
            other => other?,
        }
        Ok(queue)
    }

    /// Readable when a child of this process has ended, and from the start.
    ///
    /// SIGCHLD should be blocked: no handler needs to run. The queue records the signal all the same, since
    /// it looks before blocking does (kqueue(2)).
    pub(crate) fn of_endings() -> io::Result<Self> {
        let queue = Self::new()?;
        queue.change(&[event(libc::SIGCHLD as usize, libc::EVFILT_SIGNAL, libc::EV_ADD, 0)])?;
        // Unlike a pending signal, an ending before this point was not recorded; so that the caller looks
        // once.
        queue.change(&happened())?;
        Ok(queue)
    }

    fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let raw = checked(unsafe { libc::kqueue() })?;
        // SAFETY: the kernel just made this number for us.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd: ManuallyDrop::new(lift(fd)?), generation: generation() })
    }

    /// Whether this is the process that made the queue.
    pub(crate) fn is_own(&self) -> bool {
        self.generation == generation()
    }

    /// Changes what the queue waits for.
    fn change(&self, changes: &[libc::kevent]) -> io::Result<()> {
        self.call(changes, &mut []).map(drop)
    }

    /// Takes out all events that have happened.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut events = [event(0, 0, 0, 0); 4];
        while self.call(&[], &mut events)? > 0 {}
        Ok(())
    }

    fn call(&self, changes: &[libc::kevent], events: &mut [libc::kevent]) -> io::Result<i32> {
        let fd = self.as_fd().as_raw_fd();
        let change_count = i32::try_from(changes.len()).map_err(io::Error::other)?;
        let event_count = i32::try_from(events.len()).map_err(io::Error::other)?;
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        uninterrupted(|| {
            // SAFETY: both arrays have the lengths stated, and all three outlive the call.
            checked(unsafe {
                libc::kevent(
                    fd,
                    changes.as_ptr(),
                    change_count,
                    events.as_mut_ptr(),
                    event_count,
                    &raw const at_once,
                )
            })
        })
    }
}

impl AsFd for Queue {
    /// # Panics
    ///
    /// In a forked child of the process that made the queue: there is no such descriptor there.
    fn as_fd(&self) -> BorrowedFd<'_> {
        assert!(
            self.is_own(),
            "this object belongs to the parent process; a forked child cannot use its copy"
        );
        self.fd.as_fd()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.is_own() {
            // SAFETY: of this generation, so the number is ours; this is the only place that closes
            // it, and nothing uses it after.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}

/// One change to a queue, as `EV_SET` of <sys/event.h> makes it.
fn event(identity: usize, filter: i16, flags: u16, filter_flags: u32) -> libc::kevent {
    // SAFETY: integers and an address, for which zeroes are valid; FreeBSD has more of them than macOS.
    let mut event = unsafe { std::mem::zeroed::<libc::kevent>() };
    event.ident = identity;
    event.filter = filter;
    event.flags = flags;
    event.fflags = filter_flags;
    event
}

/// The two changes that make a queue readable now.
fn happened() -> [libc::kevent; 2] {
    [
        event(0, libc::EVFILT_USER, libc::EV_ADD | libc::EV_CLEAR, 0),
        event(0, libc::EVFILT_USER, 0, libc::NOTE_TRIGGER),
    ]
}
