//! What `main` can do wrong before, instead of, and around `init`.

use std::fs;
use std::process::ExitCode;

use offspring::{Context, Error, ErrorKind, Exit};

use crate::harness::leaks::{children_of, descendants_of};
use crate::harness::programs::command;
use crate::harness::{Case, Outcome};
use crate::tools::{argument, context_argument, run, temporary};
use crate::{BY_EXEC, ONCE, cases};

pub(crate) const CASES: &[Case] = cases![on ONCE =>
    workers_that_end_before_hello,
    workers_that_hang_before_hello,
    init_forgotten,
    init_twice,
    promise_forgotten,
];

pub(crate) const CASES_BY_EXEC: &[Case] = cases![on BY_EXEC =>
    a_child_that_ends_before_hello,
    init_after_other_code,
];

/// Whether this process is a child that has not reached `init`.
fn is_child() -> bool {
    std::env::var_os("OFFSPRING_CHILD").is_some()
}

#[expect(clippy::exit, reason = "it is about that")]
fn end_early(how: &str) -> ExitCode {
    match how {
        "exit" => std::process::exit(7),
        "abort" => std::process::abort(),
        "panic" => panic!("before init"),
        "return" => ExitCode::SUCCESS,
        "hang" => loop {
            std::thread::park();
        },
        _ => unreachable!("{how}"),
    }
}

fn expected_exit(how: &str, exit: Option<Exit>) -> bool {
    match how {
        "exit" => exit == Some(Exit::Code(7)),
        "abort" => matches!(exit, Some(Exit::Signal { signal: libc::SIGABRT, .. })),
        "panic" => exit == Some(Exit::Code(101)),
        "return" => exit == Some(Exit::Code(0)),
        _ => unreachable!("{how}"),
    }
}

/// Program: a child of it does not reach `init`.
pub(crate) fn dies() -> ExitCode {
    let (how, context) = (argument(1), context_argument(2));
    if is_child() {
        return end_early(&how);
    }
    offspring::init();
    let check = |what: &str, error: &Error| {
        assert_eq!(error.kind(), ErrorKind::Start, "{what}: {error}");
        assert!(expected_exit(&how, error.exit()), "{what}, {how}: {:?}", error.exit());
        assert!(error.to_string().contains("offspring::init()"), "{what}: {error}");
    };
    // The limit is longer than the case may take: what ends at once does not wait for it.
    let builder = context.process().start_timeout(std::time::Duration::from_secs(3600));
    check("a process", &builder.start((), |()| ()).expect_err("it cannot start"));
    check("a pool", &context.pool().workers(2).build().expect_err("it cannot start"));
    assert!(descendants_of(std::process::id()).is_empty(), "no process is left");
    ExitCode::SUCCESS
}

fn a_child_that_ends_before_hello(context: Context) -> Outcome {
    for how in ["exit", "abort", "panic", "return"] {
        run(command("dies").arg(how).arg(context.to_string())).expect_success(how);
    }
    Ok(())
}

/// Program: workers of a pool do not reach `init`, its supervisor does.
pub(crate) fn workers_die() -> ExitCode {
    let how = argument(1);
    let parent = std::os::unix::process::parent_id();
    let parent = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if is_child() && parent.starts_with("offspring-super") {
        return end_early(&how);
    }
    offspring::init();
    let pool = Context::Spawn.pool().workers(2).build().expect("the supervisor starts");
    for result in pool.map(0..4u8, |(), n| n) {
        let error = result.expect_err("no worker starts");
        assert_eq!(error.kind(), ErrorKind::Start, "{error}");
        assert_eq!(error.phase(), offspring::Phase::NotStarted, "{error}");
        assert!(expected_exit(&how, error.exit()), "{how}: {:?}", error.exit());
    }
    assert_eq!(pool.shutdown().expect_err("it is broken").kind(), ErrorKind::Start);
    assert!(descendants_of(std::process::id()).is_empty(), "no process is left");
    ExitCode::SUCCESS
}

/// Program: workers of a pool hang before `init`, its supervisor does not.
pub(crate) fn workers_hang() -> ExitCode {
    let parent = std::os::unix::process::parent_id();
    let parent = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    let is_worker = is_child() && parent.starts_with("offspring-super");
    let is_first = || fs::File::create_new(temporary("first")).is_ok();
    if is_worker && (argument(1) == "all" || is_first()) {
        return end_early("hang");
    }
    offspring::init();
    let limit = std::time::Duration::from_secs(3);
    let pool = Context::Spawn.pool().workers(1).start_timeout(limit).build();
    let pool = pool.expect("the supervisor starts");
    let results: Vec<_> = pool.map(0..4u8, |(), n| n).collect();
    if argument(1) == "all" {
        for result in results {
            let error = result.expect_err("no worker starts");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        }
        assert_eq!(pool.shutdown().expect_err("it is broken").kind(), ErrorKind::TimedOut);
    } else {
        let results: Result<Vec<_>, _> = results.into_iter().collect();
        assert_eq!(results.expect("the second worker starts"), [0, 1, 2, 3]);
        assert!(pool.shutdown().expect("it is whole").replaced() > 0, "the first did not");
        fs::remove_file(temporary("first")).expect("there was a first");
    }
    assert!(descendants_of(std::process::id()).is_empty(), "no process is left");
    ExitCode::SUCCESS
}

/// They have not tied themselves to their lifeline yet: somebody has to end them.
fn workers_that_hang_before_hello(_: Context) -> Outcome {
    for how in ["all", "first"] {
        run(command("workers_hang").arg(how)).expect_success(how);
    }
    Ok(())
}

