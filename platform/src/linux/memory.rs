//! How much memory this process has, and whether the system ended one because there was no more.

use std::fs;
use std::path::Path;

/// How many bytes of this process are in memory now; `None` where that cannot be told (no `/proc`).
#[must_use]
pub fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: no memory is involved.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

/// Says that the room of `buffer` will be filled, all of it: where the system hands out memory in larger
/// pages on request, filling it takes a fraction of the time (transparent huge pages, madvise(2)).
pub fn will_fill(buffer: &mut Vec<u8>) {
    /// The smallest range in which a huge page of 2 MiB can lie wherever it starts.
    const WORTH_IT: usize = 4 << 20;
    const PAGE: usize = 64 << 10;
    let spare = buffer.spare_capacity_mut();
    if spare.len() < WORTH_IT {
        return;
    }
    let start = spare.as_mut_ptr().addr().next_multiple_of(PAGE);
    let skipped = start - spare.as_mut_ptr().addr();
    let length = (spare.len() - skipped) / PAGE * PAGE;
    let inside = spare[skipped..].as_mut_ptr();
    // SAFETY: a range of whole pages inside our own allocation; the advice changes no byte of it. Where it is
    // refused, filling takes longer.
    unsafe { libc::madvise(inside.cast(), length, libc::MADV_HUGEPAGE) };
}

/// How many processes of our memory cgroup the system has killed because it was full; `None` where that
/// cannot be told. A child that was killed while this number grew was most likely one of them.
#[must_use]
pub fn out_of_memory_kills() -> Option<u64> {
    let text = match Group::own()? {
        Group::V1(path) => read("/sys/fs/cgroup/memory", &path, "memory.oom_control")?,
        Group::V2(path) => read("/sys/fs/cgroup", &path, "memory.events")?,
    };
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The memory cgroup of this process, by its path.
enum Group {
    V1(String),
    V2(String),
}

impl Group {
    fn own() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        // cgroups(7): `number:controllers:path`; version 2 has the number 0 and no controllers.
        let mut second = None;
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let path = path.trim_start_matches('/').to_owned();
            if controllers.split(',').any(|one| one == "memory") {
                return Some(Self::V1(path));
            }
            if controllers.is_empty() {
                second = Some(Self::V2(path));
            }
        }
        second
    }
}

fn read(base: &str, path: &str, file: &str) -> Option<String> {
    // In a container the path may be that of the host, and our group the root of what we see.
    let inside = Path::new(base).join(path).join(file);
    fs::read_to_string(inside).or_else(|_| fs::read_to_string(Path::new(base).join(file))).ok()
}

/// How many bytes can be had before the system, or the memory cgroup of this process or one above it, ends
/// processes; `None` where neither can be told. What others take meanwhile is not in it.
#[must_use]
pub fn room() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = |name| field(&text, name).map(|number| number.saturating_mul(1024));
    let swap = kibibytes("SwapFree:").unwrap_or(0);
    let system = kibibytes("MemAvailable:").map(|free| free.saturating_add(swap));
    let group = match Group::own() {
        Some(Group::V1(path)) => limit_of(&path, &V1, swap),
        Some(Group::V2(path)) => limit_of(&path, &V2, swap),
        None => None,
    };
    system.into_iter().chain(group).min()
}

/// What the files of a memory cgroup are called.
struct Names {
    base: &'static str,
    limit: &'static str,
    usage: &'static str,
    swap_limit: &'static str,
    swap_usage: &'static str,
    /// Whether the two for swap count memory too.
    swap_is_sum: bool,
    /// What the kernel gives back before it ends anybody.
    cache: [&'static str; 2],
}

const V1: Names = Names {
    base: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    swap_limit: "memory.memsw.limit_in_bytes",
    swap_usage: "memory.memsw.usage_in_bytes",
    swap_is_sum: true,
    cache: ["total_inactive_file", "total_active_file"],
};

const V2: Names = Names {
    base: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    swap_limit: "memory.swap.max",
    swap_usage: "memory.swap.current",
    swap_is_sum: false,
    cache: ["inactive_file", "active_file"],
};

/// The room in the group of this path and in those above it.
fn limit_of(path: &str, names: &Names, swap: u64) -> Option<u64> {
    let base = Path::new(names.base);
    let own = base.join(path);
    // In a container our group may be the root of what we see.
    let first = if own.join(names.usage).exists() { own } else { base.to_owned() };
    let groups = first.ancestors().take_while(|group| group.starts_with(base));
    groups.filter_map(|group| room_in(group, names, swap)).min()
}

fn room_in(group: &Path, names: &Names, swap: u64) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
    };
    // `max` is no number: there is no limit.
    let (limit, usage) = (number(names.limit)?, number(names.usage)?);
    let text = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cache: u64 = names.cache.iter().filter_map(|name| field(&text, name)).sum();
    let memory = limit.saturating_sub(usage.saturating_sub(cache));
    let swap_room = match (number(names.swap_limit), number(names.swap_usage)) {
        (Some(limit), Some(usage)) if names.swap_is_sum => {
            let all = limit.saturating_sub(usage.saturating_sub(cache));
            all.saturating_sub(memory).min(swap)
        }
        (Some(limit), Some(usage)) => limit.saturating_sub(usage).min(swap),
        _ => swap,
    };
    Some(memory.saturating_add(swap_room))
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(char::is_whitespace) {
            return None;
        }
        rest.split_whitespace().next()?.parse().ok()
    })
}
