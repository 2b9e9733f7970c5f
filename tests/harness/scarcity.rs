//! Less of something than there is: limits of this process, and a cgroup of its own, with less memory or processors.

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

/// A cgroup of the case's own, of which it is a member.
///
/// Where memory runs out, others have to be protected from what shall become of one: a process that was killed still has
/// its memory for a moment, in which Linux looks for the next one.
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
    /// One with so much memory; or says that this user cannot make one, which leaves the case untested.
    ///
    /// Its members are protected if this user may do that (`CAP_SYS_RESOURCE`).
    pub fn enter_or_say(limit: u64) -> Option<Self> {
        let made = Self::with_memory(limit).and_then(|this| match Self::protect() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(this),
            other => other.map(|()| this),
        });
        or_say("memory", made)
    }

    /// As before, for those who take memory again and again: nobody else is killed, or there is no group.
    pub fn protected_or_say(limit: u64) -> Option<Self> {
        let made = Self::with_memory(limit).and_then(|this| {
            let why = |error| std::io::Error::other(format!("nobody can be protected: {error}"));
            Self::protect().map_err(why).map(|()| this)
        });
        or_say("memory", made)
    }

    /// One whose processes may use so many processors at once; or says that this user cannot make one.
    pub fn with_processors_or_say(count: u32) -> Option<Self> {
        or_say("processor", Self::with_processors(count))
    }

    fn with_memory(limit: u64) -> std::io::Result<Self> {
        let (this, first) = Self::make("memory")?;
        // With what is swapped: in version 1 that is one sum with memory.
        let (file, swap) = if first {
            ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", limit))
        } else {
            ("memory.max", ("memory.swap.max", 0))
        };
        std::fs::write(this.path.join(file), limit.to_string())?;
        if this.path.join(swap.0).exists() {
            std::fs::write(this.path.join(swap.0), swap.1.to_string())?;
        }
        this.enter()
    }

    /// From being killed when memory runs out: the calling process, and what it starts.
    fn protect() -> std::io::Result<()> {
        std::fs::write(CHOICE, "-1000")
    }

    fn with_processors(count: u32) -> std::io::Result<Self> {
        // In microseconds: of each tenth of a second, so many tenths.
        const PERIOD: u32 = 100_000;
        let (this, first) = Self::make("cpu")?;
        let quota = count * PERIOD;
        if first {
            std::fs::write(this.path.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            std::fs::write(this.path.join("cpu.cfs_quota_us"), quota.to_string())?;
        } else {
            std::fs::write(this.path.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        }
        this.enter()
    }

    /// One below the group that this process is in; and whether it is one of version 1, where each controller has its
    /// own tree of groups.
    fn make(controller: &str) -> std::io::Result<(Self, bool)> {
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
        let (before, first) = match line(controller) {
            Some(path) => (Path::new("/sys/fs/cgroup").join(controller).join(path), true),
            None => {
                let path: PathBuf = line("").unwrap_or_default().into();
                (Path::new("/sys/fs/cgroup").join(path), false)
            }
        };
        let path = before.join(format!("offspring-test-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok((Self { path, before, choice: std::fs::read_to_string(CHOICE)? }, first))
    }

    fn enter(self) -> std::io::Result<Self> {
        std::fs::write(self.members(), std::process::id().to_string())?;
        Ok(self)
    }

    /// What a process has to write its number to, to be a member.
    pub fn members(&self) -> std::path::PathBuf {
        self.path.join("cgroup.procs")
    }
}

/// Says so if there is none.
#[cfg(target_os = "linux")]
fn or_say(what: &str, made: std::io::Result<Group>) -> Option<Group> {
    let say = |error: &std::io::Error| {
        super::not_tested(format_args!("this user cannot make a {what} cgroup ({error})"));
    };
    made.inspect_err(say).ok()
}

#[cfg(target_os = "linux")]
impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::write(self.before.join("cgroup.procs"), std::process::id().to_string());
        let _ = std::fs::remove_dir(&self.path);
        let _ = std::fs::write(CHOICE, &self.choice);
    }
}
