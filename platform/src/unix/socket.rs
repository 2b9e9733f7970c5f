//! Connected sockets that carry descriptors, with streams or messages, never blocking and never raising SIGPIPE.
//!
//! # Safety
//!
//! Control messages are read with the `CMSG_*` macros inside the length that the kernel reported;
//! numbers found in an `SCM_RIGHTS` message were made by the kernel for this process and are put
//! into `OwnedFd` at once, so that every way out of the function closes them.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::os::descriptors::{RECEIVE_FLAGS, SEND_FLAGS, after_receive};
use crate::os::receipt;

pub use crate::os::descriptors::MOST_IN_MESSAGE;

/// The most descriptors that go with one [`send`]. Small, because macOS wants them to fit, together
/// with the data, into an 8 KiB socket buffer.
pub const MOST_DESCRIPTORS: usize = 16;

/// Room for one control message of so many bytes, aligned as `cmsghdr` wants it.
#[repr(C, align(8))]
struct Control<const SPACE: usize>([u8; SPACE]);

/// Of a control message with [`MOST_DESCRIPTORS`].
const ROOM: usize = 128;
/// Of one with [`MOST_IN_MESSAGE`].
const ROOM_OF_MESSAGE: usize = space_for(MOST_IN_MESSAGE + receipt::EXTRA);

const _: () = assert!(space_for(MOST_DESCRIPTORS + receipt::EXTRA) <= ROOM);

const fn space_for(fds: usize) -> usize {
    // SAFETY: `CMSG_SPACE` is arithmetic.
    unsafe { libc::CMSG_SPACE((fds * size_of::<RawFd>()) as u32) as usize }
}

/// Makes sure that a received descriptor is a socket: other objects never say that the peer is gone.
///
/// # Errors
///
/// `InvalidData` when it is something else.
pub fn verify(fd: BorrowedFd<'_>) -> io::Result<()> {
    if is_socket(fd)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the descriptor received is no socket"))
}

pub(crate) fn is_socket(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(nix::sys::stat::fstat(fd)?.st_mode & libc::S_IFMT == libc::S_IFSOCK)
}

/// Ends the connection, for everybody who has this end or a duplicate of it: the peer reads to the end of
/// what was sent.
///
/// # Errors
///
/// What `shutdown(2)` reports; `NotConnected` when the peer is gone.
pub fn hang_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes integers.
    super::checked(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) })?;
    Ok(())
}

/// Sends some of `bytes`, with all of `fds` attached to the first of them.
///
/// # Errors
///
/// `WouldBlock` when the buffer is full; `BrokenPipe` or `ConnectionReset` when the peer is gone.
///
/// # Panics
///
/// With no bytes, or with more than [`MOST_DESCRIPTORS`] descriptors.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    assert!(fds.len() <= MOST_DESCRIPTORS, "{} descriptors at once", fds.len());
    send_from::<ROOM>(socket, bytes, fds)
}

/// What has been sent so far, for [`wait_until_arrived`].
#[must_use]
pub fn sent_so_far() -> u64 {
    receipt::mark()
}

/// Waits until the descriptors of these messages, as [`sent_so_far`] counts them, cannot be lost any more when this process
/// ends; for `limit` at most. On Linux they never can; on macOS sockets can, until they are received.
///
/// # Errors
///
/// What `poll(2)` reports.
pub fn wait_until_arrived(messages: &Range<u64>, limit: Duration) -> io::Result<()> {
    receipt::settle(messages, limit)
}

/// Like [`send`], a whole message through one of a [`message_pair`](crate::descriptors::message_pair).
///
/// # Errors
///
/// As [`send`]. `WouldBlock` also when as many descriptors of this user are on their way, in all sockets, as it may
/// have: some have to arrive first.
///
/// # Panics
///
/// With no bytes, or with more than [`MOST_IN_MESSAGE`] descriptors.
pub fn send_message(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    assert!(fds.len() <= MOST_IN_MESSAGE, "{} descriptors in one message", fds.len());
    send_from::<ROOM_OF_MESSAGE>(socket, bytes, fds).map_err(|error| match error.raw_os_error() {
        Some(libc::ETOOMANYREFS) => io::ErrorKind::WouldBlock.into(),
        _ => error,
    })
}

/// Not more descriptors than `SPACE` has room for, and what goes along with them.
fn send_from<const SPACE: usize>(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let Some(receipt) = receipt::for_message(fds) else {
        return send_all::<SPACE>(socket, bytes, fds);
    };
    let sent = send_all::<SPACE>(socket, bytes, &[fds, &[receipt.slip(socket)?]].concat())?;
    receipt.sent();
    Ok(sent)
}

