//! A pool of 64 workers, most of them in tasks that do not end by themselves.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use offspring::{Context, Pool, Task};
use serde::{Deserialize, Serialize};

use crate::harness;
use crate::harness::props::state_of;
use crate::torture::ledger::{self, Log, Words};
use crate::torture::{self, Random};

pub(crate) const WORKERS: usize = 64;
/// So many of them have nothing to do.
const IDLE: usize = 10;
/// More than is read by the way while somebody asks how far the others are.
const LARGE: usize = 16 << 20;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Spinning,
    /// With every signal blocked.
    Deaf,
    Stopped,
    /// Ignores SIGTERM, and what else can be ignored.
    Stubborn,
    /// In the kernel, which lets it go only for SIGKILL, because of a child that never ends.
    Uninterruptible,
    /// Sends a result that nobody reads.
    Writing,
}

const ALL: &[Kind] = &[
    Kind::Spinning,
    Kind::Deaf,
    Kind::Stopped,
    Kind::Stubborn,
    Kind::Writing,
    // Its child is a grandchild, which nobody adopts in the portable way.
    #[cfg(not(offspring_force_portable))]
    Kind::Uninterruptible,
];

const ENTRIES: usize = 1 << 12;
const EFFECTS: usize = Log::<2>::size(ENTRIES);
const TASKS: usize = 1 << 22;

/// What workers write down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ledger(Words);

impl Ledger {
    pub(crate) fn open(path: &Path) -> Self {
        Self(ledger::map(path, EFFECTS + TASKS))
    }

    /// The process and the kind, from 1.
    fn wedged(self) -> Log<2> {
        Log::of(&self.0[..EFFECTS])
    }

    pub(crate) fn has_effect(self, task: u64) {
        self.0[EFFECTS + task as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// Before tasks that count from 0 again.
    pub(crate) fn forget(self, tasks: u64) {
        for task in 0..tasks {
            self.0[EFFECTS + task as usize].store(0, Ordering::SeqCst);
        }
    }

    pub(crate) fn effects(self, task: u64) -> u64 {
        self.0[EFFECTS + task as usize].load(Ordering::SeqCst)
    }

    fn be(self, kind: Kind) -> String {
        let number = ALL.iter().position(|other| *other == kind).expect("all are in there");
        self.wedged().append([std::process::id().into(), number as u64 + 1]);
        match kind {
            Kind::Spinning => harness::spin_for_ever(),
            Kind::Deaf => {
                block_all_signals();
                harness::sleep_for_ever()
            }
            Kind::Stopped => {
                torture::signal(std::process::id(), libc::SIGSTOP);
                harness::sleep_for_ever()
            }
            Kind::Stubborn => {
                for signal in
                    (1..32).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
                {
                    // SAFETY: to ignore a signal needs no memory.
                    unsafe { libc::signal(signal, libc::SIG_IGN) };
                }
                harness::sleep_for_ever()
            }
            Kind::Uninterruptible => wait_for_a_child(),
            Kind::Writing => "w".repeat(LARGE),
        }
    }

    /// Waits until all are as they shall be.
    pub(crate) fn wait_until_wedged(self, pool: &Pool<Self>, count: usize) {
        self.wait_until_begun(pool, count);
        for [pid, number] in self.wedged().entries() {
            let (pid, kind) = (pid as u32, ALL[number as usize - 1]);
            let wanted = match kind {
                Kind::Spinning => continue,
                Kind::Stopped => 'T',
                Kind::Uninterruptible => 'D',
                Kind::Deaf | Kind::Stubborn | Kind::Writing => 'S',
            };
            let what = format!("{pid} is {kind:?}");
            harness::eventually(&what, || state_of(pid) == Some(wanted));
        }
    }

    pub(crate) fn wait_until_begun(self, pool: &Pool<Self>, count: usize) {
        harness::eventually("all tasks are begun", || {
            // Nobody waits for a result, so somebody has to hand out what was not handed out at once.
            // That reads a part of each large result too, and none may arrive before its time.
            if pool.stats().tasks_waiting > 0 {
                let _ = pool.report();
            }
            self.wedged().entries().count() == count
        });
    }
}

fn block_all_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the place is valid for a set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is initialised; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
}

/// As `vfork` does, but with a copy of the memory.
fn wait_for_a_child() -> ! {
    let (flags, none) = (libc::c_long::from(libc::CLONE_VFORK | libc::SIGCHLD), 0 as libc::c_long);
    // SAFETY: as `fork`, of a process with one thread. The child only waits.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    assert_ne!(child, -1, "a child starts");
    loop {
        // SAFETY: it only waits.
        unsafe { libc::pause() };
    }
}

/// See the head of the file.
pub(crate) struct Wedged {
    pub(crate) pool: Pool<Ledger>,
    pub(crate) ledger: Ledger,
    pub(crate) tasks: Vec<(Kind, Task<String>)>,
}

impl Wedged {
    /// `limit`: how long a task may take; then it is not waited until all are wedged at the same time.
    pub(crate) fn new(
        context: Context,
        random: &mut Random,
        limit: Option<Duration>,
    ) -> offspring::Result<Self> {
        let path = path();
        let ledger = Ledger::open(&path);
        let mut builder = context.pool().workers(WORKERS).init(path, open);
        if let Some(limit) = limit {
            builder = builder.task_timeout(limit);
        }
        let pool = builder.build()?;
        pool.ready(Duration::from_secs(120))?;
        let mut kinds: Vec<Kind> = ALL.iter().copied().cycle().take(WORKERS - IDLE).collect();
        for last in (1..kinds.len()).rev() {
            kinds.swap(last, random.below(last as u64 + 1) as usize);
        }
        let submit = |kind| Ok((kind, pool.submit(kind, |ledger, kind| ledger.be(kind))?));
        let tasks = kinds.into_iter().map(submit).collect::<offspring::Result<Vec<_>>>()?;
        match limit {
            None => ledger.wait_until_wedged(&pool, tasks.len()),
            Some(_) => ledger.wait_until_begun(&pool, tasks.len()),
        }
        Ok(Self { pool, ledger, tasks })
    }
}

pub(crate) fn path() -> PathBuf {
    std::env::temp_dir().join("ledger")
}

pub(crate) fn open(path: PathBuf) -> Ledger {
    Ledger::open(&path)
}
