//! No descriptor left, at every point of a start.

use std::process::ExitCode;

use offspring::{Context, Error, ErrorKind, Process};

use crate::cases;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use crate::harness::leaks::children_of;
use crate::harness::leaks::{Snapshot, descendants_of, descriptors};
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome, eventually, sleep_for_ever};
use crate::tools::{argument, context_argument, run};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    processes_at_the_limit,
    pools_at_the_limit,
    a_limit_that_is_raised_later,
];

pub(crate) const CASES_OF_THE_FORK_SERVER: &[Case] = cases![on &[Context::ForkServer] =>
    a_template_at_the_limit,
    // Elsewhere nobody can lower the limit of another process; and in the portable way a message needs one more on its way, so
    // which start is the first that fails is not known.
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    a_template_without_a_descriptor,
];

fn stay((): ()) {
    sleep_for_ever()
}

/// Sets the soft limit of descriptors, and returns the one before.
fn set_limit(wanted: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let before = std::mem::replace(&mut limit.rlim_cur, wanted);
    // SAFETY: the limit is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    before
}

/// Runs `body` with room for so many descriptors more.
fn with_room_for<T>(more: usize, body: impl FnOnce() -> T) -> T {
    let open = descriptors().len();
    let before = set_limit(libc::rlim_t::try_from(open + more).expect("so few are a limit"));
    let result = body();
    set_limit(before);
    result
}

/// What the lack of descriptors may show as.
#[track_caller]
fn expect_typed(room: usize, error: &Error) {
    let typed = matches!(
        error.kind(),
        ErrorKind::Start | ErrorKind::System | ErrorKind::Died | ErrorKind::Init
    );
    assert!(typed, "room for {room}: {:?}: {error:?}", error.kind());
}

const MOST: usize = 24;

fn processes_at_the_limit(context: Context) -> Outcome {
    let (mut good, mut how) = (0, Vec::new());
    for room in 0..MOST {
        let before = Snapshot::take();
        // Two at once: a fork server may have one ready, which needs little room.
        let result = with_room_for(room, || {
            let first = context.process().start(19u32, |n| n + 1)?;
            let second = context.process().start(0u32, |n| n + 1)?;
            Ok(first.join()? + second.join()?)
        });
        match result {
            Ok(answer) => {
                assert_eq!(answer, 21, "room for {room}");
                good += 1;
            }
            Err(error) => {
                expect_typed(room, &error);
                how.push((room, error.to_string()));
            }
        }
        before.compare().map_err(|leak| format!("room for {room}: {leak}"))?;
        assert_eq!(context.process().start(1u32, |n| n + 1)?.join()?, 2, "with room again");
    }
    assert!(good > 0 && good < MOST, "{good} of {MOST} starts worked: {how:?}");
    Ok(())
}

fn pools_at_the_limit(context: Context) -> Outcome {
    let mut good = 0;
    for room in 0..2 * MOST {
        let before = Snapshot::take();
        let result = with_room_for(room, || -> Result<(), Error> {
            let pool = context.pool().workers(2).init(5u32, |five| five).build()?;
            let mut failed = None;
            for (n, result) in (0u32..).zip(pool.map(0..10u32, |five, n| *five + n)) {
                match result {
                    Ok(sum) => assert_eq!(sum, n + 5, "room for {room}"),
                    Err(error) => failed = Some(error.into()),
                }
            }
            failed.map_or(Ok(()), Err)
        });
        match result {
            Ok(()) => good += 1,
            Err(error) => expect_typed(room, &error),
        }
        before.compare().map_err(|leak| format!("room for {room}: {leak}"))?;
    }
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.map([1u8], |(), n| n).next().expect("one")?, 1, "with room again");
    assert!(good > 0 && good < 2 * MOST, "{good} of {} pools worked", 2 * MOST);
    Ok(())
}

