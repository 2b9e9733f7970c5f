//! What the system allows and gives to a process, which children have from their parent: users, groups and capabilities,
//! limits, priority, processors, control groups and namespaces, the mask for new files, its place among other processes.
//!
//! Much of that belongs to a thread, and children have it from the one that starts them. Landlock is not told by the system.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// See the head of the file. Two that are equal allow the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Rights {
    status: Vec<String>,
    /// Limits, control groups, how soon it is ended when memory runs out, and its label (SELinux, AppArmor).
    texts: [String; 4],
    namespaces: Vec<Option<std::path::PathBuf>>,
    /// Device and number of the root directory.
    root: [u64; 2],
    /// Priorities and kind of scheduling, process group, session.
    numbers: [i32; 5],
}

/// The lines of proc_pid_status(5) that children inherit, besides what `clone` and `execve` change.
const INHERITED: [&str; 16] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
    "NoNewPrivs:",
    "Seccomp:",
    "Seccomp_filters:",
    "Cpus_allowed:",
    "Mems_allowed:",
    "THP_enabled:",
    "untag_mask:",
];

const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid_for_children", "user", "uts"];

impl Rights {
    /// Those of this thread now. `None` if the system does not tell all of them.
    #[must_use]
    pub fn now() -> Option<Self> {
        let told = |name: &str| fs::read_to_string(format!("/proc/thread-self/{name}")).ok();
        let status = told("status")?;
        let inherited = |line: &&str| INHERITED.iter().any(|name| line.starts_with(name));
        let status: Vec<String> = status.lines().filter(inherited).map(str::to_owned).collect();
        if status.is_empty() {
            return None;
        }
        // A kernel without control groups, or labels, has no such file.
        let [groups, label] = ["cgroup", "attr/current"].map(|name| told(name).unwrap_or_default());
        let texts = [told("limits")?, groups, told("oom_score_adj")?, label];
        let namespace = |name: &str| fs::read_link(format!("/proc/thread-self/ns/{name}")).ok();
        let namespaces = NAMESPACES.iter().map(|name| namespace(name)).collect();
        let root = fs::metadata("/").ok()?;
        let mut real_time = libc::sched_param { sched_priority: 0 };
        // SAFETY: a valid place for the result; 0 is this thread.
        unsafe { libc::sched_getparam(0, &raw mut real_time) };
        // An error looks like a number, the same each time.
        let numbers = [
            // SAFETY: no memory is involved; 0 is this thread.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) },
            // SAFETY: as above.
            unsafe { libc::sched_getscheduler(0) },
            real_time.sched_priority,
            // SAFETY: no memory is involved.
            unsafe { libc::getpgrp() },
            // SAFETY: no memory is involved; 0 is this process.
            unsafe { libc::getsid(0) },
        ];
        Some(Self { status, texts, namespaces, root: [root.dev(), root.ino()], numbers })
    }
}
