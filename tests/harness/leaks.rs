//! What a process has now, and what it had before: children, descriptors, threads, shared memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use offspring_platform::poll;

use super::TOKEN;

/// How the memory that processes share begins in `/proc/<pid>/maps`: it lost its name, or never had one.
pub const SHARED_MEMORY: &str =
    if cfg!(offspring_force_portable) { "/dev/shm/os." } else { "/memfd:offspring" };

/// What this process holds at one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    children: BTreeSet<u32>,
    descriptors: BTreeSet<String>,
    threads: usize,
    shared: BTreeSet<String>,
    /// Whether there is a template that has made globals.
    prepared: bool,
}

impl Snapshot {
    pub fn take() -> Self {
        let mut children = children_of(std::process::id());
        let all = children.len();
        // It lives as long as the program, like the plain one.
        children.retain(|child| !is_prepared(*child));
        Self {
            // More than one would be a leak.
            prepared: all == children.len() + 1,
            children: if all > children.len() + 1 {
                children_of(std::process::id())
            } else {
                children
            },
            descriptors: descriptors(),
            threads: fs::read_dir("/proc/self/task").map_or(0, Iterator::count),
            shared: shared_memory(),
        }
    }

    /// Compares with now. Children must be gone at once: whoever returned had to collect them. Threads
    /// that were joined, and what a fork server collects, take the system a moment.
    pub fn compare(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let now = Self::take();
            let grandchildren: Vec<u32> = now
                .children
                .iter()
                .flat_map(|child| children_of(*child))
                .filter(is_no_spare)
                .collect();
            let mut leaks = Vec::new();
            let extra: Vec<_> = now.children.difference(&self.children).collect();
            if !extra.is_empty() {
                leaks.push(format!("children {extra:?}"));
            }
            if !grandchildren.is_empty() {
                leaks.push(format!("children of children {grandchildren:?}"));
            }
            let new_template = now.prepared && !self.prepared;
            let allowed = if new_template { OF_A_TEMPLATE } else { &[] };
            if !none_but(&self.descriptors, &now.descriptors, allowed) {
                let extra: Vec<_> = now.descriptors.difference(&self.descriptors).collect();
                leaks.push(format!("descriptors {extra:?}"));
            }
            let extra: Vec<_> = now.shared.difference(&self.shared).collect();
            if !extra.is_empty() {
                leaks.push(format!("shared memory {extra:?}"));
            }
            if now.threads > self.threads {
                leaks.push(format!("{} threads, before {}", now.threads, self.threads));
            }
            if leaks.is_empty() {
                return Ok(());
            }
            let own_children = now.children.difference(&self.children).next().is_some();
            if own_children || start.elapsed() > Duration::from_secs(5) {
                return Err(leaks.join("; "));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a template and the child that it keeps ready take: sockets, lifelines, and a watch.
const OF_A_TEMPLATE: &[(&str, usize)] = &[("socket", 3), ("pipe", 2), ("anon_inode", 1)];

/// Whether no descriptor is there that was not. Those of the child that a fork server keeps ready are others
/// after each start, but as many.
pub fn none_more(before: &BTreeSet<String>, now: &BTreeSet<String>) -> bool {
    none_but(before, now, &[])
}

/// The same, but for some of these kinds.
fn none_but(before: &BTreeSet<String>, now: &BTreeSet<String>, allowed: &[(&str, usize)]) -> bool {
    let gone = kinds(&before.difference(now).collect::<Vec<_>>());
    kinds(&now.difference(before).collect::<Vec<_>>()).into_iter().all(|(kind, count)| {
        let allowed = allowed.iter().find(|(allowed, _)| kind.contains(allowed));
        let allowed = allowed.map_or(0, |(_, count)| *count);
        gone.get(&kind).copied().unwrap_or(0) + allowed >= count
    })
}

/// Whether this is a template that has made globals, and not a child of one.
fn is_prepared(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end() == "offspring-state"
}

/// How many there are of each kind: sockets, pipes, files by name.
fn kinds(descriptors: &[&String]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for descriptor in descriptors {
        let target = descriptor.split_once(" -> ").map_or("", |(_, target)| target);
        let kind = target.split_once(":[").map_or(target, |(kind, _)| kind);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    kinds
}

/// Whether this is not the child that a fork server keeps ready, which is nobody's yet. When it was just
/// forked, it has the name of the template still.
fn is_no_spare(pid: &u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let is_template = |name: &str| matches!(name.trim_end(), "offspring-templ" | "offspring-state");
    // Once: it may get its name just now.
    let own = name(&pid.to_string());
    own.trim_end() != "offspring-spare"
        && !(is_template(&own) && parent.is_some_and(|parent| is_template(&name(parent))))
}

/// The children of a process with one or more threads.
pub fn children_of(pid: u32) -> BTreeSet<u32> {
    let mut children = BTreeSet::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return children };
    for task in tasks.flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    // Those of a thread that has ended meanwhile are the first one's now.
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    children
}

/// The children of this process, and those of its template that are supervisors: all that a pool's supervisor may be one of.
pub fn possible_supervisors() -> BTreeSet<u32> {
    let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut all = children_of(std::process::id());
    // A worker has the name of its supervisor until it gets its own.
    let templates = all.iter().filter(|pid| name(pid).trim_end() == "offspring-templ");
    let of_templates: Vec<u32> = templates.flat_map(|template| children_of(*template)).collect();
    all.extend(of_templates.into_iter().filter(|pid| name(pid).trim_end() == "offspring-super"));
    all
}

/// All descendants of a process, but for children that a fork server keeps ready.
pub fn descendants_of(pid: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        for child in children_of(pid) {
            if is_no_spare(&child) && all.insert(child) {
                next.push(child);
            }
        }
    }
    all
}

/// Number and target of each open descriptor of this process.
pub fn descriptors() -> BTreeSet<String> {
    // What this process keeps of sockets that it sent is let go whenever it waits (`portable/receipt.rs`).
    poll::wait(&mut [], Some(Duration::ZERO)).expect("it can look");
    descriptors_of("self")
}

/// The same, when all sockets that were sent have arrived.
pub fn descriptors_at_rest() -> BTreeSet<String> {
    let all = 0..u64::MAX;
    offspring_platform::socket::wait_until_arrived(&all, Duration::MAX).expect("it can wait");
    descriptors_of("self")
}

/// Number and target of each open descriptor of a process.
pub fn descriptors_of(process: impl std::fmt::Display) -> BTreeSet<String> {
    let Ok(list) = fs::read_dir(format!("/proc/{process}/fd")) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for entry in list.flatten() {
        // The listing's own descriptor is gone by the time anybody looks.
        if let Ok(target) = fs::read_link(entry.path()) {
            let target = target.to_string_lossy().into_owned();
            let own = target.ends_with("/fd") && target.starts_with("/proc/");
            if !own {
                found.insert(format!("{} -> {target}", entry.file_name().to_string_lossy()));
            }
        }
    }
    found
}

/// Shared memory that has a name of ours, which it loses at once: only the portable way needs one. Other
/// programs of the machine have theirs beside it.
fn shared_memory() -> BTreeSet<String> {
    let entries = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("os.")).collect()
}

/// Takes away the names that processes have left which were killed, at any moment, while they made shared memory.
///
/// Only the portable way gives it a name, for some microseconds; nothing can take that away after SIGKILL
/// (platform/src/portable/shared.rs). Whoever makes some has it open, so a name that nobody uses is none of theirs.
pub fn remove_names_of_the_killed() {
    if !cfg!(offspring_force_portable) {
        return;
    }
    let unused = || -> BTreeSet<String> {
        let names = shared_memory().into_iter();
        names.filter(|name| !offspring_platform::holdings::others_use(name)).collect()
    };
    let before = unused();
    if before.is_empty() {
        return;
    }
    // A name is there a moment before its maker has it open.
    std::thread::sleep(Duration::from_millis(20));
    for name in unused().intersection(&before) {
        // It may have been another case that did so.
        let _ = fs::remove_file(Path::new("/dev/shm").join(name));
    }
}

/// Processes anywhere on the machine that belong to a run of a case, after it has ended.
///
/// They get a moment: what the kernel kills with its owner takes some milliseconds.
pub fn survivors(token: &str) -> Vec<u32> {
    let start = Instant::now();
    loop {
        let found = with_token(token);
        if found.is_empty() || start.elapsed() > Duration::from_secs(5) {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes whose environment holds the token of a case.
pub fn with_token(token: &str) -> Vec<u32> {
    let wanted = format!("{TOKEN}={token}");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// Whether a process exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}
