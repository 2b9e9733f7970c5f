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
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    // cgroups(7): `number:controllers:path`; version 2 has the number 0 and no controllers.
    let of = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let found = match wanted {
                "" => controllers.is_empty(),
                wanted => controllers.split(',').any(|one| one == wanted),
            };
            found.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let read = |base: &str, path: &str, file: &str| {
        // In a container the path may be that of the host, and our group the root of what we see.
        let inside = Path::new(base).join(path).join(file);
        fs::read_to_string(inside).or_else(|_| fs::read_to_string(Path::new(base).join(file))).ok()
    };
    let text = match of("memory") {
        Some(path) => read("/sys/fs/cgroup/memory", &path, "memory.oom_control")?,
        None => read("/sys/fs/cgroup", &of("")?, "memory.events")?,
    };
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
