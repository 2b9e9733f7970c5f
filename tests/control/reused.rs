//! Numbers of children that ended are given to others while handles of the first are still there.
//!
//! In a namespace of its own, where a program says which number the next process gets. There other code collects the
//! children of the program, or the system does because SIGCHLD is ignored; then an innocent process, also a child of
//! the program, gets the number; then the handle is used. Whatever is done with it: the innocent one lives on, and its
//! owner can collect it. `OFFSPRING_REUSE_ROUNDS` says how often each scene is played; what was counted is written to
//! the file that `OFFSPRING_TORTURE_REPORT` names.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use offspring::{Context, ErrorKind, Exit, Process};

use super::hostile::{Thief, sigchld};
use super::stage::is_gone;
use crate::harness::leaks::{children_of, possible_supervisors};
use crate::harness::{self, Case, Outcome, PROCESSES, programs, sleep_for_ever};
use crate::torture;

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    numbers_are_reused_after_others_collected,
    numbers_are_reused_while_endings_are_ignored,
];
pub(crate) const BESIDE_THREADS: &[Case] = crate::cases![on &[Context::Spawn, Context::ForkServer] =>
    numbers_are_reused_beside_a_thread_that_collects_all,
];

/// Names the way in which children are collected behind the library's back.
const WAY: &str = "REUSED_WAY";
/// Where a program says which number was given last, in its namespace.
const LAST: &str = "/proc/sys/kernel/ns_last_pid";
/// Far beyond the deadline of a case.
const LONG: Duration = Duration::from_secs(3600);
/// With what children end that end by themselves.
const STATUS: i32 = 7;

fn numbers_are_reused_after_others_collected(context: Context) -> Outcome {
    run(context, "collected")
}

fn numbers_are_reused_while_endings_are_ignored(context: Context) -> Outcome {
    run(context, "ignored")
}

fn numbers_are_reused_beside_a_thread_that_collects_all(context: Context) -> Outcome {
    run(context, "thread")
}

/// Runs the program in a namespace, if this user can make one.
fn run(context: Context, way: &str) -> Outcome {
    let program = programs::command("reused");
    let shell = |text: &str| {
        let mut command = Command::new("unshare");
        command.args(["-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", text]);
        command.arg(program.get_program());
        command
    };
    let tried = shell(&format!("echo 1000 > {LAST}")).output()?;
    if !tried.status.success() {
        let reason = String::from_utf8_lossy(&tried.stderr).into_owned();
        let why = format!("this user cannot choose the numbers of processes: {reason}");
        harness::not_tested(why);
        return Ok(());
    }
    // The shell stays the first process of the namespace, and collects what nobody else does.
    let mut command = shell("\"$0\"; exit $?");
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = command.env("OFFSPRING_CONTEXT", context.to_string()).env(WAY, way).status()?;
    assert!(status.success(), "the program ended with {status}; what it printed says why");
    Ok(())
}

/// Program: plays all scenes.
pub(crate) fn program() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    let way = std::env::var(WAY).expect("the case names a way");
    let thief = match way.as_str() {
        "collected" => None,
        "ignored" => {
            sigchld(libc::SIG_IGN);
            None
        }
        "thread" => Some(Thief::start()),
        other => panic!("no way is called {other}"),
    };
    let rounds = torture::scale("OFFSPRING_REUSE_ROUNDS", 3);
    let mut stage = Stage { context, way, reused: 0, missed: 0, known: 0, unknown: 0 };
    for round in 0..rounds {
        for (name, scene) in SCENES {
            println!("round {round}, {name}");
            scene(&mut stage).unwrap_or_else(|error| panic!("round {round}, {name}: {error:?}"));
        }
    }
    drop(thief);
    let Stage { way, reused, missed, known, unknown, .. } = stage;
    torture::report(format_args!(
        "reuse on {context}, {way}: {reused} numbers were given to innocent processes, none of which was signalled \
         or collected, {missed} to others; the status of {known} children was known, of {unknown} it was not",
    ));
    assert!(reused > missed, "{reused} numbers were reused, {missed} were not");
    if context == Context::ForkServer {
        assert_eq!(unknown, 0, "a fork server collects its children itself");
    } else if keeps_statuses() {
        // One that ended before its owner could look at it is lost.
        assert!(known > unknown, "the status of {known} children is known, of {unknown} it is not");
    }
    ExitCode::SUCCESS
}

/// Whether the system can tell how a process ended after somebody else collected it: Linux 6.15.
fn keeps_statuses() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 15)
}

type Scene = fn(&mut Stage) -> Outcome;

