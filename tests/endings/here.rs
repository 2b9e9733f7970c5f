//! Pools that end while their program goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use offspring::{Context, ErrorKind, Phase, Task, TaskError};

use super::left::Before;
use super::wedge::{self, Kind, Wedged};
use crate::harness::{Case, Outcome, PROCESSES};
use crate::torture::{self, Random};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    shut_down,
    terminated,
    dropped,
    dropped_while_unwinding,
];

/// How long a task may take where the pool is shut down.
const GRACE: Duration = Duration::from_millis(500);

/// A way to end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    Shutdown,
    Terminate,
    Drop,
    Unwind,
}

fn shut_down(context: Context) -> Outcome {
    rounds(context, How::Shutdown)
}

fn terminated(context: Context) -> Outcome {
    rounds(context, How::Terminate)
}

fn dropped(context: Context) -> Outcome {
    rounds(context, How::Drop)
}

fn dropped_while_unwinding(context: Context) -> Outcome {
    rounds(context, How::Unwind)
}

fn rounds(context: Context, how: How) -> Outcome {
    torture::no_core_files();
    let mut random = Random::new();
    let (mut times, rounds) = (Vec::new(), torture::scale("OFFSPRING_ENDING_ROUNDS", 1));
    for _ in 0..rounds {
        for raced in [false, true] {
            println!("{how:?}, raced: {raced}");
            times.push(round(context, how, raced, &mut random)?);
        }
    }
    torture::report(format_args!("endings {context} {how:?} {}", torture::summary(&mut times)));
    Ok(())
}

/// What became of the tasks that threads submitted meanwhile.
type Raced = Vec<(u64, Result<u64, TaskError>)>;

fn round(
    context: Context,
    how: How,
    raced: bool,
    random: &mut Random,
) -> Result<Duration, Box<dyn std::error::Error>> {
    let before = Before::take();
    let limit = (how == How::Shutdown).then_some(GRACE);
    let Wedged { pool, ledger, mut tasks } = Wedged::new(context, random, limit)?;
    // Those of the first half are joined by threads meanwhile, if raced.
    let joined = if raced { tasks.split_off(tasks.len() / 2) } else { Vec::new() };
    let mut submitted = Raced::new();
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            for (kind, task) in joined {
                check(how, raced, kind, task);
            }
        });
        match how {
            How::Shutdown => {
                let (took, report) = before.end(|| pool.shutdown());
                let report = report.expect("the pool was whole");
                // As many as were too late.
                let late = report.abnormal_exits().len() as u64;
                assert_eq!(report.replaced(), late, "{report:?}");
                took
            }
            How::Terminate => std::thread::scope(|scope| {
                let thread = raced.then(|| scope.spawn(|| submit_until_ended(&pool)));
                let (took, ()) = before.end(|| pool.terminate());
                before.end(|| pool.terminate());
                if let Some(thread) = thread {
                    submitted = thread.join().expect("all tasks have outcomes");
                }
                took
            }),
            How::Drop => before.end(|| drop(pool)).0,
            How::Unwind => {
                // Without a backtrace, which takes longer than all else.
                let unwind = AssertUnwindSafe(|| {
                    let _pool = pool;
                    resume_unwind(Box::new("on purpose"))
                });
                let (took, panic) = before.end(|| catch_unwind(unwind));
                let panic: Result<(), _> = panic;
                let panic = panic.expect_err("it panicked").downcast::<&str>();
                assert_eq!(*panic.expect("that one"), "on purpose");
                took
            }
        }
    });
    for (kind, task) in tasks {
        check(how, raced, kind, task);
    }
    for (number, result) in submitted {
        let effects = ledger.effects(number);
        match result {
            Ok(answer) => assert_eq!((answer, effects), (number, 1)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                let most = u64::from(error.phase() != Phase::NotStarted);
                assert!(effects <= most, "{effects} effects: {error:?}");
            }
        }
    }
    // Not before: where tasks are too late, other workers come up.
    std::fs::remove_file(wedge::path())?;
    before.check();
    Ok(took)
}

fn check(how: How, raced: bool, kind: Kind, task: Task<String>) {
    let error = match task.join() {
        Ok(text) => {
            // Somebody reads it who joins a task, or shuts the pool down.
            let read = raced || how == How::Shutdown;
            assert!(read && kind == Kind::Writing, "{kind:?} ended by itself");
            assert!(text.bytes().all(|byte| byte == b'w'), "what was written");
            return;
        }
        Err(error) => error,
    };
    let wanted = if how == How::Shutdown { ErrorKind::TimedOut } else { ErrorKind::Cancelled };
    assert_eq!((error.kind(), error.phase()), (wanted, Phase::Started), "{kind:?}: {error:?}");
}

/// Gives the pool small tasks until it takes none, and joins them.
fn submit_until_ended(pool: &offspring::Pool<wedge::Ledger>) -> Raced {
    let mut tasks = Vec::new();
    for number in 0u64.. {
        let submitted = pool.submit(number, |ledger, number| {
            ledger.has_effect(number);
            number
        });
        match submitted {
            Ok(task) => tasks.push((number, task)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                break;
            }
        }
    }
    tasks.into_iter().map(|(number, task)| (number, task.join())).collect()
}
