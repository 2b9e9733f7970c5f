//! Less of something than there is: limits of this process, and a memory cgroup of its own.

/// Runs something under a soft limit.
pub fn limited<T>(resource: Resource, limit: u64, run: impl FnOnce() -> T) -> T {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `before` is valid.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut before) }, 0);
    let lower = libc::rlimit { rlim_cur: as_limit(limit), ..before };
    // SAFETY: `lower` is valid.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const lower) }, 0);
    let result = run();
    // SAFETY: `before` is valid.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const before) }, 0);
    result
}

/// In the type that the system has for limits, which has a sign on FreeBSD.
fn as_limit<T: TryFrom<u64>>(limit: u64) -> T {
    T::try_from(limit).unwrap_or_else(|_| panic!("no limit is so high: {limit}"))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub type Resource = libc::c_int;

/// A memory cgroup of the case's own, of which it is a member.
///
/// Who is killed there is a task that says [`to_be_killed`], and nobody else: a process that was killed still has its
/// memory for a moment, in which Linux looks for the next one.
#[cfg(target_os = "linux")]
pub struct Group {
    path: std::path::PathBuf,
    /// Where the process came from.
    before: std::path::PathBuf,
    /// Its [`CHOICE`] before.
    choice: String,
}

/// How likely a process is chosen when memory runs out: proc_pid_oom_score_adj(5).
#[cfg(target_os = "linux")]
const CHOICE: &str = "/proc/self/oom_score_adj";

/// The calling process, which a member of a [`Group`] started, is who is killed when memory runs out.
#[cfg(target_os = "linux")]
pub fn to_be_killed() {
    std::fs::write(CHOICE, "1000").expect("everybody may make it more likely");
}

#[cfg(target_os = "linux")]
impl Group {
    /// One with this limit; or says that this user cannot make one, which leaves the case untested.
    pub fn enter_or_say(limit: u64) -> Option<Self> {
        Self::enter(limit)
            .inspect_err(|error| {
                println!("not tested: this user cannot make a memory cgroup ({error})");
            })
            .ok()
    }

    fn enter(limit: u64) -> std::io::Result<Self> {
        use std::path::{Path, PathBuf};
        let groups = std::fs::read_to_string("/proc/self/cgroup")?;
        let line = |wanted: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                let found = controllers.split(',').any(|one| one == wanted);
                found.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        // With what is swapped: in version 1 that is one sum with memory.
        let (before, file, swap) = match line("memory") {
            Some(path) => (
                Path::new("/sys/fs/cgroup/memory").join(path),
                "memory.limit_in_bytes",
                ("memory.memsw.limit_in_bytes", limit),
            ),
            None => {
                let path: PathBuf = line("").unwrap_or_default().into();
                (Path::new("/sys/fs/cgroup").join(path), "memory.max", ("memory.swap.max", 0))
            }
        };
        let path = before.join(format!("offspring-test-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        let this = Self { path, before, choice: std::fs::read_to_string(CHOICE)? };
        std::fs::write(this.path.join(file), limit.to_string())?;
        if this.path.join(swap.0).exists() {
            std::fs::write(this.path.join(swap.0), swap.1.to_string())?;
        }
        std::fs::write(CHOICE, "-1000")?;
        std::fs::write(this.members(), std::process::id().to_string())?;
        Ok(this)
    }

    /// What a process has to write its number to, to be a member.
    pub fn members(&self) -> std::path::PathBuf {
        self.path.join("cgroup.procs")
    }
}

#[cfg(target_os = "linux")]
impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::write(self.before.join("cgroup.procs"), std::process::id().to_string());
        let _ = std::fs::remove_dir(&self.path);
        let _ = std::fs::write(CHOICE, &self.choice);
    }
}
