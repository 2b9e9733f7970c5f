//! What a process holds: children, descriptors, names in shared memory. From `/proc`; without it, nothing is
//! found.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::unix::wait::Pid;

/// The children of a process with any number of threads, those included that ended and were not collected.
#[must_use]
pub fn children_of(pid: Pid) -> BTreeSet<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// The name of a process, as `ps` shows it; empty when it is gone.
#[must_use]
pub fn name_of(pid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// The open descriptors of this process, as `number -> what it is`.
#[must_use]
pub fn descriptors() -> BTreeSet<String> {
    let list = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    list.filter_map(|entry| {
        // The listing's own descriptor is gone by the time anybody looks.
        let target = fs::read_link(entry.path()).ok()?;
        let target = target.to_string_lossy().into_owned();
        let own = target.starts_with("/proc/") && target.ends_with("/fd");
        (!own).then(|| format!("{} -> {target}", entry.file_name().to_string_lossy()))
    })
    .collect()
}

/// The names of shared memory and named semaphores that exist on the machine.
#[must_use]
pub fn shared_names() -> BTreeSet<String> {
    let list = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    list.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The processes of this user that have `name=value` in the environment they were started with. Those that
/// have ended are not among them.
#[must_use]
pub fn with_variable(name: &str, value: &OsStr) -> Vec<Pid> {
    let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &Pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
        })
        .collect()
}
