//! What FreeBSD says or does in its own way, behind the files of `portable`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::sys::stat::fstat;

use super::{ffi, process};
pub use crate::bsd::is_privileged;
pub(crate) use crate::bsd::{keep_sigpipe_away, not_for_children, peer_user};
use crate::unix::checked;
use crate::unix::spawn::{Actions, returned};
use crate::unix::wait::Pid;

/// Beside the option of the socket, a flag of each message.
pub(crate) const NO_SIGPIPE: i32 = libc::MSG_NOSIGNAL;

/// How many bytes a socket may hold; 8 KiB if nothing is said (`net.local.stream.sendspace`).
pub(crate) const SOCKET_BUFFER: libc::c_int = 256 << 10;

/// For nobody but this user.
pub(crate) const FOR_THIS_USER: libc::mode_t = 0o600;

/// In which unit getrusage(2) counts memory: kibibytes.
pub(crate) const RESIDENT_UNIT: u64 = 1024;

/// Whether this is memory, and not a file that has a place on a file system: it says to be a file, and has
/// no file system (fstatfs(2) fails with `EINVAL`).
pub(crate) fn is_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    if fstat(fd)?.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Ok(false);
    }
    let mut told = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the place has room for the answer.
    match checked(unsafe { libc::fstatfs(fd.as_raw_fd(), told.as_mut_ptr()) }) {
        Ok(_) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Gives back whole blocks of a file, which read as zeroes then: fspacectl(2), since FreeBSD 14.
pub(crate) fn punch_hole(fd: BorrowedFd<'_>, from: u64, length: u64) -> io::Result<()> {
    let signed = |place| libc::off_t::try_from(place).map_err(io::Error::other);
    let mut hole = libc::spacectl_range { r_offset: signed(from)?, r_len: signed(length)? };
    // It may stop early, and says what is left.
    while hole.r_len > 0 {
        let asked = hole;
        // SAFETY: both are valid; the first is only read.
        checked(unsafe {
            libc::fspacectl(
                fd.as_raw_fd(),
                libc::SPACECTL_DEALLOC,
                &raw const asked,
                0,
                &raw mut hole,
            )
        })?;
    }
    Ok(())
}

/// No flag is needed: see [`close_from`].
pub(crate) const EXTRA_FLAGS: i32 = 0;

/// Standard descriptors are inherited by themselves.
#[expect(clippy::unnecessary_wraps, reason = "macOS has something to do, and it can fail")]
pub(crate) fn inherit(_actions: &mut Actions, _target: RawFd) -> io::Result<()> {
    Ok(())
}

/// Closes every descriptor from `first` on, in the new process.
pub(crate) fn close_from(actions: &mut Actions, first: RawFd) -> io::Result<()> {
    // SAFETY: the actions are initialised.
    returned(unsafe { ffi::posix_spawn_file_actions_addclosefrom_np(actions.raw(), first) })
}

/// Where the kernel found the program, if it still knows.
pub(crate) fn executable() -> Option<CString> {
    let mut path = process::own_path().ok()?;
    let end = path.iter().position(|byte| *byte == 0)?;
    path.truncate(end);
    CString::new(path).ok()
}

/// Names this process in `ps`: setproctitle(3).
pub fn set_name(name: &str) {
    let bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).collect();
    let Ok(name) = CString::new(bytes) else { return };
    // SAFETY: the format takes one text, which ends with a zero; both are copied.
    unsafe { libc::setproctitle(c"-%s".as_ptr(), name.as_ptr()) };
}

/// The children of this process, those that have ended and were not collected included.
pub(crate) fn children() -> Vec<Pid> {
    let Ok(own) = Pid::try_from(std::process::id()) else { return Vec::new() };
    process::all().iter().filter(|one| one.ki_ppid == own).map(|one| one.ki_pid).collect()
}
