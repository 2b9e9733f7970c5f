//! The owner: a program with single processes and a pool, whose children are in every state.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring::{Context, Global, Pool, Process};
use serde::{Deserialize, Serialize};

use super::grandchildren;
use crate::harness;

/// What the warden tells the owner.
pub(crate) const CONTEXT: &str = "ORPHANS_CONTEXT";
pub(crate) const HOW: &str = "ORPHANS_HOW";

/// The first line of an owner.
pub(crate) const BEGUN: &str = "begun";
/// How the line of a task begins that is not the first of its worker.
pub(crate) const LATER: &str = "later task";

/// The line of one that has bred.
pub(crate) const BRED: &str = "bred";

/// The line of a template that makes state.
pub(crate) const MAKING: &str = "making state";

/// The status of an owner that calls `exit`.
pub(crate) const EXITS: i32 = 3;
/// The status of an owner whose thread panicked and left nothing.
pub(crate) const PANICKED_AND_CLEAN: i32 = 4;

/// What a child does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum State {
    Idle,
    Spinning,
    /// With every signal blocked.
    Deaf,
    Stopped,
    /// Sends its owner more than any buffer holds.
    Writing,
}

const ALL: &[State] = &[
    State::Idle,
    State::Spinning,
    State::Deaf,
    State::Writing,
    // Nobody can end it in the portable way if its supervisor is gone, or it has none.
    #[cfg(not(offspring_force_portable))]
    State::Stopped,
];

/// How many workers the pool of an owner has.
pub(crate) fn workers() -> usize {
    let Ok(text) = std::env::var("OFFSPRING_ORPHAN_WORKERS") else { return ALL.len() };
    let workers = text.parse().expect("OFFSPRING_ORPHAN_WORKERS is a number");
    assert!(workers >= ALL.len(), "OFFSPRING_ORPHAN_WORKERS: each of {ALL:?} needs a worker");
    workers
}

/// How many different lines tell that every child and every worker is in its state.
pub(crate) fn states() -> usize {
    ALL.len() + workers()
}

/// One line, whole, on standard output, which children share with their owner.
fn say(line: &str) {
    // The warden may be gone: then this process is about to be, too.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// Takes a state and says so, as `who`. Returns from one only.
fn be((who, state): (String, State)) -> String {
    match state {
        State::Deaf => {
            let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: the place is valid for a set.
            unsafe { libc::sigfillset(all.as_mut_ptr()) };
            // SAFETY: the set is initialised; the old one is not asked for.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
            say(&format!("{who} {state:?}"));
            harness::spin_for_ever()
        }
        State::Stopped => {
            say(&format!("{who} {state:?}"));
            // SAFETY: no memory is involved.
            unsafe { libc::raise(libc::SIGSTOP) };
            harness::sleep_for_ever()
        }
        State::Idle => {
            say(&format!("{who} {state:?}"));
            harness::sleep_for_ever()
        }
        State::Spinning => {
            say(&format!("{who} {state:?}"));
            harness::spin_for_ever()
        }
        State::Writing => {
            say(&format!("{who} {state:?}"));
            "x".repeat(64 << 20)
        }
    }
}

pub(crate) fn main() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let how = std::env::var(HOW).expect("the warden says how to end");
    let context: Context =
        std::env::var(CONTEXT).expect("the warden says which context").parse().expect("a context");
    say(BEGUN);
    if how == "breeds" {
        return breed(context);
    }
    if how == "makes state" {
        return make_state(context);
    }
    #[cfg(not(offspring_force_portable))]
    if how == "daemons" {
        return start_daemons(context);
    }
    let children: Vec<_> = ALL
        .iter()
        .copied()
        .map(|state| {
            context.process().start(("process".into(), state), be).expect("a child starts")
        })
        .collect();
    let pool = context.pool().workers(workers()).build().expect("a pool starts");
    if how == "panics" {
        return panic_on_a_thread(children, pool);
    }
    // The thread drives the pool until the program ends, so the pool lives until then.
    let driver = std::thread::spawn(move || drive(&pool, &AtomicBool::new(false)));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the warden says when");
    match how.as_str() {
        "returns" => {
            std::mem::forget(children);
            std::mem::forget(driver);
            ExitCode::SUCCESS
        }
        "exits" => std::process::exit(EXITS),
        "aborts" => std::process::abort(),
        other => panic!("an owner that {other} was told to end"),
    }
}

