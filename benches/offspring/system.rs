//! What the system tells about processes; `None` where it does not.

use std::fs;

/// The largest resident memory of this process since [`forget_peak`].
pub(crate) fn peak_memory() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Lets the peak begin again at what is resident now (proc(5), `clear_refs`), and returns it.
pub(crate) fn forget_peak() -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    peak_memory()
}

/// The memory that a process shares with nobody.
pub(crate) fn private_memory(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    Some(field(&text, "Private_Clean:")? + field(&text, "Private_Dirty:")?)
}

/// What this process and all that came from it have in memory, shared pages in equal parts.
pub(crate) fn tree_memory() -> Option<u64> {
    let (mut sum, mut next) = (0, vec![std::process::id()]);
    while let Some(process) = next.pop() {
        let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else {
            continue;
        };
        sum += field(&text, "Pss:")?;
        let children =
            fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
        next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    (sum > 0).then_some(sum)
}

/// Whether a process sleeps, and how often it has gone to sleep by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleep {
    pub(crate) now: bool,
    pub(crate) times: u64,
}

/// Both from one reading, of the process's first thread (proc(5), `State` and `voluntary_ctxt_switches`).
pub(crate) fn sleep(process: u32) -> Option<Sleep> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let word =
        |name| text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
    let times = word("voluntary_ctxt_switches:")?.parse().ok()?;
    Some(Sleep { now: word("State:")? == "S", times })
}

/// How many bytes can be had without swapping.
pub(crate) fn available_memory() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> Option<usize> {
    Some(fs::read_dir("/dev/fd").ok()?.count())
}

/// The number in a line like `VmHWM:  1234 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number << 10)
}

/// One line about the machine and the moment, since both decide the numbers.
pub(crate) fn description(quick: bool) -> String {
    let read = |path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "offspring {}, {} form, {cores} cores, {} {}",
        env!("CARGO_PKG_VERSION"),
        if quick { "quick" } else { "full" },
        std::env::consts::OS,
        std::env::consts::ARCH,
    );
    if let Some(release) = read("/proc/sys/kernel/osrelease") {
        text += &format!(", kernel {release}");
    }
    if let Some(load) = read("/proc/loadavg") {
        text += &format!(", load at the start {load}");
    }
    text
}
