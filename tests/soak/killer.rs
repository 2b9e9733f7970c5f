//! The program that kills a random worker, again and again, and notes whom.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::harness::leaks::children_of;
use crate::harness::programs;
use crate::torture::ledger::{Log, Words, map};
use crate::torture::{Random, now};

const SUPERVISOR: &str = "SOAK_SUPERVISOR";
const PERIOD: &str = "SOAK_PERIOD";
const SEED: &str = "SOAK_SEED";
const LEDGER: &str = "SOAK_LEDGER";

/// More than an hour has seconds, with some left for luck.
const ENTRIES: usize = 1 << 14;

/// The first words: whether all is over, and how often the owner made progress.
const OVER: usize = 0;
const PROGRESS: usize = 1;
const HEAD: usize = 2;

/// Who was killed.
#[derive(Clone, Copy)]
pub(crate) struct Ledger(Words);

impl Ledger {
    pub(crate) fn open(path: &Path) -> Self {
        Self(map(path, HEAD + Log::<3>::size(ENTRIES)))
    }

    /// The owner has had more outcomes: a pool of which all workers are killed as they start has no chance.
    pub(crate) fn progress(self) {
        self.0[PROGRESS].fetch_add(1, SeqCst);
    }

    /// Process, when, whether a task is known to have died of it.
    fn deaths(self) -> Log<3> {
        Log::of(&self.0[HEAD..])
    }

    pub(crate) fn count(self) -> u64 {
        self.deaths().len() as u64
    }

    /// Whether a process was killed, and no other task died with it.
    pub(crate) fn explains(self, pid: u32) -> bool {
        let last = self.deaths().entries().enumerate().filter(|(_, [who, ..])| *who == pid.into());
        // Numbers are used again.
        let Some((nth, [.., used])) = last.last() else { return false };
        self.deaths().set(1 + nth * 3, 2, 1);
        used == 0
    }
}

/// A killer at work, ended when dropped.
pub(crate) struct Killer {
    process: Child,
    ledger: Ledger,
}

impl Killer {
    pub(crate) fn start(supervisor: u32, period: Duration, seed: u64, path: &Path) -> Self {
        let mut command = programs::command("killer");
        command.env_remove("LD_PRELOAD").env(SUPERVISOR, supervisor.to_string());
        command.env(PERIOD, period.as_nanos().to_string()).env(SEED, seed.to_string());
        command.env(LEDGER, path).stdin(Stdio::null());
        let process = command.spawn().expect("the killer starts");
        Self { process, ledger: Ledger::open(path) }
    }

    pub(crate) fn join(mut self) {
        self.ledger.0[OVER].store(1, SeqCst);
        let status = self.process.wait().expect("our own child");
        assert!(status.success(), "the killer ended with {status}");
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn main() -> ExitCode {
    super::stage::end_with_parent();
    let number = |name: &str| -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).expect("a number")
    };
    let supervisor = u32::try_from(number(SUPERVISOR)).expect("a process number");
    let mut random = Random::from_seed(number(SEED));
    let path = std::env::var_os(LEDGER).expect("the ledger has a path");
    let ledger = Ledger::open(path.as_ref());
    let most = Duration::from_nanos(number(PERIOD)) * 2;
    let mut before = 0;
    loop {
        std::thread::sleep(random.time_below(most));
        while ledger.0[PROGRESS].load(SeqCst) == before && ledger.0[OVER].load(SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if ledger.0[OVER].load(SeqCst) != 0 {
            return ExitCode::SUCCESS;
        }
        before = ledger.0[PROGRESS].load(SeqCst);
        if ledger.deaths().len() < ENTRIES {
            kill_one(supervisor, ledger, &mut random);
        }
    }
}

/// Kills one worker, if there is one.
fn kill_one(supervisor: u32, ledger: Ledger, random: &mut Random) {
    let workers: Vec<u32> = children_of(supervisor).into_iter().collect();
    if workers.is_empty() {
        return;
    }
    let victim = workers[random.below(workers.len() as u64) as usize];
    // It cannot become another process any more once it is open and still a child.
    let Some(handle) = open(victim) else { return };
    if !children_of(supervisor).contains(&victim) {
        return;
    }
    ledger.deaths().append([victim.into(), now(), 0]);
    let (number, info) = (handle.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: without information about the signal there is nothing to read.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, libc::SIGKILL, info, 0) };
}

fn open(pid: u32) -> Option<OwnedFd> {
    // SAFETY: the call takes integers.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(number).ok().filter(|number| *number >= 0)?;
    // SAFETY: it was just opened, and nobody else knows the number.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
