//! What a process holds: children, descriptors.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

use super::process;
pub use crate::bsd::{others_use, shared_names};
use crate::unix::wait::Pid;

/// The children of a process, those included that ended and were not collected.
#[must_use]
pub fn children_of(pid: Pid) -> BTreeSet<Pid> {
    process::all().iter().filter(|one| one.ki_ppid == pid).map(|one| one.ki_pid).collect()
}

/// The name of a process, as `ps` shows it; empty when it is gone.
#[must_use]
pub fn name_of(pid: Pid) -> String {
    let Ok(Some(told)) = process::one(pid) else { return String::new() };
    let bytes = told.ki_comm.map(|byte| byte.to_ne_bytes()[0]);
    let name = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// The open descriptors of this process, as `number -> what it is`. Each possible number is asked for: there
/// may be no list of them (`/dev/fd` shows the first three, unless fdescfs(5) is mounted).
#[must_use]
pub fn descriptors() -> BTreeSet<String> {
    // SAFETY: no memory is involved.
    let most = unsafe { libc::getdtablesize() };
    (0..most)
        .filter_map(|number| {
            let mut told = MaybeUninit::<libc::stat>::uninit();
            // SAFETY: harmless on any number; the place has room for the answer.
            if unsafe { libc::fstat(number, told.as_mut_ptr()) } != 0 {
                return None;
            }
            // SAFETY: filled in by the call above.
            let told = unsafe { told.assume_init() };
            let kind = match told.st_mode & libc::S_IFMT {
                libc::S_IFSOCK => "socket",
                libc::S_IFIFO => "pipe",
                libc::S_IFDIR => "directory",
                libc::S_IFCHR => "device",
                _ => "file",
            };
            Some(format!("{number} -> {kind}"))
        })
        .collect()
}

/// The processes of this user that have `name=value` in the environment they were started with.
#[must_use]
pub fn with_variable(name: &str, value: &OsStr) -> Vec<Pid> {
    let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
    let has = |pid: Pid| {
        process::environment(pid).split(|byte| *byte == 0).any(|variable| variable == wanted)
    };
    process::all().iter().map(|one| one.ki_pid).filter(|pid| has(*pid)).collect()
}
