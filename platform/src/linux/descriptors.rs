//! Pipes and sockets that are born with close-on-exec.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::unix::checked;

/// Never block, never raise SIGPIPE.
pub(crate) const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
/// Never block; descriptors arrive with close-on-exec.
pub(crate) const RECEIVE_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;

/// What is left to do with a descriptor that arrived: nothing here.
#[expect(clippy::unnecessary_wraps, reason = "macOS has something to do, and it can fail")]
pub(crate) fn after_receive(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

pub(crate) fn pipe() -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(ends)
}

pub(crate) fn socket_pair() -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok(ends)
}

/// The user who made the other end of a socket.
pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of_val(&credentials) as libc::socklen_t;
    // SAFETY: `credentials` and `length` are valid places of the sizes stated.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    })?;
    Ok(credentials.uid)
}
