//! No descriptor left, at every point of a start.

use std::process::ExitCode;

use offspring::{Context, Error, ErrorKind, Process};

use crate::cases;
use crate::harness::leaks::{Snapshot, descendants_of, descriptors};
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome, eventually};
use crate::tools::{argument, run};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    processes_at_the_limit,
    pools_at_the_limit,
];

pub(crate) const CASES_OF_THE_FORK_SERVER: &[Case] = cases![on &[Context::ForkServer] =>
    a_template_at_the_limit,
];

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
