//! Hundreds of descriptors that every program inherits, and threads that start programs all the time.
//!
//! Each child of ours has exactly what it should, nobody has a channel of somebody else's, and the programs have none
//! at all: so that when its owner is gone, a child ends, although they live on. `OFFSPRING_NOISE_STARTS` says how many
//! children are started; how long their ends took is written to the file that `OFFSPRING_TORTURE_REPORT` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, Process};

use super::strangers::{check_own_descriptors, open_strangers, raise_limit, sleep};
use crate::harness::leaks::{children_of, descriptors, descriptors_of, is_alive};
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome, eventually};
use crate::tools::{argument, context_argument, run};
use crate::{cases, torture};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES => programs_keep_no_child_alive];
/// Fork is refused beside threads.
pub(crate) const BESIDE_THREADS: &[Case] = cases![on &[Context::Spawn, Context::ForkServer] =>
    beside_threads_that_start_programs,
];

const THREADS: usize = 4;
/// So many children are there at once, and looked at.
const BATCH: u64 = 10;
/// Each batch has as many workers besides.
const WORKERS: usize = 2;

/// Descriptors without close-on-exec, of all kinds that a channel or a lifeline could be mistaken for.
fn open_noise() -> Vec<OwnedFd> {
    let mut all = open_strangers(200, 3);
    for nth in 0..150 {
        let mut pair = [-1; 2];
        let made = if nth % 2 == 0 {
            // SAFETY: there is room for two numbers.
            unsafe { libc::pipe(pair.as_mut_ptr()) }
        } else {
            let (family, kind) = (libc::AF_UNIX, libc::SOCK_STREAM);
            // SAFETY: as above.
            unsafe { libc::socketpair(family, kind, 0, pair.as_mut_ptr()) }
        };
        assert_eq!(made, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the kernel just made these two for us.
        all.extend(pair.map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
    }
    assert_eq!(all.len(), 500);
    all
}

/// The pipes and sockets that a process has besides the standard streams.
fn channels(process: impl std::fmt::Display) -> BTreeSet<String> {
    let targets = descriptors_of(process).into_iter().filter_map(|one| {
        let (number, target) = one.split_once(" -> ")?;
        (number.len() > 1 || number > "2").then(|| target.to_owned())
    });
    targets.filter(|one| one.starts_with("pipe:") || one.starts_with("socket:")).collect()
}

fn start_program(seconds: &str) -> std::process::Child {
    let mut command = Command::new("/bin/sleep");
    command.arg(seconds).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("there is /bin/sleep")
}

/// Whether it runs `sleep` by now. Before, it is still us, with all that we have.
fn is_sleep(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
}

static STARTED: AtomicU64 = AtomicU64::new(0);

/// Starts programs without pause until it is told to stop. They have the noise, and nothing else.
fn start_programs(stop: &AtomicBool, noise: &BTreeSet<String>) {
    while !stop.load(Ordering::Relaxed) {
        let mut sleep = start_program("1000");
        check_program(sleep.id(), noise);
        sleep.kill().expect("it is our child");
        sleep.wait().expect("it is our child");
        STARTED.fetch_add(1, Ordering::Relaxed);
    }
}

fn check_program(pid: u32, noise: &BTreeSet<String>) {
    eventually("the program runs", || is_sleep(pid));
    let found = channels(pid);
    let foreign: Vec<&String> = found.difference(noise).collect();
    // Where descriptors are not born with close-on-exec, other code may start a program just then (docs/platforms.md).
    let being_born = if cfg!(offspring_force_portable) { 2 } else { 0 };
    assert!(foreign.len() <= being_born, "a program has channels of ours: {foreign:?}");
    assert!(found.len() >= 75 + 150, "a program inherits the noise: {found:?}");
}

/// Program: starts children, and programs beside them.
pub(crate) fn noisy() -> ExitCode {
    offspring::init();
    let (context, starts) = (context_argument(1), argument(2));
    let starts: u64 = starts.parse().expect("a number");
    raise_limit(4096);
    let kept = open_noise();
    // With what this program inherited itself.
    let noise = channels("self");
    assert!(noise.len() >= 75 + 150, "the pipes once, the sockets twice: {noise:?}");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| start_programs(&stop, &noise));
        }
        // The threads stop, also when this panics.
        let _stop = StopAtEnd(&stop);
        let mut times = Vec::new();
        for _ in 0..starts.div_ceil(BATCH + WORKERS as u64) {
            one_batch(context, &noise, &mut times);
        }
        torture::report(format_args!(
            "noise on {context}: {} starts of processes and as many times {WORKERS} workers of pools as batches of \
             {BATCH}, beside {} of programs; one killed until its end was seen: {}",
            times.len() as u64 * BATCH,
            STARTED.load(Ordering::Relaxed),
            torture::summary(&mut times),
        ));
    });
    drop(kept);
    ExitCode::SUCCESS
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a child finds.
fn look((): ()) -> BTreeSet<String> {
    descriptors()
}

