//! What test programs share; and for those that `#[offspring::test]` is not for, what runs each case on each
//! context, alone in a fresh process with one thread, and looks for leaks.
//!
//! Where they can, our test programs use `#[offspring::test]`, like those of users: such tests enter before `main`.
//! Others have a `main` of their own (`harness = false`):
//!
//! * `control`, `descriptors`, `endings`, `entry`, `environments`, `failing_calls`, `fork_guard`, `fork_map`, `kills`,
//!   `nested`, `orphans`, `pool`, `resources`, `soak`, `state`, `stop_storm`, `sync`, `terminal` start the test program
//!   as another program ([`programs`]), which has a `main` that is to be killed, forgets `init`, or lives in another
//!   place. (What `soak` does takes hours besides: [`main_within`].)
//! * In `crash_matrix`, children do something before `init`.
//! * `crashes` and `last_words` see what std's runtime does when a stack overflows, on other threads too; before `main`
//!   it has not started.
//! * `bulk`, `channel`, `hostile`, `logging`, `random_pool` could use the attribute. They are older than it, and nothing but
//!   their lists of cases keeps them here.
//!
//! A new program uses the attribute if it can.
//!
//! What a case cannot try here, because this user may not or the system has not, it leaves out with [`not_tested`], which
//! nobody sees of a case that passes. With `OFFSPRING_REQUIRE_ALL=1` such a case fails: as root with all capabilities,
//! where cgroups of version 1 can be made, there should be none. (`OFFSPRING_REQUIRE_NEXTEST` is the same for tests/user.rs, where
//! cargo-nextest is missing.)
//!
//! libtest runs tests on threads, where Fork is rightly refused. So that `main` lists cases × contexts to
//! `libtest-mimic`, and runs each by starting itself again with the name of the case in the environment. That
//! process has one thread; its output is shown if it fails; it has a deadline, which only a deadlock reaches; and
//! what it leaves behind (children, descriptors, threads, files, shared memory) fails it.

#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

pub mod leaks;
#[cfg(target_os = "linux")]
pub mod preload;
pub mod programs;
pub mod props;
pub mod scarcity;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use offspring::Context;
use offspring_platform::lifeline;

/// What a case returns: `Err` and panics fail it.
pub type Outcome = Result<(), Box<dyn Error>>;

/// One behaviour that must hold on each of its contexts.
pub struct Case {
    pub name: &'static str,
    pub contexts: &'static [Context],
    pub body: fn(Context) -> Outcome,
}

/// All contexts that have a process of their own.
pub const PROCESSES: &[Context] = &[Context::Fork, Context::Spawn, Context::ForkServer];

/// Contexts that a child with its lifeline can use in its turn: where the lifeline is a thread, no fork.
pub const IN_CHILDREN: &[Context] =
    if lifeline::IS_A_THREAD { &[Context::Spawn, Context::ForkServer] } else { PROCESSES };

/// What a child on a context uses to start its own: the same where it can.
pub fn in_a_child(context: Context) -> Context {
    if lifeline::IS_A_THREAD && context == Context::Fork { Context::Spawn } else { context }
}

