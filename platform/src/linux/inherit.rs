//! What a program started by `posix_spawn` inherits: everything above what is handed over is closed.

use std::io;
use std::os::fd::RawFd;

use crate::unix::spawn::{Actions, returned};

/// No flag of this system is needed.
pub(crate) const EXTRA_FLAGS: i32 = 0;

/// Standard descriptors are inherited by themselves.
#[expect(clippy::unnecessary_wraps, reason = "macOS has something to do, and it can fail")]
pub(crate) fn inherit(_actions: &mut Actions, _target: RawFd) -> io::Result<()> {
    Ok(())
}

type CloseFrom =
    unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, libc::c_int) -> libc::c_int;

/// Closes every descriptor from `first` on, in the new process.
///
/// glibc 2.34 has a call for it. Elsewhere (older glibc, musl) the open descriptors that lack
/// close-on-exec are listed and closed one by one; one that another thread opens in between gets
/// through, as it would with std's `Command`.
pub(crate) fn close_from(actions: &mut Actions, first: RawFd) -> io::Result<()> {
    let name = c"posix_spawn_file_actions_addclosefrom_np";
    // SAFETY: a lookup by name; the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if !found.is_null() {
        // SAFETY: glibc's <spawn.h> declares the function with this type.
        let close_from = unsafe { std::mem::transmute::<*mut libc::c_void, CloseFrom>(found) };
        // SAFETY: the actions are initialised.
        return returned(unsafe { close_from(actions.raw(), first) });
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|text| text.parse::<RawFd>().ok()) else {
            continue;
        };
        // SAFETY: F_GETFD on any number is harmless.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if number >= first && flags != -1 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: the actions are initialised.
            returned(unsafe { libc::posix_spawn_file_actions_addclose(actions.raw(), number) })?;
        }
    }
    Ok(())
}