fn workers_that_end_before_hello(_: Context) -> Outcome {
    for how in ["exit", "abort", "return"] {
        run(command("workers_die").arg(how)).expect_success(how);
    }
    Ok(())
}

/// Program: never calls `init`, and notes each run of its `main`.
pub(crate) fn forgotten() -> ExitCode {
    note_run();
    for context in BY_EXEC {
        let error = context.process().start((), |()| ()).expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::NotInitialized, "{context}: {error}");
        assert_eq!(error.context(), Some(*context));
        let error = context.pool().workers(2).build().expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::NotInitialized, "{context} pool: {error}");
        assert!(error.to_string().contains("offspring::init()"), "{error}");
    }
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    for context in [Context::Fork, Context::Inline] {
        let sum = context.process().start((1, 2), |(a, b): (u8, u8)| a + b);
        assert_eq!(sum.and_then(offspring::Process::join).expect("it needs no init"), 3);
    }
    let nested = Context::Fork.process().start((), |()| {
        Context::Spawn
            .process()
            .start((), |()| ())
            .map_err(|error| format!("{:?}", error.kind()))
            .map(drop)
    });
    let nested = nested.and_then(offspring::Process::join).expect("it needs no init");
    assert_eq!(nested, Err("NotInitialized".to_owned()), "in a forked child");
    assert!(children_of(std::process::id()).is_empty(), "no process is left");
    ExitCode::SUCCESS
}

/// Adds a line to a file, for each process that runs `main`.
fn note_run() {
    use std::io::Write;
    let file = fs::OpenOptions::new().append(true).create(true).open(temporary("runs"));
    file.and_then(|mut file| file.write_all(b"run\n")).expect("the run is noted");
}

fn runs() -> usize {
    let runs = fs::read_to_string(temporary("runs")).expect("runs were noted").lines().count();
    fs::remove_file(temporary("runs")).expect("the file can be removed");
    runs
}

fn init_forgotten(_: Context) -> Outcome {
    run(&mut command("forgotten")).expect_success("forgotten");
    assert_eq!(runs(), 1, "only the program itself ran main");
    Ok(())
}

/// Program: prints, without and with a newline, before `init`.
#[expect(clippy::print_stdout, reason = "it is about what is printed")]
pub(crate) fn late() -> ExitCode {
    let context = context_argument(1);
    note_run();
    println!("line");
    print!("part;");
    offspring::init();
    for n in 0..3u8 {
        let child = context.process().start(n, |n| n + 1).expect("it starts");
        assert_eq!(child.join().expect("it answers"), n + 1);
    }
    let pool = context.pool().workers(2).build().expect("it starts");
    let all: Vec<u8> = pool.map(0..8, |(), n: u8| n).map(|n| n.expect("it runs")).collect();
    assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7]);
    pool.shutdown().expect("it ends");
    ExitCode::SUCCESS
}

fn init_after_other_code(context: Context) -> Outcome {
    let output = run(command("late").arg(context.to_string())).expect_success("late");
    let runs = runs();
    // The program itself; then three processes, a supervisor and up to two workers, or a template, of which the pool's may
    // be a copy.
    let expected = if context == Context::Spawn { 6..=7 } else { 2..=3 };
    assert!(expected.contains(&runs), "{runs} processes ran main");
    for what in ["line\n", "part;"] {
        let count = output.matches(what).count();
        // Workers that were not needed may be ended before they print.
        assert!(count <= runs, "{what:?} {count} times, by {runs} processes:\n{output}");
    }
    if context == Context::ForkServer {
        assert_eq!(output.matches("part;").count(), runs, "{output}");
    }
    Ok(())
}

/// Program: calls `init` several times.
pub(crate) fn twice() -> ExitCode {
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    offspring::init();
    for context in Context::ALL {
        let child = context.process().start(1u8, |n| {
            offspring::init();
            n + 1
        });
        assert_eq!(child.and_then(offspring::Process::join).expect("it answers"), 2, "{context}");
        let pool = context.pool().workers(1).init((), |()| offspring::init()).build();
        let pool = pool.expect("it starts");
        let all: Result<Vec<u8>, _> = pool
            .map([1u8], |(), n| {
                offspring::init();
                n
            })
            .collect();
        assert_eq!(all.expect("it runs"), [1], "{context}");
    }
    ExitCode::SUCCESS
}

fn init_twice(_: Context) -> Outcome {
    run(&mut command("twice")).expect_success("twice");
    Ok(())
}

/// Program: never calls `allow_fork`.
pub(crate) fn no_promise() -> ExitCode {
    offspring::init();
    let error = Context::Fork.process().start((), |()| ()).expect_err("it is not allowed");
    assert_eq!(error.kind(), ErrorKind::ForkNotAllowed, "{error}");
    assert!(error.to_string().contains("allow_fork"), "{error}");
    let error = Context::Fork.pool().workers(1).build().expect_err("it is not allowed");
    assert_eq!(error.kind(), ErrorKind::ForkNotAllowed, "{error}");
    // A child has the promise of its program, and no more; also one that was forked by a template.
    for context in BY_EXEC {
        let kind = context.process().start((), |()| {
            let error = Context::Fork.process().start((), |()| ()).map(drop);
            error.map_err(|error| format!("{:?}", error.kind()))
        });
        let kind = kind.and_then(offspring::Process::join).expect("it answers");
        assert_eq!(kind, Err("ForkNotAllowed".to_owned()), "in a child of {context}");
    }
    ExitCode::SUCCESS
}

fn promise_forgotten(_: Context) -> Outcome {
    run(&mut command("no_promise")).expect_success("no_promise");
    Ok(())
}
