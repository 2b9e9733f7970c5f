//! Pipes and socket pairs that no unrelated child can inherit.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::fd::PrivateFd;
use crate::os;

/// A pipe: what is written into the second end can be read from the first.
///
/// # Errors
///
/// When the process or the system has no descriptor left.
pub fn pipe() -> io::Result<(PrivateFd, PrivateFd)> {
    own(os::descriptors::pipe()?)
}

/// Two connected stream sockets.
///
/// # Errors
///
/// When the process or the system has no descriptor left.
pub fn socket_pair() -> io::Result<(PrivateFd, PrivateFd)> {
    own(os::descriptors::socket_pair()?)
}

/// Two connected sockets for small messages with descriptors, all of one size, each of which is sent and
/// received whole.
///
/// # Errors
///
/// When the process or the system has no descriptor left.
pub fn message_pair() -> io::Result<(PrivateFd, PrivateFd)> {
    own(os::descriptors::message_pair()?)
}

fn own([first, second]: [i32; 2]) -> io::Result<(PrivateFd, PrivateFd)> {
    // SAFETY: the kernel just made this number for us.
    let first = unsafe { OwnedFd::from_raw_fd(first) };
    // SAFETY: the kernel just made this number for us.
    let second = unsafe { OwnedFd::from_raw_fd(second) };
    Ok((PrivateFd::new(first)?, PrivateFd::new(second)?))
}
