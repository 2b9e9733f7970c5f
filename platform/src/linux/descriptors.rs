//! Pipes and sockets that are born with close-on-exec.

use std::io;
use std::os::fd::OwnedFd;

pub(crate) use super::peer::peer_user;
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

/// The most descriptors that one message of a pair carries: what the kernel allows (`SCM_MAX_FD`), so that those of a
/// value are one message. An empty buffer takes one, however small it is; several may never fit into it.
pub const MOST_IN_MESSAGE: usize = 253;

pub(crate) fn pipe() -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok(ends)
}

pub(crate) fn socket_pair() -> io::Result<[i32; 2]> {
    pair_of(libc::SOCK_STREAM)
}

/// Its messages have boundaries, and like a stream it says when the other end is closed.
pub(crate) fn message_pair() -> io::Result<[i32; 2]> {
    pair_of(libc::SOCK_SEQPACKET)
}

fn pair_of(kind: i32) -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok(ends)
}
