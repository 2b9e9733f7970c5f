//! What the system allows and gives to a process, which children have from their parent: users, groups and capabilities,
//! limits, priority, processors, control groups, the mask for new files.

use std::fs;

/// See the head of the file. Two that are equal allow the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Rights {
    status: Vec<String>,
    limits: String,
    groups: String,
    priority: i32,
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

impl Rights {
    /// Those of this process now. `None` if the system does not tell all of them.
    #[must_use]
    pub fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let inherited = |line: &&str| INHERITED.iter().any(|name| line.starts_with(name));
        let status: Vec<String> = status.lines().filter(inherited).map(str::to_owned).collect();
        if status.is_empty() {
            return None;
        }
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        // A kernel without control groups has no such file.
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        // SAFETY: no memory is involved; 0 is this process. An error looks like a priority, the same each time.
        let priority = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        Some(Self { status, limits, groups, priority })
    }
}
