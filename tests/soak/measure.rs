//! What the processes of the run hold, and what they use of the processors.

use std::time::{Duration, Instant};

use crate::harness::leaks::{SHARED_MEMORY, children_of, descriptors_of};

/// What one process holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) children: usize,
    /// Pieces of shared memory in its address space.
    pub(crate) shared: usize,
    /// Bytes that are its own, and bytes that are resident.
    pub(crate) own: u64,
    pub(crate) resident: u64,
}

impl Held {
    pub(crate) fn by(pid: u32) -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
        let rollup = read("smaps_rollup").unwrap_or_default();
        let sum = |field: &str| -> u64 {
            let lines = rollup.lines().filter_map(|line| line.strip_prefix(field));
            lines.filter_map(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).sum()
        };
        let maps = read("maps").unwrap_or_default();
        Self {
            descriptors: descriptors_of(pid).len(),
            children: children_of(pid).len(),
            shared: maps.lines().filter(|line| line.contains(SHARED_MEMORY)).count(),
            own: sum("Private_Dirty:") << 10,
            resident: sum("Rss:") << 10,
        }
    }

    /// What must be the same at any two moments of rest.
    pub(crate) fn counts(self) -> [usize; 3] {
        [self.descriptors, self.children, self.shared]
    }
}

/// What the owner, the supervisor and the largest of the workers hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct All {
    pub(crate) owner: Held,
    pub(crate) supervisor: Held,
    pub(crate) worker: Held,
}

impl All {
    pub(crate) fn now(supervisor: u32) -> Self {
        let workers = children_of(supervisor).into_iter().map(Held::by);
        Self {
            owner: Held::by(std::process::id()),
            supervisor: Held::by(supervisor),
            worker: workers.max_by_key(|held| held.own).unwrap_or_default(),
        }
    }

    pub(crate) fn counts(&self) -> [[usize; 3]; 2] {
        [self.owner.counts(), self.supervisor.counts()]
    }
}

/// What was done until a moment, and what it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) at: Instant,
    pub(crate) tasks: u64,
    /// Without what the owner does beside the tiny tasks.
    pub(crate) owner: Duration,
    pub(crate) supervisor: Duration,
    pub(crate) workers: Duration,
}

impl Work {
    pub(crate) fn now(supervisor: u32, tasks: u64, beside: Duration) -> Self {
        let [own, collected] = times_of(supervisor);
        let living = children_of(supervisor).into_iter().map(|pid| times_of(pid)[0]);
        Self {
            at: Instant::now(),
            tasks,
            owner: own_time().saturating_sub(beside),
            supervisor: own,
            workers: collected + living.sum::<Duration>(),
        }
    }

    pub(crate) fn since(self, before: Self) -> Rate {
        let tasks = (self.tasks - before.tasks).max(1) as f64;
        let each = |now: Duration, before: Duration| {
            now.saturating_sub(before).as_secs_f64() * 1e9 / tasks
        };
        Rate {
            per_second: tasks / (self.at - before.at).as_secs_f64(),
            owner: each(self.owner, before.owner),
            supervisor: each(self.supervisor, before.supervisor),
            workers: each(self.workers, before.workers),
        }
    }
}

/// Tasks for each second of the clock, and nanoseconds of processors for each task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) owner: f64,
    pub(crate) supervisor: f64,
    pub(crate) workers: f64,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, owner, supervisor, workers } = self;
        write!(
            f,
            "{per_second:.0} tasks each second; processor time for each task: owner {owner:.1} ns, \
             workers {workers:.1} ns, supervisor {supervisor:.2} ns"
        )
    }
}

/// What was freed and the allocator keeps is not held: how much that is depends on what was freed when.
pub(crate) fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// How much processor time this process has used.
pub(crate) fn own_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The same of another process, and of those that it has collected, as fine as ticks are.
fn times_of(pid: u32) -> [Duration; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = match stat.rsplit_once(')') {
        Some((_, rest)) => rest.split_ascii_whitespace().collect(),
        None => Vec::new(),
    };
    // Counted from the state, which is the third of all fields.
    let ticks = |field: usize| -> u64 {
        fields.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    [(14, 15), (16, 17)].map(|(user, system)| {
        // A hundred each second, on all systems that Linux supports.
        Duration::from_millis((ticks(user) + ticks(system)) * 10)
    })
}

/// How many processes wanted a processor in the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
