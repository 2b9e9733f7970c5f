//! Signals where only Linux can show what becomes of them: it queues those of real time, lists the
//! masks of a process in `/proc`, and lets a filter refuse a fork.

use std::mem::MaybeUninit;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;

use offspring::{Context, Error, ErrorKind};

use crate::cases;
use crate::environments::forbid;
use crate::harness::leaks::{children_of, descriptors};
use crate::harness::programs;
use crate::harness::{Case, Outcome, PROCESSES};
use crate::signals::{HANDLED, block, blocked, dispose, handler};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    the_mask_survives_a_refusal_by_the_system,
    no_signal_is_lost,
    children_start_with_nothing_blocked_or_ignored,
];

/// A program for which the system has no process left.
fn the_mask_survives_a_refusal_by_the_system(context: Context) -> Outcome {
    let output = programs::command("starved").env("STARVED", context.to_string()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the starved program: {}\n{errors}", output.status);
    Ok(())
}

pub(crate) fn starved() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context: Context = std::env::var("STARVED").expect("set").parse().expect("a context");
    // The template starts while it can. On ForkServer, only a second template is then impossible.
    let warm = context.process().start((), |()| ());
    warm.and_then(offspring::Process::join).expect("a first child");
    let mask = [libc::SIGUSR2];
    block(&mask);
    let before = (descriptors(), children_of(std::process::id()));
    #[cfg(target_arch = "x86_64")]
    let calls = [libc::SYS_clone, libc::SYS_clone3, libc::SYS_fork, libc::SYS_vfork];
    #[cfg(not(target_arch = "x86_64"))]
    let calls = [libc::SYS_clone, libc::SYS_clone3];
    forbid(&calls, libc::EAGAIN);
    let check = |result: Result<(), Error>, what: &str| {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Start, "{what}: {error}");
        assert_eq!(blocked(), mask, "after {what}");
        assert_eq!((descriptors(), children_of(std::process::id())), before, "after {what}");
    };
    for _ in 0..3 {
        if context != Context::ForkServer {
            check(context.process().start((), |()| ()).map(drop), "a child");
        }
        check(context.pool().workers(2).build().map(drop), "a pool");
    }
    ExitCode::SUCCESS
}

/// How many signals the sender sends.
const SENT: u64 = 1000;

/// Sends its parent numbered signals, which the system queues and does not merge.
pub(crate) fn sender() -> ExitCode {
    let parent = i32::try_from(std::os::unix::process::parent_id()).expect("a process number");
    let mut sent = 0;
    while sent < SENT {
        let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
        // SAFETY: the value is not used; the parent waits for this process, so its number is its own.
        let done = unsafe { libc::sigqueue(parent, libc::SIGRTMIN() + 1, value) };
        sent += u64::from(done == 0);
        // Neither all at once nor slower than starts are.
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    ExitCode::SUCCESS
}

/// The handler of a signal.
fn disposition(signal: i32) -> libc::sighandler_t {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, the call only writes the old one, into a valid place.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    assert_eq!(known, 0, "signal {signal}");
    // SAFETY: the call succeeded, so it was written.
    unsafe { old.assume_init() }.sa_sigaction
}

/// Whether a child has the default for the signal, and how many it handled since the parent looked.
fn handled_in_child(at_start: u64) -> (bool, u64) {
    let default = disposition(libc::SIGRTMIN() + 1) == libc::SIG_DFL;
    (default, HANDLED.load(Ordering::Relaxed).saturating_sub(at_start))
}

fn no_signal_is_lost(context: Context) -> Outcome {
    dispose(libc::SIGRTMIN() + 1, handler());
    let mut sender = programs::command("sender").spawn()?;
    let mut starts = 0;
    let status = loop {
        let at_start = HANDLED.load(Ordering::Relaxed);
        let (default, seen) = context.process().start(at_start, handled_in_child)?.join()?;
        assert!(default, "the child has the handler of its parent");
        // On Fork the counter is a copy too, made after the parent looked.
        if context != Context::Fork {
            assert_eq!(seen, 0, "signals handled in a child");
        }
        starts += 1;
        if let Some(status) = sender.try_wait()? {
            break status;
        }
    };
    assert!(status.success(), "the sender: {status}");
    crate::harness::eventually("every signal was handled", || {
        HANDLED.load(Ordering::Relaxed) >= SENT
    });
    assert_eq!(HANDLED.load(Ordering::Relaxed), SENT, "during {starts} starts");
    Ok(())
}

/// The masks of blocked, ignored and caught signals in the text of `/proc/…/status`. Without those
/// that glibc keeps for itself, 32 and 33: its `posix_spawn` leaves them ignored, whoever calls it.
fn masks(status: &str) -> [u64; 3] {
    ["SigBlk:", "SigIgn:", "SigCgt:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let text = line.unwrap_or_else(|| panic!("no {name} in {status}")).trim();
        let mask = u64::from_str_radix(text, 16).expect("a mask in hexadecimal");
        mask & !(bit(32) | bit(33))
    })
}

/// Those of this process, and those of a shell that it runs.
fn masks_here_and_in_a_shell((): ()) -> ([u64; 3], [u64; 3]) {
    let here = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    let output = Command::new("sh").args(["-c", "exec cat /proc/self/status"]).output();
    let shell = String::from_utf8(output.expect("there is a shell").stdout).expect("text");
    (masks(&here), masks(&shell))
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn children_start_with_nothing_blocked_or_ignored(context: Context) -> Outcome {
    dispose(libc::SIGUSR1, handler());
    dispose(libc::SIGRTMIN() + 2, handler());
    for ignored in [libc::SIGUSR2, libc::SIGHUP, libc::SIGINT, libc::SIGRTMIN() + 4] {
        dispose(ignored, libc::SIG_IGN);
    }
    block(&[libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGRTMIN() + 5]);

    let check = |who: &str, (here, shell): ([u64; 3], [u64; 3]), may_catch: u64| {
        let [blocked, ignored, caught] = here;
        assert_eq!(format!("{blocked:x}"), "0", "blocked in {who}");
        assert_eq!(format!("{ignored:x}"), format!("{:x}", bit(libc::SIGPIPE)), "ignored in {who}");
        assert_eq!(format!("{:x}", caught & !may_catch), "0", "caught in {who}");
        let [blocked, ignored, _] = shell;
        assert_eq!(format!("{blocked:x}"), "0", "blocked in a shell that {who} runs");
        assert_eq!(format!("{ignored:x}"), "0", "ignored in a shell that {who} runs");
    };
    // Those of std, which say that a stack overflowed.
    let of_std = bit(libc::SIGSEGV) | bit(libc::SIGBUS);
    check("a process", context.process().start((), masks_here_and_in_a_shell)?.join()?, of_std);
    let pool = context.pool().workers(1).build()?;
    let task = pool.map([()], |_, ()| masks_here_and_in_a_shell(())).next().expect("one outcome");
    // A worker leaves the interrupts and the end of a terminal to its owner.
    let of_worker = of_std | bit(libc::SIGINT) | bit(libc::SIGQUIT) | bit(libc::SIGHUP);
    check("a worker", task?, of_worker);
    pool.shutdown()?;
    Ok(())
}