/// Children that live at the same time, and workers of a pool: each has its own, and nobody has another's.
fn one_batch(context: Context, noise: &BTreeSet<String>, times: &mut Vec<Duration>) {
    let start = |_| context.process().start((), sleep).expect("it starts");
    let mut children: Vec<Process<()>> = (1..BATCH).map(start).collect();
    let pool = context.pool().workers(WORKERS).build().expect("it starts");
    let mut holders: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for child in &children {
        check_own_descriptors("process", &descriptors_of(child.id()));
        for one in channels(child.id()).difference(noise) {
            holders.entry(one.clone()).or_default().push(child.id());
        }
    }
    for result in pool.broadcast((), |_, ()| descriptors()).expect("it runs") {
        check_own_descriptors("worker", &result.expect("it runs"));
    }
    // One says itself what it has.
    let found = context.process().start((), look).and_then(Process::join).expect("it answers");
    check_own_descriptors("process", &found);
    holders.retain(|_, pids| pids.len() > 1);
    assert!(holders.is_empty(), "they belong to several children: {holders:?}");

    // Others hold nothing that keeps its end from being seen.
    let child = children.pop().expect("one of them");
    let start = Instant::now();
    child.kill().expect("it can be killed");
    child.join().expect_err("it was killed");
    times.push(start.elapsed());
    drop(children);
    pool.shutdown().expect("it ends");
}

fn beside_threads_that_start_programs(context: Context) -> Outcome {
    let starts = torture::scale("OFFSPRING_NOISE_STARTS", 60);
    let mut program = command("noisy");
    run(program.arg(context.to_string()).arg(starts.to_string())).expect_success("noisy");
    Ok(())
}

/// Program: an owner with children and programs, which is to be killed. It prints the numbers of both.
pub(crate) fn owner() -> ExitCode {
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = context_argument(1);
    raise_limit(4096);
    let noise = open_noise();
    let (mut children, mut programs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        // No output of ours, which the case reads to the end.
        let builder = context.process().stdout(offspring::Stdio::null());
        children.push(builder.start((), sleep).expect("it starts"));
        // On Spawn and Fork a program that was started at this moment could have inherited it.
        programs.push(start_program("1000"));
    }
    let pool = context.pool().workers(2).stdout(offspring::Stdio::null()).build();
    let pool = pool.expect("it starts");
    let workers = pool.broadcast((), |_, ()| std::process::id()).expect("it runs");
    let workers: Vec<u32> = workers.into_iter().map(|pid| pid.expect("it runs")).collect();
    programs.push(start_program("1000"));
    programs.iter().for_each(|program| eventually("the program runs", || is_sleep(program.id())));
    let line = |pids: &mut dyn Iterator<Item = u32>| {
        let text: Vec<String> = pids.map(|pid| pid.to_string()).collect();
        let line = format!("{}\n", text.join(" "));
        std::io::stdout().write_all(line.as_bytes()).expect("the case reads");
    };
    let supervisors = children_of(std::process::id());
    let programs: Vec<u32> = programs.iter().map(std::process::Child::id).collect();
    let supervisors = supervisors.into_iter().filter(|pid| !programs.contains(pid));
    let ours: BTreeSet<u32> =
        supervisors.chain(workers).chain(children.iter().map(Process::id)).collect();
    line(&mut ours.into_iter());
    line(&mut programs.into_iter());
    drop(noise);
    harness::sleep_for_ever()
}

fn programs_keep_no_child_alive(context: Context) -> Outcome {
    let rounds = torture::scale("OFFSPRING_NOISE_STARTS", 60).div_ceil(60);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut owner = command("noisy owner");
        let mut owner = owner
            .arg(context.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut lines = BufReader::new(owner.stdout.take().expect("a pipe")).lines();
        let mut numbers = || -> Vec<u32> {
            let line = lines.next().and_then(Result::ok).expect("the owner prints two lines");
            line.split(' ').map(|pid| pid.parse().expect("a number")).collect()
        };
        let (children, programs) = (numbers(), numbers());
        assert!(children.len() >= 6, "children, workers, a supervisor: {children:?}");
        let start = Instant::now();
        owner.kill()?;
        eventually("its children have ended", || !children.iter().any(|pid| is_alive(*pid)));
        times.push(start.elapsed());
        let lived = programs.iter().all(|pid| is_alive(*pid));
        programs.iter().for_each(|pid| torture::signal(*pid, libc::SIGKILL));
        owner.wait()?;
        assert!(lived, "the programs live on: they were no reason to wait");
    }
    torture::report(format_args!(
        "noise on {context}: an owner killed until its children had ended, while its programs lived: {}",
        torture::summary(&mut times),
    ));
    Ok(())
}
