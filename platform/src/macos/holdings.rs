//! What a process holds: children, descriptors.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

pub use crate::bsd::{others_use, shared_names};
use crate::unix::wait::Pid;

/// The children of a process, those included that ended and were not collected: `proc_listchildpids` of
/// <libproc.h>.
#[must_use]
pub fn children_of(pid: Pid) -> BTreeSet<Pid> {
    // SAFETY: without a buffer, the call says how many processes there are in the whole system, and some
    // more.
    let most = unsafe { libc::proc_listchildpids(pid, std::ptr::null_mut(), 0) };
    listed(most, |list, size| {
        // SAFETY: `list` has the size stated, and takes any integers.
        unsafe { libc::proc_listchildpids(pid, list, size) }
    })
    .into_iter()
    .collect()
}

/// Asks for numbers of processes, with room for `most`.
fn listed(most: i32, ask: impl Fn(*mut libc::c_void, i32) -> i32) -> Vec<Pid> {
    let mut list: Vec<Pid> = vec![0; usize::try_from(most).unwrap_or(0)];
    let Ok(size) = i32::try_from(size_of_val(&*list)) else { return Vec::new() };
    let count = ask(list.as_mut_ptr().cast(), size);
    list.truncate(usize::try_from(count).unwrap_or(0));
    // Zero is the kernel.
    list.retain(|pid| *pid > 0);
    list
}

/// The name of a process, as `ps` shows it; empty when it is gone.
#[must_use]
pub fn name_of(pid: Pid) -> String {
    let mut name = [0u8; 64];
    let size = name.len() as u32;
    // SAFETY: the place has the size stated.
    let length = unsafe { libc::proc_name(pid, name.as_mut_ptr().cast(), size) };
    let length = usize::try_from(length).unwrap_or(0).min(name.len());
    String::from_utf8_lossy(&name[..length]).into_owned()
}

/// The open descriptors of this process, as `number -> what it is`.
#[must_use]
pub fn descriptors() -> BTreeSet<String> {
    let list = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    list.filter_map(|entry| {
        // The listing's own descriptor is gone by the time anybody looks.
        let kind = std::fs::metadata(entry.path()).ok()?.file_type();
        let kind = if kind.is_socket() {
            "socket"
        } else if kind.is_fifo() {
            "pipe"
        } else if kind.is_dir() {
            "directory"
        } else if kind.is_char_device() {
            "device"
        } else {
            "file"
        };
        Some(format!("{} -> {kind}", entry.file_name().to_string_lossy()))
    })
    .collect()
}

/// The processes of this user that have `name=value` in the environment they were started with: the
/// `KERN_PROCARGS2` of sysctl(3), which the system tells about processes of the same user.
#[must_use]
pub fn with_variable(name: &str, value: &OsStr) -> Vec<Pid> {
    let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
    // SAFETY: without a buffer, the call says how many there are.
    let most = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let mut found = listed(most, |list, size| {
        // SAFETY: `list` has the size stated, and takes any integers.
        unsafe { libc::proc_listallpids(list, size) }
    });
    found.retain(|pid| start_of(*pid).split(|byte| *byte == 0).any(|variable| variable == wanted));
    found
}

/// Path, arguments and environment of a process, each ending with a zero; empty if it is not told.
fn start_of(pid: Pid) -> Vec<u8> {
    let mut question = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut size = 0;
    // SAFETY: the question has three numbers; without a buffer the size is told.
    let asked = unsafe {
        libc::sysctl(
            question.as_mut_ptr(),
            3,
            std::ptr::null_mut(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    if asked != 0 {
        return Vec::new();
    }
    let mut bytes = vec![0u8; size];
    // SAFETY: the buffer has the size stated.
    let told = unsafe {
        libc::sysctl(
            question.as_mut_ptr(),
            3,
            bytes.as_mut_ptr().cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    bytes.truncate(if told == 0 { size } else { 0 });
    bytes
}
