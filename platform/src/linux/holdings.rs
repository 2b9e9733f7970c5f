//! What a process holds: children, descriptors, names in shared memory. From `/proc`; without it, nothing is
//! found.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

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

/// Where shared memory and semaphores with a name are (shm_overview(7)).
const SHARED: &str = "/dev/shm";

/// The names of shared memory and semaphores that this user has on the machine.
#[must_use]
pub fn shared_names() -> BTreeSet<String> {
    // SAFETY: no memory is involved.
    let own = unsafe { libc::geteuid() };
    let list = fs::read_dir(SHARED).into_iter().flatten().flatten();
    // Directories are other things of other programs.
    list.filter(|entry| entry.metadata().is_ok_and(|data| data.is_file() && data.uid() == own))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Whether another process than this one maps what has such a name, or has it open.
#[must_use]
pub fn others_use(shared_name: &str) -> bool {
    let path = format!("{SHARED}/{shared_name}");
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = processes.filter(|entry| {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        pid.is_some_and(|pid| pid != own)
    });
    others.map(|entry| entry.path()).any(|process| {
        let maps = fs::read(process.join("maps")).unwrap_or_default();
        let mut files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        maps.split(|byte| *byte == b'\n').any(|line| line.ends_with(path.as_bytes()))
            || files.any(|fd| fs::read_link(fd.path()).is_ok_and(|file| file.as_os_str() == &*path))
    })
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
            environment_of(*pid).split(|byte| *byte == 0).any(|variable| variable == wanted)
        })
        .collect()
}

/// What the kernel shows of the environment of a process. Of one that is just executing something it shows none, though
/// it has memory, for a moment: that is waited for.
fn environment_of(pid: Pid) -> Vec<u8> {
    for _ in 0..LOOKS {
        let environment = fs::read(format!("/proc/{pid}/environ"));
        let size = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
        // Threads of the kernel have no memory, nor has one that has ended, and others cannot be read.
        let is_complete = !matches!(&environment, Ok(bytes) if bytes.is_empty());
        if is_complete || matches!(size.split(' ').next(), None | Some("" | "0")) {
            return environment.unwrap_or_default();
        }
        std::thread::sleep(LOOK);
    }
    // It was started without any.
    Vec::new()
}

/// How often, and how far apart, to look for the environment of a process.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_micros(500);
