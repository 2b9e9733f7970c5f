//! The program that kills: it knows the supervisor, and kills a random child of it at random moments.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use super::stage::{Ledger, Word};
use crate::harness::leaks::children_of;
use crate::harness::programs;
use crate::harness::props::state_of;
use crate::torture::{Random, now};

const SUPERVISOR: &str = "KILLS_SUPERVISOR";
const COUNT: &str = "KILLS_COUNT";
const SEED: &str = "KILLS_SEED";

/// Time between two kills: uniform from 0 to this.
const MOST: Duration = Duration::from_millis(20);

/// A killer at work, ended when dropped.
pub(crate) struct Killer(Child);

impl Killer {
    pub(crate) fn start(supervisor: u32, count: u64, seed: u64, ledger: &std::path::Path) -> Self {
        let mut command: Command = programs::command("killer");
        command.env(SUPERVISOR, supervisor.to_string());
        command.env(COUNT, count.to_string()).env(SEED, seed.to_string());
        command.env("KILLS_LEDGER", ledger).stdin(Stdio::null());
        Self(command.spawn().expect("the killer starts"))
    }

    pub(crate) fn join(mut self) {
        let status = self.0.wait().expect("our own child");
        assert!(status.success(), "the killer ended with {status}");
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn main() -> ExitCode {
    // SAFETY: the call takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    let number = |name: &str| -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).expect("a number")
    };
    let supervisor = u32::try_from(number(SUPERVISOR)).expect("a process number");
    let mut random = Random::from_seed(number(SEED));
    let path = std::env::var_os("KILLS_LEDGER").expect("the ledger has a path");
    let ledger = Ledger::open(path.as_ref());
    for _ in 0..number(COUNT) {
        std::thread::sleep(random.time_below(MOST));
        while !kill_one(supervisor, ledger, &mut random) {
            // All of them have just ended.
            std::thread::yield_now();
        }
        ledger.add(Word::Killed);
    }
    ledger.add(Word::Over);
    ExitCode::SUCCESS
}

/// Kills one worker and waits for its death. False if the chosen one was none, or had ended.
fn kill_one(supervisor: u32, ledger: Ledger, random: &mut Random) -> bool {
    let workers: Vec<u32> = children_of(supervisor).into_iter().collect();
    if workers.is_empty() {
        return false;
    }
    let victim = workers[random.below(workers.len() as u64) as usize];
    // It cannot become another process any more once it is open and still a child.
    let Some(handle) = open(victim) else { return false };
    let lives = state_of(victim).is_some_and(|state| state != 'Z');
    if !lives || !children_of(supervisor).contains(&victim) {
        return false;
    }
    // Crashes while workers come up are the initialiser's fault: after three in a row a pool gives up.
    let up = ledger.starts().entries().any(|[pid, ..]| pid == u64::from(victim));
    let signal = match random.below(3) {
        0 if up => libc::SIGSEGV,
        1 if up => libc::SIGABRT,
        _ => libc::SIGKILL,
    };
    let entry = [victim.into(), signal.unsigned_abs().into(), now(), 0];
    let place = ledger.deaths().append(entry);
    loop {
        send(&handle, signal);
        if has_ended(&handle) {
            break;
        }
        // The handler that std has for SIGSEGV steps aside at the first, and only the second kills.
    }
    ledger.deaths().set(place, 3, now());
    true
}

fn open(pid: u32) -> Option<OwnedFd> {
    // SAFETY: the call takes integers.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = i32::try_from(number).ok().filter(|number| *number >= 0)?;
    // SAFETY: it was just opened, and nobody else knows the number.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

fn send(handle: &OwnedFd, signal: i32) {
    let (number, info) = (handle.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: without information about the signal there is nothing to read.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, signal, info, 0) };
}

/// Waits a moment for the end of a process.
fn has_ended(handle: &OwnedFd) -> bool {
    let mut wanted = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `wanted` is one valid entry.
    unsafe { libc::poll(&raw mut wanted, 1, 1) == 1 }
}