fn send_all<const SPACE: usize>(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    assert!(!bytes.is_empty(), "descriptors travel with at least one byte");
    assert!(space_for(fds.len()) <= SPACE, "{} descriptors in {SPACE} bytes", fds.len());
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control([0; SPACE]);
    // SAFETY: all zeroes is a valid `msghdr`: null pointers and zero lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        let payload = size_of_val(fds) as u32;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: `CMSG_SPACE` is arithmetic.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as _;
        // SAFETY: `msg_control` points to `SPACE` zeroed, aligned bytes, enough for one header.
        let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        // SAFETY: `CMSG_LEN` is arithmetic.
        let length = unsafe { libc::CMSG_LEN(payload) };
        // SAFETY: `header` points into `control`, is aligned, and nothing else refers to it.
        let header = unsafe { &mut *header };
        header.cmsg_level = libc::SOL_SOCKET;
        header.cmsg_type = libc::SCM_RIGHTS;
        header.cmsg_len = length as _;
        // SAFETY: `header` is the header just filled in.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY:
        // - `BorrowedFd` is `repr(transparent)` over the number;
        // - `data` has room for `payload` bytes: the assertion above.
        unsafe { std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), data, payload as usize) };
    }
    super::uninterrupted(|| {
        // SAFETY: `message` points to `part`, `bytes` and `control`, which all outlive the call.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, SEND_FLAGS) };
        usize::try_from(super::checked(sent)?).map_err(io::Error::other)
    })
}

/// Receives bytes into `buffer`, and appends the descriptors that came with them to `fds`.
///
/// Zero bytes mean that the peer has closed its end.
///
/// # Errors
///
/// `WouldBlock` when there is nothing yet. When descriptors were lost, because this process has no
/// more room for them, all that did arrive are closed and an error is returned.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    receive_into::<ROOM>(socket, part, fds)
}

/// Like [`receive`], what one [`send_message`] has sent.
///
/// # Errors
///
/// As [`receive`].
pub fn receive_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    receive_into::<ROOM_OF_MESSAGE>(socket, part, fds)
}

/// Like [`receive`], behind the bytes that `buffer` has, into the room that it has: memory that was not
/// written before is written once.
///
/// # Errors
///
/// As [`receive`].
pub fn receive_behind(
    socket: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    most: usize,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let room = spare.len().min(most);
    let part = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: room };
    let count = receive_into::<ROOM>(socket, part, fds)?;
    let length = buffer.len() + count.min(room);
    // SAFETY: the kernel has just written `count` bytes behind those that were there, and there was room for
    // `room` of them.
    unsafe { buffer.set_len(length) };
    Ok(count)
}

/// `part` must be memory that may be written, until the call returns.
fn receive_into<const SPACE: usize>(
    socket: BorrowedFd<'_>,
    mut part: libc::iovec,
    fds: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut control = Control([0; SPACE]);
    // SAFETY: all zeroes is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let received = super::uninterrupted(|| {
        // SAFETY: `message` points to `part`, to the memory it describes, and to `control`, which all outlive
        // the call.
        let received =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, RECEIVE_FLAGS) };
        usize::try_from(super::checked(received)?).map_err(io::Error::other)
    })?;
    let mut arrived = Vec::new();
    // SAFETY: the kernel filled in `msg_control` and `msg_controllen`.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a whole header inside `control`.
        let found = unsafe { &*header };
        if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: `CMSG_LEN` is arithmetic.
            let empty = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = (found.cmsg_len as usize).saturating_sub(empty) / size_of::<RawFd>();
            // SAFETY: `found` is a header inside `control`.
            let data = unsafe { libc::CMSG_DATA(found) }.cast::<RawFd>();
            let mut together = Vec::with_capacity(count);
            for index in 0..count {
                // SAFETY: `index` is below the number of descriptors that fit in `cmsg_len`.
                let place = unsafe { data.add(index) };
                // SAFETY: inside the message; `CMSG_DATA` promises no alignment.
                let raw = unsafe { place.read_unaligned() };
                // SAFETY: the kernel made this number for us with this message.
                together.push(unsafe { OwnedFd::from_raw_fd(raw) });
            }
            receipt::give(&mut together);
            arrived.append(&mut together);
        }
        // SAFETY: `header` came from `CMSG_FIRSTHDR` or `CMSG_NXTHDR` of this message.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(io::Error::other(
            "descriptors were lost on their way: this process has no room for more (ulimit -n)",
        ));
    }
    for fd in arrived {
        // Of another kind than any error of `recvmsg`, after which all is still there.
        let lost = |error| io::Error::other(format!("a descriptor was lost on its way: {error}"));
        after_receive(&fd).map_err(lost)?;
        fds.push(super::fd::lift(fd).map_err(lost)?);
    }
    Ok(received)
}
