//! Who is at the other end of a socket.

use std::io;
use std::os::fd::BorrowedFd;

/// Whether this is one end of a pair of stream sockets whose other end was made by our own user.
///
/// # Errors
///
/// When it is not a socket at all, or the system does not say.
pub fn is_own_user(socket: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: no memory is involved, and it cannot fail.
    let own = unsafe { libc::geteuid() };
    Ok(crate::os::descriptors::peer_user(socket)? == own)
}
