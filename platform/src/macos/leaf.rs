//! What only macOS can say or do, behind the files of `portable`.
//!
//! No test of ours runs these on a Mac; they are type-checked and linked, and short.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::sys::stat::fstat;

use super::ffi;
pub use crate::bsd::is_privileged;
pub(crate) use crate::bsd::{keep_sigpipe_away, not_for_children, peer_user};
use crate::unix::checked;
use crate::unix::spawn::{Actions, returned};
use crate::unix::wait::Pid;

/// No flag of a message keeps SIGPIPE away, see `keep_sigpipe_away`.
pub(crate) const NO_SIGPIPE: i32 = 0;

/// How many bytes a socket may hold; 8 KiB if nothing is said (xnu, `PIPSIZ`), too little to pass
/// a large message at a good pace.
pub(crate) const SOCKET_BUFFER: libc::c_int = 256 << 10;

/// For nobody but this user; `shm_open` takes it as a variadic `int`.
pub(crate) const FOR_THIS_USER: libc::c_uint = 0o600;

/// In which unit getrusage(2) counts memory: bytes.
pub(crate) const RESIDENT_UNIT: u64 = 1;

/// Whether this is memory, and not a file that has a place on a file system: files, pipes and sockets have
/// a type, shared memory has none (xnu, `pshm_stat`). Its size cannot be set a second time.
pub(crate) fn is_memory(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(fstat(fd)?.st_mode & libc::S_IFMT == 0)
}

/// Gives back whole blocks of a file, which read as zeroes then: `F_PUNCHHOLE`, fcntl(2).
pub(crate) fn punch_hole(fd: BorrowedFd<'_>, from: u64, length: u64) -> io::Result<()> {
    let signed = |place| libc::off_t::try_from(place).map_err(io::Error::other);
    let hole = libc::fpunchhole_t {
        fp_flags: 0,
        reserved: 0,
        fp_offset: signed(from)?,
        fp_length: signed(length)?,
    };
    // SAFETY: `hole` is valid and only read.
    checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) })?;
    Ok(())
}

/// The new process gets the descriptors that the actions name, and no other, whatever their
/// close-on-exec says (posix_spawnattr_setflags(3)).
pub(crate) const EXTRA_FLAGS: i32 = libc::POSIX_SPAWN_CLOEXEC_DEFAULT;

/// Lets the new process have one of our standard descriptors, if it is open.
pub(crate) fn inherit(actions: &mut Actions, target: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFD on any number is harmless: EBADF when it is closed. To name a closed one in the
    // actions would make the start fail.
    if unsafe { libc::fcntl(target, libc::F_GETFD) } == -1 {
        return Ok(());
    }
    // SAFETY: the actions are initialised.
    returned(unsafe { ffi::posix_spawn_file_actions_addinherit_np(actions.raw(), target) })
}

/// Closes every descriptor from `first` on, in the new process: [`EXTRA_FLAGS`] has done it.
#[expect(clippy::unnecessary_wraps, reason = "Linux has something to do, and it can fail")]
pub(crate) fn close_from(_actions: &mut Actions, _first: RawFd) -> io::Result<()> {
    Ok(())
}

/// What dyld was told by the kernel: maybe a symbolic link, maybe relative (dyld(3)).
pub(crate) fn executable() -> Option<CString> {
    let mut size = 0;
    // SAFETY: with room for no byte, only the size needed is written.
    unsafe { ffi::_NSGetExecutablePath(std::ptr::null_mut(), &raw mut size) };
    let mut buffer = vec![0; usize::try_from(size).ok()?];
    // SAFETY: `buffer` has `size` bytes.
    let result = unsafe { ffi::_NSGetExecutablePath(buffer.as_mut_ptr().cast(), &raw mut size) };
    if result != 0 {
        return None;
    }
    CStr::from_bytes_until_nul(&buffer).ok().map(CStr::to_owned)
}

/// Names this process where that can be done: in debuggers, `sample` and crash reports, by the name
/// of its main thread. `ps` goes on to show the file. The first 63 bytes count.
pub fn set_name(name: &str) {
    const MOST: usize = libc::MAXTHREADNAMESIZE - 1;
    let mut bytes: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(MOST).collect();
    bytes.push(0);
    // SAFETY: the name ends with a zero, and is copied.
    unsafe { libc::pthread_setname_np(bytes.as_ptr().cast()) };
}

/// The children of this process, those that have ended and were not collected included:
/// `proc_listchildpids` of <libproc.h>.
pub(crate) fn children() -> Vec<Pid> {
    let Ok(own) = Pid::try_from(std::process::id()) else { return Vec::new() };
    // SAFETY: without a buffer, the call says how many processes there are in the whole system, and
    // some more.
    let most = unsafe { libc::proc_listchildpids(own, std::ptr::null_mut(), 0) };
    let mut list: Vec<Pid> = vec![0; usize::try_from(most).unwrap_or(0)];
    let Ok(size) = i32::try_from(size_of_val(&*list)) else { return Vec::new() };
    // SAFETY: `list` has the size stated, and takes any integers.
    let count = unsafe { libc::proc_listchildpids(own, list.as_mut_ptr().cast(), size) };
    list.truncate(usize::try_from(count).unwrap_or(0));
    // Zero would mean our own process group.
    list.retain(|pid| *pid > 0);
    list
}
