//! A bell that several processes ring and one waits for: eventfd(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::{checked, uninterrupted};

/// The end that waits.
#[derive(Debug)]
pub struct Listener(PrivateFd);

/// An end that rings.
#[derive(Debug)]
pub struct Ringer(PrivateFd);

/// Makes a bell.
///
/// # Errors
///
/// When the process or the system has no descriptor left.
pub fn new() -> io::Result<(Listener, Ringer)> {
    // SAFETY: the call takes integers.
    let raw = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel just made this number for us.
    let first = unsafe { OwnedFd::from_raw_fd(raw) };
    let second = duplicate(std::os::fd::AsFd::as_fd(&first))?;
    Ok((Listener(PrivateFd::new(first)?), Ringer(PrivateFd::new(second)?)))
}

impl Listener {
    /// The descriptor, readable when the bell was rung.
    ///
    /// # Errors
    ///
    /// In a forked child.
    pub fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.borrow()
    }

    /// Takes note that it was rung.
    pub fn clear(&self) {
        let Ok(fd) = self.0.borrow() else { return };
        let mut count = 0u64;
        // An error is that it was not rung.
        let _ = uninterrupted(|| {
            // SAFETY: `count` has room for the eight bytes that are read.
            checked(unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) })
        });
    }
}

impl Ringer {
    /// Takes over an end that another process sent.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn received(fd: OwnedFd) -> io::Result<Self> {
        PrivateFd::new(fd).map(Self)
    }

    /// Takes over an end that a forked child was told to keep.
    #[must_use]
    pub fn kept(fd: PrivateFd) -> Self {
        Self(fd)
    }

    /// Another descriptor of the same end, to be sent to a child.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, and in a forked child.
    pub fn to_send(&self) -> io::Result<OwnedFd> {
        duplicate(self.0.borrow()?)
    }

    /// Rings. A bell that rings already goes on ringing.
    ///
    /// # Errors
    ///
    /// When the descriptor is no bell any more: somebody has closed it.
    pub fn ring(&self) -> io::Result<()> {
        let fd = self.0.borrow()?;
        let one = 1u64;
        let rung = uninterrupted(|| {
            // SAFETY: `one` has the eight bytes that are written.
            checked(unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), 8) })
        });
        match rung {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
