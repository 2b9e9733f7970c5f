//! Who is at the other end of a socket: `SO_PEERCRED`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::unix::checked;

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
