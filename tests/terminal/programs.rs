//! The programs that are run at terminals, and what their tasks do.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool, Process, Task};
use serde::{Deserialize, Serialize};

use super::screen::CONTEXT;
use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{eventually, sleep_for_ever, spin_for_ever};

/// Files by which a program and its case talk, but for what is shown.
pub(crate) const LOG: &str = "log";
pub(crate) const GATE: &str = "gate";
pub(crate) const PIDS: &str = "pids";

pub(crate) const READY: &str = "[ready]";
pub(crate) const IN_ORDER: &str = "[in order]";

/// How each program begins.
pub(crate) fn enter() -> Context {
    // SAFETY: the programs own no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::var(CONTEXT).expect("the case says which context");
    context.parse().expect("a context")
}

/// A file in the directory of the case, whose it is.
pub(crate) fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// Shows a text, whole and at once.
pub(crate) fn show(text: &str) {
    let mut output = std::io::stdout();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).expect("the terminal shows it");
}

/// How often this program was interrupted, by each of the signals that it handles.
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
static QUITS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(signal: i32) {
    let counter = if signal == libc::SIGINT { &INTERRUPTS } else { &QUITS };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// This program decides itself what Ctrl-C and Ctrl-\ mean.
fn handle_interrupts() {
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let handler = count as extern "C" fn(i32) as *const () as libc::sighandler_t;
        // SAFETY: the handler adds to a number, which it may at any instruction.
        let before = unsafe { libc::signal(signal, handler) };
        assert_ne!(before, libc::SIG_ERR, "the signal can be handled");
    }
}

fn no_core_file() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it is read before the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) }, 0);
}

pub(crate) fn pids<S: 'static, X>(pool: &Pool<S, X>) -> Vec<u32> {
    let all = pool.broadcast((), |_, ()| std::process::id()).expect("the pool is whole");
    all.into_iter().map(|pid| pid.expect("it has a number")).collect()
}

