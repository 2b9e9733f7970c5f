//! How workers start: initialisers that fail in every way, for ever or at first; how often they are
//! tried; and what is in place when they run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, Error, ErrorKind, Phase, Pool};
use serde::{Deserialize, Deserializer, Serialize};

use crate::harness::{self, Outcome};
use crate::{Death, Scratch, count, note, told};

/// How an initialiser fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fault {
    Error,
    Panic,
    Die(Death),
    Hang,
}

impl Fault {
    fn happen(self) -> Result<u64, String> {
        match self {
            Self::Error => Err("no database at port 5432".into()),
            Self::Panic => panic!("no database at port 5432"),
            Self::Die(death) => death.die(),
            Self::Hang => harness::sleep_for_ever(),
        }
    }

    /// Whether an error tells what happened.
    fn check(self, error: &Error) {
        let kind = if self == Self::Hang { ErrorKind::TimedOut } else { ErrorKind::Init };
        assert_eq!((error.kind(), error.phase()), (kind, Phase::NotStarted), "{self:?}: {error}");
        let text = error.to_string();
        match self {
            Self::Error => assert!(text.contains("no database at port 5432"), "{text}"),
            Self::Panic => {
                assert!(text.contains("no database at port 5432"), "{text}");
                let panic = error.panic().unwrap_or_else(|| panic!("no panic in {error:?}"));
                assert!(panic.location().unwrap().contains("starts.rs"), "{panic}");
            }
            Self::Die(death) => assert_eq!(told(error.exit()), death.exit(), "{text}"),
            Self::Hang => assert_eq!(error.signal(), Some(libc::SIGKILL), "{text}"),
        }
    }
}

/// Whatever is asked of the pool, it says why not.
fn nothing_works(pool: &Pool<u64>, check: impl Fn(&Error)) {
    let context = pool.context();
    for round in 0..2 {
        let mut outcomes = 0;
        for (n, result) in (0..).zip(pool.map(0..20u64, |state, n| *state + n)) {
            let error = result.expect_err("no worker has a state");
            assert_eq!((error.index(), error.context()), (n, Some(context)), "{error}");
            check(&error);
            outcomes += 1;
        }
        assert_eq!(outcomes, 20, "round {round}");
    }
    match pool.submit(7, |state, n: u64| *state + n) {
        Ok(task) => check(&task.join().expect_err("no worker has a state")),
        Err(error) => check(&error),
    }
    match pool.broadcast(7, |state, n: u64| *state + n) {
        Ok(results) => {
            for result in results {
                check(&result.expect_err("no worker has a state"));
            }
        }
        Err(error) => check(&error),
    }
    if context.is_isolated() {
        check(&pool.ready(Duration::from_secs(60)).expect_err("no worker can be ready"));
    }
}

#[offspring::test]
fn the_text_of_an_error(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let init = |log: PathBuf| {
        note(&log, std::process::id());
        Fault::Error.happen()
    };
    let pool = context.pool().workers(3).try_init(log.path(), init).build()?;
    nothing_works(&pool, |error| Fault::Error.check(error));
    if context.is_isolated() {
        Fault::Error.check(&pool.shutdown().unwrap_err());
        // Three, and two that took the place of others.
        let made = log.lines().len();
        assert!((3..=5).contains(&made), "{made} processes");
    }
    Ok(())
}

