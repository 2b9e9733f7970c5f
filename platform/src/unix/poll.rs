//! Waiting for several descriptors at once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

#[cfg(not(offspring_force_portable))]
use libc::poll as system_poll;

#[cfg(offspring_force_portable)]
use crate::os::leaf::poll as system_poll;
use crate::os::receipt;

/// What is asked of a descriptor of which only the end matters.
const ONLY_HANG_UP: i16 = libc::POLLHUP;

/// One descriptor to wait for, and afterwards what it is ready for.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Interest<'fd> {
    raw: libc::pollfd,
    fd: std::marker::PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> Interest<'fd> {
    /// Wants to know when `fd` can be read; end of file counts.
    #[must_use]
    pub fn readable(fd: BorrowedFd<'fd>) -> Self {
        Self::new(fd, libc::POLLIN)
    }

    /// Wants to know when `fd` can be read, and if `also` when it can be written.
    #[must_use]
    pub fn readable_and_writable(fd: BorrowedFd<'fd>, also: bool) -> Self {
        Self::new(fd, if also { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN })
    }

    /// Wants to know when `fd` can be written, and if `also` when it can be read.
    #[must_use]
    pub fn writable_and_readable(fd: BorrowedFd<'fd>, also: bool) -> Self {
        Self::new(fd, if also { libc::POLLIN | libc::POLLOUT } else { libc::POLLOUT })
    }

    /// Wants to know when nobody is left at the other end, and nothing else.
    #[must_use]
    pub fn hang_up(fd: BorrowedFd<'fd>) -> Self {
        // Most systems tell that without being asked. macOS tells nothing about a descriptor that is polled for
        // nothing (xnu, `poll_nocancel` in bsd/kern/sys_generic.c).
        Self::new(fd, ONLY_HANG_UP)
    }

    fn new(fd: BorrowedFd<'fd>, events: i16) -> Self {
        Self {
            raw: libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 },
            fd: std::marker::PhantomData,
        }
    }

    /// After [`wait`]: there is something to read, or the end of file, or an error to find out.
    #[must_use]
    pub fn can_read(&self) -> bool {
        self.raw.revents & (libc::POLLIN | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }

    /// After [`wait`]: nobody is left at the other end, though there may be something to read still.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        self.raw.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }

    fn wants_only_hang_up(&self) -> bool {
        self.raw.events == ONLY_HANG_UP
    }

    /// Leaves it out of the next [`poll`], or takes it in again.
    fn turn(&mut self) {
        // Negative numbers are passed over, and none is its own complement.
        self.raw.fd = !self.raw.fd;
    }

    /// After [`wait`]: a write will not block.
    #[must_use]
    pub fn can_write(&self) -> bool {
        // macOS reports the end of the peer without `POLLOUT`.
        let any = libc::POLLOUT | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
        self.raw.revents & any != 0
    }
}

/// After a lack of memory, so that callers who wait again do not spin.
const PAUSE: Duration = Duration::from_millis(1);
/// How long to be without a look at what is asked for its end only, where that has to be left out.
const SLICE: Duration = Duration::from_millis(20);

/// Waits until one of `interests` is ready, or for `timeout` (`None`: for ever).
///
/// Returns early, with nothing ready, when a signal arrives, and now and then without a reason: callers check their
/// deadline and wait again. The same when the system has no memory for it at the moment: who waits has begun something,
/// and a supervisor that gave up would take all its children along.
///
/// # Errors
///
/// What `poll(2)` reports, except those: more descriptors than the process may have.
pub fn wait(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let result = wait_for(interests, receipt::limited(timeout));
    // What has arrived meanwhile may be that for which it was waited.
    let _ = receipt::limited(None);
    result
}

fn wait_for(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
    if timeout == Some(Duration::ZERO) || !interests.iter().any(Interest::wants_only_hang_up) {
        return poll(interests, timeout).map(drop);
    }
    let began = Instant::now();
    if poll(interests, timeout)? != Some(0) {
        return Ok(());
    }
    let left = timeout.map(|limit| limit.saturating_sub(began.elapsed()));
    if left.is_some_and(|left| left.is_zero()) {
        return Ok(());
    }
    // There is something to read where only the end was asked for: macOS comes back at once for that, with nothing
    // to tell, and would do so again and again.
    let limit = left.map_or(SLICE, |left| left.min(SLICE));
    let turn = |interests: &mut [Interest<'_>]| {
        interests.iter_mut().filter(|one| one.wants_only_hang_up()).for_each(Interest::turn);
    };
    turn(interests);
    let result = poll(interests, Some(limit));
    turn(interests);
    result.map(drop)
}

/// Whether nobody is left at the other end of this descriptor.
///
/// # Errors
///
/// As [`wait`].
pub fn has_hung_up(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut interest = [Interest::hang_up(fd)];
    wait(&mut interest, Some(Duration::ZERO))?;
    Ok(interest[0].has_hung_up())
}

/// A look that waits for nothing, and at nothing else: for `portable/receipt.rs`.
#[cfg(any(target_os = "macos", target_os = "freebsd", offspring_force_portable))]
pub(crate) fn look(interests: &mut [Interest<'_>]) -> io::Result<()> {
    poll(interests, Some(Duration::ZERO)).map(drop)
}

/// How many are ready; `None` when a signal came, or the system had no memory.
fn poll(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<Option<u32>> {
    // Rounded up, so that a caller does not spin through the last fraction of a millisecond.
    let milliseconds = match timeout {
        None => -1,
        Some(limit) => i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    };
    let count = interests.len() as libc::nfds_t;
    let first = interests.as_mut_ptr().cast::<libc::pollfd>();
    // SAFETY: `Interest` is `repr(transparent)` over `pollfd` (its other field has no size), and
    // `count` of them start at `first`.
    match super::checked(unsafe { system_poll(first, count, milliseconds) }) {
        Ok(ready) => Ok(Some(ready.unsigned_abs())),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            interests.iter_mut().for_each(|interest| interest.raw.revents = 0);
            Ok(None)
        }
        // `EAGAIN`: macOS and others say so for the same reason.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN)) => {
            interests.iter_mut().for_each(|interest| interest.raw.revents = 0);
            std::thread::sleep(timeout.map_or(PAUSE, |limit| limit.min(PAUSE)));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
