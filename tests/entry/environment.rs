//! What children find in their environment and arguments, and environments too large to start with.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, ExitCode};

use offspring::{Context, ErrorKind};

use crate::harness::leaks::descendants_of;
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome};
use crate::tools::{context_argument, run, temporary};
use crate::{BY_EXEC, cases};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    no_note_in_the_child,
    a_plain_run_of_the_program_is_no_child,
    same_arguments,
];

pub(crate) const CASES_BY_EXEC: &[Case] =
    cases![on BY_EXEC => too_large_to_start, a_thread_before_init];

/// Whether the note is in the environment, as Rust and as C see it.
fn has_note() -> bool {
    // SAFETY: the name ends with a zero, and nobody changes the environment meanwhile.
    let found = unsafe { libc::getenv(c"OFFSPRING_CHILD".as_ptr()) };
    std::env::vars_os().any(|(name, _)| name.as_bytes().starts_with(b"OFFSPRING_CHILD"))
        || !found.is_null()
}

fn no_note_in_the_child(context: Context) -> Outcome {
    assert!(!context.process().start((), |()| has_note())?.join()?, "in a process");
    let pool = context.pool().workers(2).init((), |()| has_note()).build()?;
    for result in pool.map(0..4, |at_first, _: u8| (*at_first, has_note())) {
        assert_eq!(result?, (false, false), "in a worker");
    }
    // Nor in what it executes.
    let child = context.process().start((), |()| {
        let output = Command::new("/usr/bin/env").output().map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).into_owned())
    })?;
    let environment = child.join()??;
    assert!(environment.contains("OFFSPRING_TEST_TOKEN"), "it printed {environment}");
    assert!(!environment.contains("OFFSPRING_CHILD"), "it printed {environment}");
    Ok(())
}

/// Runs this test program by std's own means.
fn run_plainly() -> Result<String, String> {
    let output = command("ordinary").output().map_err(|error| error.to_string())?;
    Ok(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stdout)))
}

const ORDINARY: &str = "exit status: 0: ordinary main\n";

fn a_plain_run_of_the_program_is_no_child(context: Context) -> Outcome {
    let output = context.process().start((), |()| run_plainly())?.join()?;
    assert_eq!(output.as_deref(), Ok(ORDINARY), "from a process");
    let pool = context.pool().workers(2).init((), |()| run_plainly()).build()?;
    for result in pool.map(0..2, |first, _: u8| (first.clone(), run_plainly())) {
        let (first, second) = result?;
        assert_eq!(first.as_deref(), Ok(ORDINARY), "from an initialiser");
        assert_eq!(second.as_deref(), Ok(ORDINARY), "from a task");
    }
    Ok(())
}

/// Program: a thread runs before `init`, so the note cannot be removed.
pub(crate) fn thread_first() -> ExitCode {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    offspring::init();
    let context = context_argument(1);
    match context.process().start((), |()| run_plainly()) {
        Ok(child) => {
            let output = child.join().expect("it answers");
            assert_eq!(output.as_deref(), Ok(ORDINARY), "from a child with an early thread");
        }
        // A template that has a thread may not fork.
        Err(error) => {
            assert_eq!(context, Context::ForkServer, "{error}");
            assert_eq!(error.kind(), ErrorKind::Start, "{error}");
            assert!(error.to_string().contains("thread"), "{error}");
        }
    }
    drop(send);
    assert!(thread.join().expect("it ends").is_err());
    ExitCode::SUCCESS
}

fn a_thread_before_init(context: Context) -> Outcome {
    run(command("thread_first").arg(context.to_string())).expect_success("thread_first");
    Ok(())
}

fn arguments_as_bytes() -> Vec<Vec<u8>> {
    std::env::args_os().map(OsStringExt::into_vec).collect()
}

/// Program: compares its arguments with those of its children.
pub(crate) fn arguments() -> ExitCode {
    let early = format!("{:?}\n", std::env::args_os().collect::<Vec<_>>());
    let file = fs::OpenOptions::new().append(true).create(true).open(temporary("arguments"));
    file.and_then(|mut file| file.write_all(early.as_bytes())).expect("they are noted");
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = context_argument(1);
    let own = arguments_as_bytes();
    let child = context.process().start((), |()| arguments_as_bytes());
    assert_eq!(child.and_then(offspring::Process::join).expect("it answers"), own);
    let pool = context.pool().workers(1).init((), |()| arguments_as_bytes()).build();
    let pool = pool.expect("it starts");
    for result in pool.map([()], |first, ()| (first.clone(), arguments_as_bytes())) {
        assert_eq!(result.expect("it runs"), (own.clone(), own.clone()));
    }
    ExitCode::SUCCESS
}

fn same_arguments(context: Context) -> Outcome {
    let mut program = command("arguments");
    program.arg(context.to_string());
    let odd: [&[u8]; 6] =
        [b"", b"--flag=1", b"two words", b"\xff\xfe", b"-", "\u{1f600}".as_bytes()];
    program.args(odd.map(OsStr::from_bytes)).arg("x".repeat(100_000));
    run(&mut program).expect_success("arguments");
    let noted = fs::read_to_string(temporary("arguments"))?;
    let lines: Vec<&str> = noted.lines().collect();
    // Itself; a process, a supervisor, a worker; or a template, of which the pool's may be a copy.
    let expected = match context {
        Context::Spawn => 4..=4,
        Context::ForkServer => 2..=3,
        _ => 1..=1,
    };
    assert!(expected.contains(&lines.len()), "{} runs of main", lines.len());
    assert!(lines.iter().all(|line| *line == lines[0]), "before init: {lines:.200?}");
    fs::remove_file(temporary("arguments"))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this program has one thread")]
fn set(name: &str, value: &str) {
    // SAFETY: this program has one thread.
    unsafe { std::env::set_var(name, value) };
}

#[expect(clippy::disallowed_methods, reason = "this program has one thread")]
fn unset(name: &str) {
    // SAFETY: this program has one thread.
    unsafe { std::env::remove_var(name) };
}

/// Program: its environment grows until nothing can be executed any more.
pub(crate) fn large() -> ExitCode {
    offspring::init();
    let context = context_argument(1);
    let refused = |what: &str| {
        let error = context.process().start((), |()| ()).expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::Start, "{what}: {error}");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("os error 7"), "{what}: {cause}");
        let error = context.pool().workers(1).build().expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::Start, "{what}: {error}");
        assert!(descendants_of(std::process::id()).is_empty(), "{what}: no process is left");
    };
    set("LARGE", &"x".repeat(3 << 20));
    refused("one large variable");
    unset("LARGE");
    let many: Vec<String> = (0..100).map(|n| format!("LARGE_{n}")).collect();
    let value = "x".repeat(100_000);
    many.iter().for_each(|name| set(name, &value));
    refused("many variables");
    many.iter().for_each(|name| unset(name));
    let child = context.process().start(1u8, |n| n + 1);
    assert_eq!(child.and_then(offspring::Process::join).expect("it starts again"), 2);
    if context == Context::ForkServer {
        // The template runs already: what does not fit into an exec fits into a message.
        set("LARGE", &"x".repeat(3 << 20));
        let child =
            context.process().start((), |()| std::env::var("LARGE").map(|text| text.len()).ok());
        assert_eq!(child.and_then(offspring::Process::join).expect("it answers"), Some(3 << 20));
    }
    ExitCode::SUCCESS
}

fn too_large_to_start(context: Context) -> Outcome {
    run(command("large").arg(context.to_string())).expect_success("large");
    Ok(())
}