#[offspring::test]
fn a_panic_in_an_initialiser(context: Context) -> Outcome {
    let init = |()| Fault::Panic.happen().unwrap_or(0);
    let pool = context.pool().workers(2).init((), init).build()?;
    nothing_works(&pool, |error| Fault::Panic.check(error));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn restart_budgets(context: Context) -> Outcome {
    let faults = [Fault::Error, Fault::Panic].into_iter().chain(Death::ALL.map(Fault::Die));
    for fault in faults {
        for (budget, workers) in [(0, 1), (0, 3), (1, 2), (4, 1)] {
            let log = Scratch::new("log");
            let pool = context
                .pool()
                .workers(workers)
                .restart_budget(budget)
                .try_init((fault, log.path()), |(fault, log): (Fault, PathBuf)| {
                    note(&log, std::process::id());
                    fault.happen()
                })
                .build()?;
            nothing_works(&pool, |error| fault.check(error));
            fault.check(&pool.shutdown().unwrap_err());
            let made = log.lines().len();
            let allowed = budget as usize + 1..=budget as usize + workers;
            assert!(
                allowed.contains(&made),
                "{fault:?}, budget {budget}, {workers} workers: {made} processes, not {allowed:?}"
            );
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn an_initialiser_that_hangs(context: Context) -> Outcome {
    for (budget, workers) in [(0, 2), (2, 1)] {
        let pool = context
            .pool()
            .workers(workers)
            .restart_budget(budget)
            .init_timeout(Duration::from_millis(100))
            .try_init((), |()| Fault::Hang.happen())
            .build()?;
        nothing_works(&pool, |error| {
            Fault::Hang.check(error);
            assert!(error.to_string().contains("100ms"), "{error}");
        });
        Fault::Hang.check(&pool.shutdown().unwrap_err());
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn hanging_initialisers_end_with_the_pool(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(3)
        .try_init(log.path(), |log: PathBuf| {
            note(&log, "begun");
            Fault::Hang.happen()
        })
        .build()?;
    // What is asked of the pool also tells its workers who they are, should that not have left it at once.
    harness::eventually("all are in their initialisers", || {
        pool.ready(Duration::ZERO).is_err() && log.lines().len() == 3
    });
    let error = pool.ready(Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let task = pool.submit(1, |state, n: u64| *state + n)?;
    drop(pool);
    let error = task.join().unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::NotStarted));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn an_initialiser_that_hangs_at_first(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(1)
        .init_timeout(Duration::from_secs(3))
        .try_init(log.path(), |log: PathBuf| match count(&log, "begun") {
            0 => Fault::Hang.happen(),
            _ => Ok(5),
        })
        .build()?;
    for (n, result) in (0..).zip(pool.map(0..50u64, |five, n| *five + n)) {
        assert_eq!(result?, n + 5);
    }
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (50, 1));
    assert_eq!(report.abnormal_exits().len(), 1, "{report:?}");
    assert_eq!(log.lines().len(), 2);
    Ok(())
}

#[offspring::test]
fn two_failures_and_then_success(context: Context) -> Outcome {
    let faults = [Fault::Error, Fault::Panic].into_iter().chain(Death::ALL.map(Fault::Die));
    let faults = faults.filter(|fault| context.is_isolated() || !matches!(fault, Fault::Die(_)));
    for fault in faults {
        let log = Scratch::new("log");
        let pool = context
            .pool()
            .workers(1)
            .try_init((fault, log.path()), |(fault, log): (Fault, PathBuf)| {
                match count(&log, "begun") {
                    0 | 1 => fault.happen(),
                    before => Ok(before as u64),
                }
            })
            .build()?;
        let results: Vec<_> = pool.map(0..30u64, |two, n| *two + n).collect();
        assert_eq!(results.len(), 30);
        for (n, result) in (0..).zip(results) {
            match result {
                // On Inline there is no other worker to try: who finds out gets the error.
                Err(error) if !context.is_isolated() && n < 2 => fault.check(&error),
                result => assert_eq!(result?, n + 2, "{fault:?}"),
            }
        }
        let report = pool.shutdown()?;
        let replaced = if context.is_isolated() { 2 } else { 0 };
        assert_eq!((report.tasks(), report.replaced()), (30, replaced), "{fault:?}");
        assert_eq!(log.lines().len(), 3, "{fault:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn only_failures_in_a_row_count(context: Context) -> Outcome {
    // Every second start fails, many times, and one failure is allowed.
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(1)
        .restart_budget(1)
        .tasks_per_worker(1)
        .try_init(log.path(), |log: PathBuf| match count(&log, "begun") % 2 {
            0 => Err("every second time".to_owned()),
            _ => Ok(1u64),
        })
        .build()?;
    for (n, result) in (0..).zip(pool.map(0..15u64, |one, n| *one + n)) {
        assert_eq!(result?, n + 1);
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_comes_up_is_no_reason_to_give_up(context: Context) -> Outcome {
    // With no budget at all, replacements after tasks that die are not failures to come up.
    let pool = context.pool().workers(2).restart_budget(0).init(3u64, |three| three).build()?;
    for (n, result) in (0..).zip(pool.map(0..40u64, |three, n| {
        if n % 5 == 4 {
            Death::Abort.die()
        }
        *three * n
    })) {
        match result {
            Ok(value) => assert_eq!(value, 3 * n),
            Err(error) => assert_eq!((error.kind(), n % 5), (ErrorKind::Died, 4), "{error}"),
        }
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn once_in_each_worker_and_again_in_replacements(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(3)
        .init(log.path(), |log| {
            note(&log, std::process::id());
            let worker = offspring::worker().expect("an initialiser runs in a worker");
            (std::process::id(), worker.index(), worker.generation())
        })
        .build()?;
    let mut died = 0;
    for (n, result) in (0..).zip(pool.map(0..60u64, |state, n| {
        if n % 10 == 9 {
            Death::Abort.die()
        }
        let worker = offspring::worker().expect("a task runs in a worker");
        (*state, (std::process::id(), worker.index(), worker.generation()))
    })) {
        match result {
            Ok((made, now)) => assert_eq!(made, now, "task {n}: the state is of this worker"),
            Err(error) => {
                assert_eq!((error.kind(), n % 10), (ErrorKind::Died, 9), "{error}");
                died += 1;
            }
        }
    }
    assert_eq!(died, 6);
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 6);
    let made = log.lines();
    assert_eq!(made.len(), 9, "three workers and six replacements");
    let pids: BTreeSet<_> = made.iter().collect();
    assert_eq!(pids.len(), made.len(), "an initialiser ran twice in one process: {made:?}");
    Ok(())
}

/// Tells when it is decoded.
#[derive(Serialize)]
struct Arguments(PathBuf);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let log = PathBuf::deserialize(deserializer)?;
        tell(&log, "decode");
        Ok(Self(log))
    }
}

const MARK: &str = "OFFSPRING_TEST_MARK";

/// Leaves a line about what is in place.
fn tell(log: &std::path::Path, what: &str) {
    let mark = std::env::var(MARK).unwrap_or_default();
    let directory = std::env::current_dir().expect("there is one");
    let here = directory == log.parent().expect("a file in a directory").join("elsewhere");
    let worker = offspring::worker().map(|worker| (worker.index(), worker.tasks_done()));
    note(log, format_args!("{what}: mark {mark:?}, there {here}, worker {worker:?}"));
}

#[offspring::test]
fn the_order_of_a_start(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let directory = std::fs::canonicalize(std::env::temp_dir())?.join("elsewhere");
    std::fs::create_dir(&directory)?;
    let path = directory.parent().expect("it is in another").join("log");
    let pool = context
        .pool()
        .workers(1)
        .env(MARK, "set")
        .current_dir(&directory)
        .init(Arguments(path), |Arguments(log)| {
            tell(&log, "init");
            log
        })
        .exit(|log| tell(&log, "exit"))
        .build()?;
    for result in pool.map(0..2, |log, _: u8| tell(log, "task")) {
        result?;
    }
    pool.shutdown()?;
    std::fs::remove_dir(&directory)?;
    // The same list on every context, except that Inline changes nothing in this process, and that Fork has
    // nothing to decode.
    let around = match context {
        Context::Inline => "mark \"\", there false",
        _ => "mark \"set\", there true",
    };
    let decoded = (context != Context::Fork).then_some(("decode", "Some((0, 0))"));
    let then = [
        ("init", "Some((0, 0))"),
        ("task", "Some((0, 0))"),
        ("task", "Some((0, 1))"),
        ("exit", if context.is_isolated() { "Some((0, 2))" } else { "None" }),
    ];
    let expected = decoded.into_iter().chain(then);
    let expected = expected.map(|(what, worker)| format!("{what}: {around}, worker {worker}"));
    assert_eq!(log.lines(), expected.collect::<Vec<_>>());
    Ok(())
}
