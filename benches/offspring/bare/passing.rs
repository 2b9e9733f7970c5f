//! A number and a descriptor over a socket, in one message.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::Outcome;

/// Room for one descriptor beside a message, aligned for its header.
type Room = [u64; 8];

const DESCRIPTOR: libc::c_uint = size_of::<libc::c_int>() as libc::c_uint;

pub(super) fn send(socket: &UnixStream, number: u64, file: BorrowedFd<'_>) -> Outcome<()> {
    let mut bytes = number.to_ne_bytes();
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut room: Room = [0; 8];
    let header = header(&mut part, &mut room);
    // SAFETY: the header describes room that is large enough for a control header.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: it lies within `room`, which is aligned and borrowed by nobody else.
    let first = unsafe { &mut *control };
    first.cmsg_level = libc::SOL_SOCKET;
    first.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: the call computes a number.
    first.cmsg_len = unsafe { libc::CMSG_LEN(DESCRIPTOR) } as _;
    // SAFETY: the control header is the one above.
    let data = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: behind the header there is room for one descriptor, perhaps not aligned for it.
    unsafe { data.cast::<libc::c_int>().write_unaligned(file.as_raw_fd()) };
    // SAFETY: all that the header points to lives until the call is over.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, 0) };
    match usize::try_from(sent) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err("a message of 8 bytes was cut".into()),
        Err(_) => Err(io::Error::last_os_error().into()),
    }
}

pub(super) fn receive(socket: &UnixStream) -> Outcome<(u64, OwnedFd)> {
    let mut bytes = [0; 8];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut room: Room = [0; 8];
    let mut header = header(&mut part, &mut room);
    // SAFETY: all that the header points to lives until the call is over, and may be written.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    if got < 0 {
        return Err(io::Error::last_os_error().into());
    }
    if usize::try_from(got)? != bytes.len() {
        return Err("a message of 8 bytes was cut".into());
    }
    // SAFETY: the kernel has filled in the header.
    let control = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    if control.is_null() {
        return Err("a message without a descriptor".into());
    }
    // SAFETY: the control header is the one above.
    let data = unsafe { libc::CMSG_DATA(control) };
    // SAFETY: only `send` writes to this socket, so what follows is one descriptor.
    let raw = unsafe { data.cast::<libc::c_int>().read_unaligned() };
    // SAFETY: the kernel just made this number for us.
    let file = unsafe { OwnedFd::from_raw_fd(raw) };
    Ok((u64::from_ne_bytes(bytes), file))
}

fn header(part: &mut libc::iovec, room: &mut Room) -> libc::msghdr {
    // SAFETY: integers and pointers, for which zeroes are fine.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = room.as_mut_ptr().cast();
    // SAFETY: the call computes a number.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(DESCRIPTOR) } as _;
    header
}