/// Program: the first use of the fork server, with little room.
pub(crate) fn cold_template() -> ExitCode {
    offspring::init();
    let room: usize = argument(1).parse().expect("a number");
    let before = descriptors();
    let start = || Context::ForkServer.process().start(20u32, |n| n + 1).and_then(Process::join);
    match with_room_for(room, start) {
        Ok(answer) => assert_eq!(answer, 21, "room for {room}"),
        Err(error) => {
            expect_typed(room, &error);
            // A template may be there, or none.
            eventually("no child is left", || descendants_of(std::process::id()).len() <= 1);
            if descendants_of(std::process::id()).is_empty() {
                assert_eq!(descriptors(), before, "room for {room}");
            }
        }
    }
    assert_eq!(start().expect("it starts with room"), 21);
    ExitCode::SUCCESS
}

fn a_template_at_the_limit(_: Context) -> Outcome {
    for room in 0..MOST {
        run(command("cold_template").arg(room.to_string())).expect_success("cold_template");
    }
    Ok(())
}

/// How many descriptors this process may have.
fn limit((): ()) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    as_number(limit.rlim_cur)
}

/// Out of the type that the system has for limits, which has a sign on FreeBSD.
fn as_number<T: TryInto<u64>>(limit: T) -> u64 {
    limit.try_into().unwrap_or(u64::MAX)
}

/// Program: starts more children than it could have descriptors for when it started the first.
pub(crate) fn raised() -> ExitCode {
    const FEW: usize = 48;
    const MANY: usize = 512;
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = context_argument(1);
    let wanted = |limit: usize| libc::rlim_t::try_from(limit).expect("a limit");
    set_limit(wanted(FEW));
    let first = context.process().start((), limit).and_then(Process::join);
    assert_eq!(first.expect("it starts"), FEW as u64);
    set_limit(wanted(MANY));
    let mut children = Vec::new();
    for n in 0..60 {
        let child = context.process().start((), stay);
        children.push(child.unwrap_or_else(|error| panic!("child {n}: {error:?}")));
    }
    for (n, child) in children.iter_mut().enumerate() {
        assert!(child.is_alive(), "child {n}: {}", child.id());
    }
    drop(children);
    // What the child has is what its owner has, also where another process is its parent.
    for limit_now in [MANY, FEW] {
        set_limit(wanted(limit_now));
        let told = context.process().start((), limit).and_then(Process::join);
        assert_eq!(told.expect("it starts"), limit_now as u64);
    }
    ExitCode::SUCCESS
}

fn a_limit_that_is_raised_later(context: Context) -> Outcome {
    run(command("raised").arg(context.to_string())).expect_success("raised");
    Ok(())
}

/// The start that finds none fails, and costs nobody else anything.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn a_template_without_a_descriptor(context: Context) -> Outcome {
    let add_one = || context.process().start(1u8, |n| n + 1).and_then(Process::join);
    assert_eq!(add_one()?, 2);
    let template = *children_of(std::process::id()).first().ok_or("a template")?;
    let few = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
    let (pid, nowhere) = (i32::try_from(template)?, std::ptr::null_mut());
    // SAFETY: the limit is valid, and the one before is not wanted.
    assert_eq!(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const few, nowhere) }, 0);
    let mut children = Vec::new();
    let error = loop {
        assert!(children.len() < 100, "there is a limit");
        match context.process().start((), stay) {
            Ok(child) => children.push(child),
            Err(error) => break error,
        }
    };
    assert!(children.len() > 10, "{}: {error:?}", children.len());
    for _ in 0..3 {
        let again = add_one().expect_err("there is none still");
        for error in [&error, &again] {
            assert_eq!(error.kind(), ErrorKind::Start, "{error}");
            assert_eq!(error.context(), Some(context), "{error}");
            assert!(error.to_string().contains("ulimit -n"), "{error}");
        }
        for child in &mut children {
            assert!(child.is_alive(), "{}", child.id());
        }
    }
    // Room for the one that is kept ready, too.
    for child in children.drain(..2) {
        child.kill()?;
        assert_eq!(child.join().unwrap_err().signal(), Some(libc::SIGKILL));
    }
    assert_eq!(add_one()?, 2);
    drop(children);
    assert_eq!(children_of(std::process::id()), [template].into());
    Ok(())
}