/// Occupies most workers for ever, and every fifth with one large result after the other.
fn drive(pool: &Pool<()>, panic: &AtomicBool) {
    let first = ALL.iter().copied().cycle().take(workers()).enumerate();
    let first = first.map(|(number, state)| (format!("task {number}"), state));
    let tasks = first.chain(std::iter::repeat((LATER.to_owned(), State::Writing)));
    for result in pool.map_unordered(tasks, |(), task| be(task)) {
        assert!(!panic.load(Ordering::Relaxed), "as told");
        if result.is_err() {
            // The supervisor was killed; the owner is next.
            harness::sleep_for_ever();
        }
    }
}

/// What its workers share is made without end, in the template of its pool.
fn make_state(context: Context) -> ExitCode {
    static STATE: Global<u32> = Global::new();
    STATE.set(std::process::id(), make_slowly).expect("it was not set");
    let pool = context.pool().workers(2).build();
    panic!("the pool has started: {pool:?}");
}

fn make_slowly(owner: u32) -> u32 {
    if std::process::id() != owner {
        say(MAKING);
        harness::spin_for_ever();
    }
    owner
}

/// Children have descendants that are none of ours.
fn breed(context: Context) -> ExitCode {
    let pool = context.pool().workers(2).build().expect("a pool starts");
    for result in pool.map([(); 3], |(), ()| grandchildren::breed()) {
        result.expect("it bred");
    }
    // Descendants of other processes live on: see the head of `grandchildren`.
    let child = (context == Context::ForkServer).then(|| {
        let child = context.process().start((), breed_and_stay);
        child.expect("a child starts")
    });
    if child.is_none() {
        say(BRED);
    }
    harness::sleep_for_ever()
}

/// Each worker has daemons.
#[cfg(not(offspring_force_portable))]
fn start_daemons(context: Context) -> ExitCode {
    let pool = context.pool().workers(2).build().expect("a pool starts");
    for daemons in pool.broadcast((), |(), ()| super::daemons::start()).expect("it runs") {
        daemons.expect("they were started");
    }
    say(BRED);
    harness::sleep_for_ever()
}

fn breed_and_stay((): ()) {
    grandchildren::breed();
    say(BRED);
    harness::sleep_for_ever();
}

/// The thread that owns everything panics; then nothing may be left.
fn panic_on_a_thread(children: Vec<Process<String>>, pool: Pool<()>) -> ExitCode {
    static PANIC: AtomicBool = AtomicBool::new(false);
    let thread = std::thread::spawn(move || {
        let _children = children;
        drive(&pool, &PANIC);
    });
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the warden says when");
    PANIC.store(true, Ordering::Relaxed);
    let panicked = thread.join().is_err();
    let own = std::process::id();
    // The template lives as long as the program.
    let templates: BTreeSet<u32> = harness::leaks::children_of(own)
        .into_iter()
        .filter(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.trim() == "offspring-templ"
        })
        .collect();
    let left: Vec<u32> = harness::leaks::descendants_of(own)
        .into_iter()
        .filter(|pid| harness::leaks::is_alive(*pid) && !templates.contains(pid))
        .collect();
    if panicked && left.is_empty() {
        return ExitCode::from(u8::try_from(PANICKED_AND_CLEAN).expect("a small number"));
    }
    let mut errors = std::io::stderr();
    let _ = writeln!(errors, "the thread panicked: {panicked}; processes left: {left:?}");
    ExitCode::FAILURE
}