/// Lists functions as cases. `cases![on CONTEXTS => a, b]`; without `on`, all four contexts. One that not
/// every system has may carry the same `#[cfg(…)]` here as its function.
#[macro_export]
macro_rules! cases {
    (on $contexts:expr => $($(#[$cfg:meta])* $body:ident),* $(,)?) => {
        &[$($(#[$cfg])* $crate::harness::Case {
            name: stringify!($body),
            contexts: $contexts,
            body: $body,
        }),*]
    };
    ($($(#[$cfg:meta])* $body:ident),* $(,)?) => {
        $crate::cases![on &offspring::Context::ALL => $($(#[$cfg])* $body),*]
    };
}

/// Names the case that a process runs, as `context::name`.
const CASE: &str = "OFFSPRING_TEST_CASE";
/// Tells the processes of one run of one case from all others on the machine.
pub const TOKEN: &str = "OFFSPRING_TEST_TOKEN";
/// Generous: reached by a deadlock, and by nothing else.
const DEADLINE: Duration = Duration::from_secs(300);

/// The `main` of a test program.
pub fn main(groups: &[&'static [Case]]) -> ExitCode {
    main_within(DEADLINE, groups)
}

/// The `main` of a test program whose cases may take longer than others.
pub fn main_within(deadline: Duration, groups: &[&'static [Case]]) -> ExitCode {
    let deadline = on_this_machine(deadline);
    // A case may ask for a program that behaves badly in `main`, before or without `init`.
    if let Some(code) = programs::run_if_asked() {
        return code;
    }
    // SAFETY: the cases own no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    if let Ok(label) = std::env::var(CASE) {
        return alone(groups, &label);
    }
    let (mut trials, mut labels, mut without) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for case in groups.iter().copied().flatten() {
        for context in case.contexts {
            let label = label(case, *context);
            assert!(labels.insert(label.clone()), "two cases are called {label}");
            let missing = !Context::available().contains(context);
            if missing && without.insert(context.to_string()) {
                // libtest has no word for why; its list of tests is on the other stream.
                eprintln!("cases on {context} are ignored: this system has no such processes");
            }
            let trial = Trial::test(label.clone(), move || in_own_process(&label, deadline));
            trials.push(trial.with_ignored_flag(missing));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A limit, as long as it is here: as with the attribute, `OFFSPRING_TEST_TIMEOUT_FACTOR` multiplies it.
pub fn on_this_machine(limit: Duration) -> Duration {
    match std::env::var("OFFSPRING_TEST_TIMEOUT_FACTOR") {
        Ok(factor) => limit.mul_f64(factor.parse().expect("a factor is a number")),
        Err(_) => limit,
    }
}

fn label(case: &Case, context: Context) -> String {
    format!("{context}::{}", case.name)
}

/// Runs one case in a process of its own.
fn in_own_process(label: &str, deadline: Duration) -> Result<(), Failed> {
    let token = format!("{}-{}", std::process::id(), label.replace(':', "-"));
    let directory = std::env::temp_dir().join(format!("offspring-test-{token}"));
    // One that was killed, and had this number, may have left it.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let output = directory.with_extension("output");
    // A file and not a pipe: a process that is left behind would keep a pipe open.
    let file = File::create(&output)?;
    let mut child = Command::new(std::env::current_exe()?)
        .env(CASE, label)
        .env(TOKEN, &token)
        .env("TMPDIR", &directory)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let survivors = leaks::survivors(&token);
    let leftovers: Vec<_> = std::fs::read_dir(&directory)?.flatten().map(|e| e.path()).collect();
    let text = String::from_utf8_lossy(&std::fs::read(&output)?).into_owned();
    std::fs::remove_dir_all(&directory)?;
    std::fs::remove_file(&output)?;
    let verdict = match status {
        None => Err(format!("no end after {deadline:?}")),
        Some(status) if !status.success() => Err(format!("it ended with {status}")),
        Some(_) if !survivors.is_empty() => Err(format!("processes survive: {survivors:?}")),
        Some(_) if !leftovers.is_empty() => Err(format!("files are left: {leftovers:?}")),
        Some(_) => Ok(()),
    };
    verdict.map_err(|why| format!("{label}: {why}\n--- output\n{text}").into())
}

/// Runs one case in this process, and looks for leaks.
fn alone(groups: &[&'static [Case]], wanted: &str) -> ExitCode {
    let found = groups.iter().copied().flatten().find_map(|case| {
        let context = case.contexts.iter().find(|context| label(case, **context) == wanted)?;
        Some((case, *context))
    });
    let Some((case, context)) = found else {
        eprintln!("no case is called {wanted}");
        return ExitCode::from(2);
    };
    if context == Context::ForkServer {
        // The template lives as long as the program; it is no leak.
        let warm = Context::ForkServer.process().start((), |()| ());
        warm.and_then(offspring::Process::join).expect("the fork server starts");
    }
    let before = leaks::Snapshot::take();
    // std prints a panic; an `Err` is printed here.
    let result = catch_unwind(AssertUnwindSafe(|| (case.body)(context)));
    match result {
        Err(_) => return ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("the case failed: {error:?}");
            return ExitCode::FAILURE;
        }
        Ok(Ok(())) => {}
    }
    match before.compare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(leak) => {
            eprintln!("the case leaks: {leak}");
            ExitCode::FAILURE
        }
    }
}

/// Says that something is not tested here, and why; then the case returns. See the head of the file.
#[track_caller]
pub fn not_tested(why: impl std::fmt::Display) {
    let required = std::env::var_os("OFFSPRING_REQUIRE_ALL").is_some();
    assert!(!required, "OFFSPRING_REQUIRE_ALL is set, and this is not tested: {why}");
    println!("not tested: {why}");
}

/// Repeats a check until it holds; for what the system does in its own time. The limit only keeps a
/// failing test from hanging. A test whose own limit is shorter shows what it waits for.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let (start, limit) = (Instant::now(), on_this_machine(Duration::from_secs(100)));
    let mut said = false;
    while !holds() {
        if !said && start.elapsed() > Duration::from_secs(30) {
            eprintln!("for 30 s it has not happened: {what}");
            said = true;
        }
        assert!(start.elapsed() < limit, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A task that never ends by itself. Spins on a clock, so that it also uses the processor.
pub fn spin_for_ever() -> ! {
    loop {
        std::hint::black_box(Instant::now());
    }
}

/// A task that sleeps for ever.
pub fn sleep_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