/// Tells the case who its workers are.
fn tell(pids: impl IntoIterator<Item = u32>) {
    pids.into_iter().for_each(|pid| note(&file(PIDS), pid));
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Act {
    Sleep,
    Spin,
}

/// Does it until the gate is open, and says when it began.
fn act((act, log, gate): (Act, PathBuf, PathBuf)) -> u32 {
    note(&log, format!("{act:?}"));
    match act {
        Act::Sleep => eventually_long(|| gate.exists()),
        Act::Spin => {
            while !gate.exists() {
                std::hint::spin_loop();
            }
        }
    }
    std::process::id()
}

/// Like `wait_for`, for as long as a program may be stopped.
fn eventually_long(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two workers are in long tasks when this returns; what others there are have nothing to do.
fn long_tasks<S: 'static, X>(pool: &Pool<S, X>) -> Vec<Task<u32>> {
    let acts = [Act::Sleep, Act::Spin].into_iter();
    let tasks = acts.map(|what| {
        pool.submit((what, file(LOG), file(GATE)), |_, sent| act(sent)).expect("it is taken")
    });
    let tasks: Vec<_> = tasks.collect();
    eventually("both have begun", || {
        tasks.iter().all(|task| task.pid().is_some())
            && std::fs::read_to_string(file(LOG)).is_ok_and(|text| text.lines().count() >= 2)
    });
    tasks
}

/// A child, and a pool of workers that sleep, spin and idle, and nothing that knows of signals.
pub(crate) fn live() -> ExitCode {
    let context = enter();
    no_core_file();
    let _child: Process<()> =
        context.process().start((), |()| sleep_for_ever()).expect("a child starts");
    let pool = context.pool().workers(4).build().expect("a pool starts");
    pids(&pool);
    let mut tasks = long_tasks(&pool);
    show(READY);
    // The gate stays closed.
    let _ = tasks.remove(0).join();
    ExitCode::FAILURE
}

/// What a program that wants an orderly end can say of it.
fn end_in_order<X>(pool: Pool<(), X>, workers: &[u32])
where
    X: Serialize + serde::de::DeserializeOwned + std::fmt::Debug + 'static,
{
    assert_eq!(pids(&pool), workers, "the workers are the same");
    let report = pool.shutdown().expect("the pool was whole");
    assert_eq!((report.replaced(), report.abnormal_exits()), (0, &[][..]), "{report:?}");
    assert_eq!(report.exit_values().len(), workers.len(), "{report:?}");
    assert!(report.exit_values().iter().all(Result::is_ok), "{report:?}");
}

/// Handles interrupts: stops giving out work, lets tasks finish, shuts down.
pub(crate) fn orderly() -> ExitCode {
    let context = enter();
    handle_interrupts();
    let pool = context.pool().workers(4).exit(|()| std::process::id()).build();
    let pool = pool.expect("a pool starts");
    let workers = pids(&pool);
    // All of them idle.
    show("[idle]");
    eventually("Ctrl-C is pressed", || INTERRUPTS.load(Ordering::Relaxed) > 0);
    assert_eq!(pids(&pool), workers, "the workers are the same");
    INTERRUPTS.store(0, Ordering::Relaxed);

    let tasks = long_tasks(&pool);
    show("[working]");
    let pressed = || INTERRUPTS.load(Ordering::Relaxed) > 0 && QUITS.load(Ordering::Relaxed) > 0;
    // At least one: both may have been pressed before the map begins.
    let inputs = (0..).take_while(|n| *n == 0 || !pressed());
    let mut given = 0;
    for (n, result) in (0u64..).zip(pool.map(inputs, |(), n: u64| {
        if n % 10 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        n * 2
    })) {
        assert_eq!(result.expect("it is not ended"), 2 * n);
        given = n + 1;
    }
    assert!(given > 0 && tasks.iter().all(|task| task.pid().is_some()), "they still run");
    note(&file(GATE), "open");
    for task in tasks {
        assert!(workers.contains(&task.join().expect("it is not ended")));
    }
    end_in_order(pool, &workers);
    show(IN_ORDER);
    ExitCode::SUCCESS
}

/// A task executes another program, which knows nothing of all this.
pub(crate) fn executing() -> ExitCode {
    let context = enter();
    handle_interrupts();
    let pool = context.pool().workers(2).exit(|()| ()).build().expect("a pool starts");
    let workers = pids(&pool);
    let task = pool.submit(file(LOG), |(), log| {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("`sleep` is there");
        note(&log, child.id());
        child.wait().map(|status| status.signal()).map_err(|error| error.to_string())
    });
    let task = task.expect("it is taken");
    wait_for(&file(LOG));
    show(READY);
    let signal = task.join().expect("the worker goes on").expect("it can be waited for");
    assert_eq!(signal, Some(libc::SIGINT), "how `sleep` ended");
    end_in_order(pool, &workers);
    show(IN_ORDER);
    ExitCode::SUCCESS
}

/// Starts pools and children all the time, until the gate is open.
pub(crate) fn starting() -> ExitCode {
    let context = enter();
    handle_interrupts();
    let mut interrupted = 0;
    show(READY);
    while !file(GATE).exists() {
        let pool = context.pool().workers(2).exit(|()| ()).build().expect("a pool starts");
        for (n, result) in (0..).zip(pool.map(0..10u64, |(), n| n + 1)) {
            assert_eq!(result.expect("no worker is ended"), n + 1);
        }
        let workers = pids(&pool);
        end_in_order(pool, &workers);
        let before = INTERRUPTS.load(Ordering::Relaxed);
        match context.process().start(1u64, |n| n + 1).and_then(Process::join) {
            Ok(value) => assert_eq!(value, 2),
            // A child that is no worker is interrupted like its parent.
            Err(error) => {
                assert_eq!(error.signal(), Some(libc::SIGINT), "{error}");
                assert_eq!(error.kind(), ErrorKind::Died, "{error}");
                let now = INTERRUPTS.load(Ordering::Relaxed);
                assert!(now > before, "it was interrupted before it was started: {error}");
                interrupted += 1;
            }
        }
    }
    show(&format!("[{interrupted} children were interrupted]"));
    show(IN_ORDER);
    ExitCode::SUCCESS
}

/// Works until the gate is open, and says whether all was done, and once.
pub(crate) fn working() -> ExitCode {
    let context = enter();
    let effects = Scratch::new("effects");
    let pool = context.pool().workers(4).init(effects.path(), |path| path);
    let pool = pool.exit(|_| ()).build().expect("a pool starts");
    let workers = pids(&pool);
    tell(workers.iter().copied());
    let tasks = long_tasks(&pool);
    // Of the other two, one is idle at most times.
    show(READY);
    let gate = file(GATE);
    let inputs = (0..).take_while(|_| !gate.exists());
    let mut given = 0;
    for (n, result) in (0u64..).zip(pool.map(inputs, |log: &mut PathBuf, n: u64| {
        note(log, n);
        std::thread::sleep(Duration::from_millis(n % 3));
        n * 2
    })) {
        assert_eq!(result.expect("it is not ended"), 2 * n);
        given = n + 1;
    }
    for task in tasks {
        assert!(workers.contains(&task.join().expect("it is not ended")));
    }
    assert_eq!(pids(&pool), workers, "the workers are the same");
    let report = pool.shutdown().expect("the pool was whole");
    assert_eq!((report.replaced(), report.abnormal_exits()), (0, &[][..]), "{report:?}");
    let ran: Vec<u64> =
        effects.lines().iter().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(ran.len() as u64, given, "none is lost, none runs twice");
    assert!(ran.into_iter().collect::<BTreeSet<_>>().into_iter().eq(0..given));
    show(IN_ORDER);
    ExitCode::SUCCESS
}

fn read_input() -> usize {
    std::io::stdin().read(&mut [0; 100]).expect("there is an input")
}

/// What is typed is this program's, and not its workers'.
pub(crate) fn reading() -> ExitCode {
    let context = enter();
    let pool = context.pool().workers(2).exit(|()| ()).build().expect("a pool starts");
    let workers = pids(&pool);
    let asks = pool.broadcast((), |(), ()| read_input()).expect("the pool is whole");
    let child = context.process().start((), |()| read_input()).and_then(Process::join);
    assert_eq!(child.expect("it ends"), 0, "a child has nothing to read");
    for read in asks {
        assert_eq!(read.expect("it ends"), 0, "a worker has nothing to read");
    }
    show(READY);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the terminal can be read");
    assert_eq!(line, "some words\n");
    end_in_order(pool, &workers);
    show(IN_ORDER);
    ExitCode::SUCCESS
}

/// A program that is to survive its terminal, as under `nohup`.
pub(crate) fn deaf_to_hangups() -> ExitCode {
    let context = enter();
    // SAFETY: ignoring a signal touches no memory.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR, "the signal can be ignored");
    let pool = context.pool().workers(4).exit(|()| ()).build().expect("a pool starts");
    let workers = pids(&pool);
    tell(workers.iter().copied());
    let tasks = long_tasks(&pool);
    show(READY);
    wait_for(&file(GATE));
    for task in tasks {
        assert!(workers.contains(&task.join().expect("it is not ended")));
    }
    for (n, result) in (0..).zip(pool.map(0..100u64, |(), n| n + 1)) {
        assert_eq!(result.expect("it is not ended"), n + 1);
    }
    end_in_order(pool, &workers);
    // Nobody sees what it shows.
    note(&file(PIDS), IN_ORDER);
    ExitCode::SUCCESS
}

/// For tasks that never end.
pub(crate) fn spin() -> u64 {
    spin_for_ever()
}
