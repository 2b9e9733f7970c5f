//! A descriptor that becomes readable when a child has ended: signalfd(2) for SIGCHLD, which must be blocked.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::unix::checked;
use crate::unix::fd::PrivateFd;

pub(crate) fn open() -> io::Result<PrivateFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    PrivateFd::new(SignalFd::with_flags(&set, flags)?.into())
}

/// Takes out all that has happened to children.
pub(crate) fn clear(fd: &PrivateFd) -> io::Result<()> {
    let fd = fd.borrow()?;
    let mut buffer = [0u8; size_of::<libc::signalfd_siginfo>()];
    loop {
        let room = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer has room for what is asked for, and any bytes may be put there.
        let read = checked(unsafe { libc::read(fd.as_raw_fd(), room, buffer.len()) });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}
