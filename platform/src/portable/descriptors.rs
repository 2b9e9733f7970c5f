//! Pipes and sockets that get close-on-exec before any process of ours is started.
//!
//! There is no `pipe2` and no `SOCK_CLOEXEC`. Between the two calls, code that is not ours may start
//! a process, which then inherits the descriptor (see [`spawn::lock`]). While that process lives, the
//! other end sees no end of the file: that a process has ended is for `watch` to tell.
//!
//! # Safety
//!
//! Numbers that the kernel just made are put into `OwnedFd` at once, so that every way out of a
//! function closes them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use super::spawn;
use crate::os::leaf;
pub(crate) use crate::os::leaf::peer_user;
use crate::unix::checked;

/// Never raise SIGPIPE. It does not block because of what [`never_block`] says about the socket: macOS does not look at
/// `MSG_DONTWAIT` when it sends (xnu, `sosendcheck`).
pub(crate) const SEND_FLAGS: i32 = leaf::NO_SIGPIPE;
/// Never block.
pub(crate) const RECEIVE_FLAGS: i32 = libc::MSG_DONTWAIT;

/// What is left to do with a descriptor that arrived: there is no `MSG_CMSG_CLOEXEC`.
pub(crate) fn after_receive(fd: &OwnedFd) -> io::Result<()> {
    close_on_exec(fd.as_fd())
}

/// The most descriptors that one message of a pair carries: as few as with bytes of a stream, because it is one.
/// The buffer, which `socket_pair` makes larger, holds many such messages.
pub const MOST_IN_MESSAGE: usize = crate::unix::socket::MOST_DESCRIPTORS;

pub(crate) fn pipe() -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    let held = spawn::hold_starts();
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    let [first, second] = owned(ends);
    close_on_exec(first.as_fd())?;
    close_on_exec(second.as_fd())?;
    drop(held);
    Ok([first.into_raw_fd(), second.into_raw_fd()])
}

pub(crate) fn socket_pair() -> io::Result<[i32; 2]> {
    let mut ends = [-1; 2];
    let held = spawn::hold_starts();
    // SAFETY: `ends` has room for two numbers.
    checked(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) })?;
    let [first, second] = owned(ends);
    close_on_exec(first.as_fd())?;
    close_on_exec(second.as_fd())?;
    drop(held);
    for socket in [first.as_fd(), second.as_fd()] {
        never_block(socket)?;
        leaf::keep_sigpipe_away(socket)?;
        // Only a matter of speed; a system that is set up to allow less still works.
        let _ = set_option(socket, libc::SO_SNDBUF, leaf::SOCKET_BUFFER);
        let _ = set_option(socket, libc::SO_RCVBUF, leaf::SOCKET_BUFFER);
    }
    Ok([first.into_raw_fd(), second.into_raw_fd()])
}

/// A stream, if messages are small and all have one size. There is no `SOCK_SEQPACKET` between processes, and
/// of datagrams nobody hears when the other end is closed. The buffer takes a message whole or not at all: a write
/// that does not wait begins only when the low-water mark (`SO_SNDLOWAT`, 2 KiB) has room. So it also comes out whole.
pub(crate) fn message_pair() -> io::Result<[i32; 2]> {
    socket_pair()
}

/// Takes over two numbers that the kernel just made for us.
fn owned([first, second]: [i32; 2]) -> [OwnedFd; 2] {
    // SAFETY: only called with such a number.
    let first = unsafe { OwnedFd::from_raw_fd(first) };
    // SAFETY: only called with such a number.
    let second = unsafe { OwnedFd::from_raw_fd(second) };
    [first, second]
}

fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `fd` is open, and the command takes an integer.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// For everybody who has this end, in other processes too: it belongs to the open file.
fn never_block(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `socket` is open, and the command takes no argument.
    let flags = checked(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFL) })?;
    let flags = flags | libc::O_NONBLOCK;
    // SAFETY: `socket` is open, and the command takes an integer.
    checked(unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, flags) })?;
    Ok(())
}

/// Sets an option of the level `SOL_SOCKET` that is an integer.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` has the length stated, and is copied.
    checked(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            length,
        )
    })?;
    Ok(())
}
