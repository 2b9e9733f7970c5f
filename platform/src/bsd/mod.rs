//! What macOS and FreeBSD have alike, because both kernels come from BSD.

pub(crate) mod queue;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::portable::descriptors::set_option;
use crate::unix::checked;

/// `SO_NOSIGPIPE` belongs to the socket, so it holds in every process that the socket is handed to.
pub(crate) fn keep_sigpipe_away(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SO_NOSIGPIPE, 1)
}

/// The user who made the other end of a socket: `getpeereid(3)`, which knows it for socket pairs too
/// (xnu, `unp_connect2`).
pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut user = 0;
    let mut group = 0;
    // SAFETY: both are valid places for the results.
    checked(unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) })?;
    Ok(user)
}

/// Whether the program runs with more rights than the user who started it: then nothing in its
/// environment may be believed.
#[must_use]
pub fn is_privileged() -> bool {
    // SAFETY: no memory is involved, and it cannot fail: issetugid(2).
    unsafe { libc::issetugid() != 0 }
}

/// `VM_INHERIT_NONE` of <mach/vm_inherit.h>, `INHERIT_NONE` of FreeBSD's <sys/mman.h>.
const INHERIT_NONE: libc::c_int = 2;

unsafe extern "C" {
    /// <sys/mman.h>, minherit(2); the libc crate has it for one of the two.
    fn minherit(address: *mut libc::c_void, length: usize, inherit: libc::c_int) -> libc::c_int;
}

/// Keeps a mapping from forked children.
pub(crate) fn not_for_children(base: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: changes what a later fork copies, and nothing in this process.
    checked(unsafe { minherit(base.cast(), length, INHERIT_NONE) })?;
    Ok(())
}

/// The names of shared memory and named semaphores: no system call lists them, and nothing here makes any that
/// stay.
#[must_use]
pub fn shared_names() -> BTreeSet<String> {
    BTreeSet::new()
}

/// Whether another process than this one uses what has such a name. Nothing asks here: there are no names.
#[must_use]
pub fn others_use(_shared_name: &str) -> bool {
    false
}