const SCENES: &[(&str, Scene)] = &[
    ("signalled", signalled),
    ("stopped", stopped),
    ("joined", joined),
    ("joined, with a result", joined_with_a_result),
    ("dropped", dropped),
    ("detached", detached),
    ("a worker is cancelled", cancelled),
    ("a worker's status", status_of_a_worker),
    ("a pool without its supervisor is used", pool_used),
    ("a pool without its supervisor is dropped", pool_dropped),
    ("a template", template),
];

/// Where scenes are played, and what was seen.
struct Stage {
    context: Context,
    way: String,
    reused: u64,
    /// Numbers that a process of ours got first.
    missed: u64,
    known: u64,
    unknown: u64,
}

impl Stage {
    /// Waits until a process has ended and its number is free: others have collected it.
    fn wait_until_gone(&self, pid: u32) {
        let steals = self.way == "collected";
        // No limit: the deadline of the case is one.
        while !is_gone(pid) && !is_spare(pid) {
            if steals {
                // SAFETY: nobody asks for the status.
                unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the end of a process, and gives its number to another.
    fn reuse(&mut self, pid: u32) -> Innocent {
        self.wait_until_gone(pid);
        let innocent = Innocent::with_number(pid);
        if innocent.child.id() == pid {
            self.reused += 1;
        } else {
            self.missed += 1;
        }
        innocent
    }

    /// The innocent one lives, and nobody has collected it but who may.
    fn check(&self, mut innocent: Innocent) {
        innocent.check_life();
        drop(innocent.child.stdin.take());
        let status = innocent.child.wait();
        if self.way == "collected" {
            let status = status.expect("an innocent process can be collected by its owner");
            assert!(status.success(), "it ended when it was told to: {status}");
        }
    }

    /// Notes a status that was to be this one.
    fn note(&mut self, exit: Option<Exit>, wanted: impl Fn(Exit) -> bool) {
        match exit {
            None | Some(Exit::Unknown) => self.unknown += 1,
            Some(exit) => {
                assert!(wanted(exit), "not the status of this child: {exit:?}");
                self.known += 1;
            }
        }
    }

    fn starts_and_exits(&self) -> offspring::Result<Process<()>> {
        self.context.process().start(STATUS, exits)
    }

    /// The children that were not there before.
    fn new_child(&self, before: &BTreeSet<u32>) -> u32 {
        let now = possible_supervisors();
        *now.difference(before).next().expect("a pool has a supervisor")
    }
}

#[expect(clippy::exit, reason = "to see what becomes of it")]
fn exits(status: i32) {
    std::process::exit(status)
}

fn is_own(exit: Exit) -> bool {
    exit == Exit::Code(STATUS)
}

fn is_kill(exit: Exit) -> bool {
    matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. })
}

/// A process that repeats what it is told, and ends when nobody tells it anything any more.
struct Innocent {
    child: Child,
}

impl Innocent {
    /// One with this number, unless a process of ours, which is started at this moment, gets it.
    fn with_number(pid: u32) -> Self {
        loop {
            std::fs::write(LAST, (pid - 1).to_string()).expect("numbers can be chosen");
            let mut command = Command::new("cat");
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut child = child.expect("there is `cat`");
            if child.id() == pid || !is_gone(pid) {
                // The next processes get numbers that nobody had: if the fork server's next child in reserve got the one
                // that the last child had, that one's end would never be seen.
                let later = child.id() + 20;
                std::fs::write(LAST, later.to_string()).expect("numbers can be chosen");
                return Self { child };
            }
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    fn check_life(&mut self) {
        let pid = self.child.id();
        let input = self.child.stdin.as_mut().expect("a pipe");
        let told = input.write_all(b"x").and_then(|()| input.flush());
        let mut answer = [0];
        let output = self.child.stdout.as_mut().expect("a pipe");
        let heard = told.and_then(|()| output.read_exact(&mut answer));
        assert!(heard.is_ok(), "the innocent process {pid} was ended: {heard:?}");
        assert_eq!(&answer, b"x");
    }
}

/// Whether the fork server's child in reserve has this number. It is forked at any moment.
fn is_spare(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end() == "offspring-spare"
}

fn kill(pid: u32) {
    torture::signal(pid, libc::SIGKILL);
}

fn signalled(stage: &mut Stage) -> Outcome {
    let mut child = stage.starts_and_exits()?;
    let innocent = stage.reuse(child.id());
    child.terminate()?;
    child.kill()?;
    assert!(!child.is_alive(), "it has ended");
    let error = child.join_timeout(LONG).expect_err("it has no result");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    stage.note(error.exit(), is_own);
    stage.check(innocent);
    Ok(())
}

fn stopped(stage: &mut Stage) -> Outcome {
    let mut child = stage.context.process().start((), |()| -> () { sleep_for_ever() })?;
    kill(child.id());
    let innocent = stage.reuse(child.id());
    let exit = child.stop(LONG)?;
    stage.note(Some(exit), is_kill);
    stage.check(innocent);
    Ok(())
}

fn joined(stage: &mut Stage) -> Outcome {
    let child = stage.starts_and_exits()?;
    let innocent = stage.reuse(child.id());
    let error = child.join().expect_err("it has no result");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    stage.note(error.exit(), is_own);
    stage.check(innocent);
    Ok(())
}

fn joined_with_a_result(stage: &mut Stage) -> Outcome {
    let mut child = stage.context.process().start(41, |n| n + 1)?;
    let innocent = stage.reuse(child.id());
    assert_eq!(child.join_timeout(LONG)?, Some(42));
    stage.note(child.exit_status(), |exit| exit == Exit::Code(0));
    stage.check(innocent);
    Ok(())
}

fn dropped(stage: &mut Stage) -> Outcome {
    let child = stage.starts_and_exits()?;
    let innocent = stage.reuse(child.id());
    drop(child);
    stage.check(innocent);
    Ok(())
}

/// Children without handles are collected whenever another one is started.
fn detached(stage: &mut Stage) -> Outcome {
    let child = stage.starts_and_exits()?;
    let pid = child.id();
    child.detach();
    let innocent = stage.reuse(pid);
    assert_eq!(stage.context.process().start(1, |n| n + 1)?.join()?, 2);
    stage.check(innocent);
    Ok(())
}

fn cancelled(stage: &mut Stage) -> Outcome {
    let pool = stage.context.pool().workers(1).build()?;
    let worker = pool.submit((), |(), ()| std::process::id())?.join()?;
    let task = pool.submit((), |(), ()| -> () { sleep_for_ever() })?;
    kill(worker);
    let innocent = stage.reuse(worker);
    task.cancel();
    // Its own end, or being cancelled, whichever is seen first.
    let error = pool.submit(STATUS, |(), status| exits(status))?.join().expect_err("it exits");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    pool.shutdown()?;
    stage.check(innocent);
    Ok(())
}

/// Only the supervisor can collect a worker.
fn status_of_a_worker(stage: &mut Stage) -> Outcome {
    let pool = stage.context.pool().workers(1).build()?;
    let worker = pool.submit((), |(), ()| std::process::id())?.join()?;
    let task = pool.submit(STATUS, |(), status| exits(status))?;
    let innocent = stage.reuse(worker);
    let error = task.join().expect_err("it exits");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!(error.exit(), Some(Exit::Code(STATUS)), "{error}");
    drop(pool);
    stage.check(innocent);
    Ok(())
}

fn pool_used(stage: &mut Stage) -> Outcome {
    let before = possible_supervisors();
    let pool = stage.context.pool().workers(1).build()?;
    assert_eq!(pool.submit(1, |(), n| n + 1)?.join()?, 2);
    let supervisor = stage.new_child(&before);
    kill(supervisor);
    let innocent = stage.reuse(supervisor);
    // Its worker may be faster than the news.
    let task = pool.submit(1, |(), n: u8| n).and_then(|task| task.join().map_err(Into::into));
    assert!(matches!(task, Ok(1) | Err(_)), "one outcome, and soon: {task:?}");
    drop(pool);
    stage.check(innocent);
    Ok(())
}

fn pool_dropped(stage: &mut Stage) -> Outcome {
    let before = possible_supervisors();
    let pool = stage.context.pool().workers(1).build()?;
    let supervisor = stage.new_child(&before);
    kill(supervisor);
    let innocent = stage.reuse(supervisor);
    drop(pool);
    stage.check(innocent);
    Ok(())
}

/// A fork server's template is replaced, and the old one is to be collected.
fn template(stage: &mut Stage) -> Outcome {
    if stage.context != Context::ForkServer {
        return Ok(());
    }
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let children = children_of(std::process::id());
    let template = children.into_iter().find(|pid| name(pid).starts_with("offspring-templ"));
    let template = template.expect("the fork server was used");
    kill(template);
    let innocent = stage.reuse(template);
    assert_eq!(stage.context.process().start(1, |n| n + 1)?.join()?, 2);
    stage.check(innocent);
    Ok(())
}
