//! A bell that several processes ring and one waits for: a pair of sockets, since there is no eventfd.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::unix::descriptors;
use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::socket;

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
    let (first, second) = descriptors::socket_pair()?;
    Ok((Listener(first), Ringer(second)))
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
        // Every error is that it was not rung, or will be met again by whoever waits.
        while socket::receive(fd, &mut [0; 256], &mut Vec::new()).is_ok_and(|count| count == 256) {}
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
        match socket::send(self.0.borrow()?, &[1], &[]) {
            // A full buffer means that it rings already. Without a listener, nobody is left to hear.
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::BrokenPipe
                        | io::ErrorKind::ConnectionReset
                ) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}
