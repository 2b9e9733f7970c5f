//! The children of this process: `/proc`.

use crate::unix::wait::Pid;

/// The children of this process, which has one thread. `None` where the system does not say.
pub(crate) fn children() -> Option<Vec<Pid>> {
    let own = std::process::id();
    if let Ok(list) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        return Some(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect());
    }
    // A kernel without CONFIG_PROC_CHILDREN: look for processes whose parent we are.
    if !std::path::Path::new("/proc/self").exists() {
        return None;
    }
    let processes = std::fs::read_dir("/proc").ok()?;
    let children = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &Pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse::<u32>().ok());
            parent == Some(own)
        });
    Some(children.collect())
}
