//! Waiting for several descriptors at once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

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
        // The system tells that without being asked.
        Self::new(fd, 0)
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

    /// After [`wait`]: a write will not block.
    #[must_use]
    pub fn can_write(&self) -> bool {
        self.raw.revents & (libc::POLLOUT | libc::POLLERR | libc::POLLNVAL) != 0
    }
}

/// After a lack of memory, so that callers who wait again do not spin.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until one of `interests` is ready, or for `timeout` (`None`: for ever).
///
/// Returns early, with nothing ready, when a signal arrives: callers check their deadline and wait
/// again. The same when the system has no memory for it at the moment: who waits has begun something, and a
/// supervisor that gave up would take all its children along.
///
/// # Errors
///
/// What `poll(2)` reports, except those: more descriptors than the process may have.
pub fn wait(interests: &mut [Interest<'_>], timeout: Option<Duration>) -> io::Result<()> {
    // Rounded up, so that a caller does not spin through the last fraction of a millisecond.
    let milliseconds = match timeout {
        None => -1,
        Some(limit) => i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    };
    let count = interests.len() as libc::nfds_t;
    let first = interests.as_mut_ptr().cast::<libc::pollfd>();
    // SAFETY: `Interest` is `repr(transparent)` over `pollfd` (its other field has no size), and
    // `count` of them start at `first`.
    match super::checked(unsafe { libc::poll(first, count, milliseconds) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            interests.iter_mut().for_each(|interest| interest.raw.revents = 0);
            Ok(())
        }
        // `EAGAIN`: macOS and others say so for the same reason.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN)) => {
            interests.iter_mut().for_each(|interest| interest.raw.revents = 0);
            std::thread::sleep(timeout.map_or(PAUSE, |limit| limit.min(PAUSE)));
            Ok(())
        }
        other => other.map(drop),
    }
}
