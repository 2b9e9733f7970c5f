//! What stands on Linux for what only macOS can say or do, behind the files of `portable`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::stat::{fstat, stat};

pub(crate) use crate::linux::inherit::{EXTRA_FLAGS, close_from, inherit};
pub(crate) use crate::linux::peer::peer_user;
pub use crate::linux::process::{is_privileged, set_name};
use crate::unix::checked;
use crate::unix::wait::Pid;

/// A flag of each message, where macOS has an option of the socket.
pub(crate) const NO_SIGPIPE: i32 = libc::MSG_NOSIGNAL;

#[expect(clippy::unnecessary_wraps, reason = "macOS has something to do, and it can fail")]
pub(crate) fn keep_sigpipe_away(_socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

/// As little as sockets of macOS hold when it does not grant more, so that what needs more is found.
pub(crate) const SOCKET_BUFFER: libc::c_int = 8 << 10;

/// For nobody but this user.
pub(crate) const FOR_THIS_USER: libc::mode_t = 0o600;

/// In which unit getrusage(2) counts memory: kibibytes.
pub(crate) const RESIDENT_UNIT: u64 = 1024;

/// Whether this is memory, and not a file that has a place on a file system. `shm_open` makes files on one
/// that holds nothing else. Their size can be changed, by whoever may write: what macOS refuses is a matter
/// of trust here.
pub(crate) fn is_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(fstat(fd)?.st_dev == stat("/dev/shm")?.st_dev)
}

/// Keeps a mapping from forked children.
pub(crate) fn not_for_children(base: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: changes what a later fork copies, and nothing in this process.
    checked(unsafe { libc::madvise(base.cast(), length, libc::MADV_DONTFORK) })?;
    Ok(())
}

/// poll(2) by the rules of macOS (xnu, `poll_nocancel`): of a descriptor that is polled for nothing it says nothing; who
/// asks for `POLLHUP` hears of nothing else, and the call also comes back when there is something to read; and with
/// `POLLHUP` there is no `POLLOUT`.
///
/// # Safety
///
/// As poll(2): `count` of them start at `first`.
pub(crate) unsafe fn poll(
    first: *mut libc::pollfd,
    count: libc::nfds_t,
    milliseconds: libc::c_int,
) -> libc::c_int {
    // SAFETY: the caller's promise; nobody else uses them during the call. None may be a null pointer without them.
    let all = unsafe { std::slice::from_raw_parts_mut(first, count as usize) };
    let asked: Vec<i16> = all.iter().map(|one| one.events).collect();
    for one in all.iter_mut().filter(|one| one.events & libc::POLLHUP != 0) {
        one.events |= libc::POLLIN;
    }
    // SAFETY: the caller's promise.
    let ready = unsafe { libc::poll(all.as_mut_ptr(), count, milliseconds) };
    for (one, events) in all.iter_mut().zip(asked) {
        let unasked = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
        one.events = events;
        one.revents &= if events == 0 { 0 } else { events | unasked };
        if one.revents & libc::POLLHUP != 0 {
            one.revents &= !libc::POLLOUT;
        }
    }
    if ready < 0 {
        return ready;
    }
    all.iter().map(|one| libc::c_int::from(one.revents != 0)).sum()
}

/// Gives back whole blocks of a file, which read as zeroes then.
pub(crate) fn punch_hole(fd: BorrowedFd<'_>, from: u64, length: u64) -> io::Result<()> {
    let signed = |place| libc::off_t::try_from(place).map_err(io::Error::other);
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let (from, length) = (signed(from)?, signed(length)?);
    // SAFETY: the call takes integers.
    checked(unsafe { libc::fallocate(fd.as_raw_fd(), mode, from, length) })?;
    Ok(())
}

/// Where the kernel found the program.
pub(crate) fn executable() -> Option<CString> {
    let path = std::fs::read_link("/proc/self/exe").ok()?;
    CString::new(path.into_os_string().into_encoded_bytes()).ok()
}

/// The children of this process, which has one thread.
pub(crate) fn children() -> Vec<Pid> {
    crate::linux::children::children().unwrap_or_default()
}
