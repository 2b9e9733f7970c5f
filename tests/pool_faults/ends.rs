//! How pools end: with wedged tasks, while unwinding, with running tasks, and when their supervisor is
//! lost. That nothing is left is checked after each case.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool};
use serde::{Deserialize, Serialize};

use crate::harness::{self, Outcome};
use crate::{Scratch, kill, lines, note, with_supervisor};

/// What a task does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Act {
    /// Waits until so many others have begun.
    Watch(usize),
    Spin,
    Sleep,
    BlockSignals,
    Stop,
    /// Takes a while, and then leaves a line.
    Linger,
}

fn act((act, log): (Act, PathBuf)) {
    if let Act::Watch(count) = act {
        let begun = || lines(&log).iter().filter(|line| *line == "begun").count();
        harness::eventually("the others begin", || begun() == count);
        return;
    }
    note(&log, "begun");
    match act {
        Act::Watch(_) => {}
        Act::Spin => harness::spin_for_ever(),
        Act::Sleep => harness::sleep_for_ever(),
        Act::BlockSignals => {
            // SAFETY: all zeroes is a valid set of signals.
            let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
            // SAFETY: `set` is one.
            unsafe { libc::sigfillset(&raw mut set) };
            // SAFETY: `set` is filled, and the old one is not asked for.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
            };
            harness::spin_for_ever()
        }
        Act::Stop => kill(std::process::id(), libc::SIGSTOP),
        Act::Linger => {
            std::thread::sleep(Duration::from_millis(100));
            note(&log, "end");
        }
    }
}

/// A pool all of whose workers but one are in these tasks.
fn busy(context: Context, acts: &[Act], log: &Scratch) -> offspring::Result<Pool<()>> {
    let pool = context.pool().workers(acts.len() + 1).build()?;
    let mut tasks = vec![(Act::Watch(acts.len()), log.path())];
    tasks.extend(acts.iter().map(|act| (*act, log.path())));
    let mut results = pool.map(tasks, |(), task| act(task));
    results.next().expect("the watching task has an outcome")?;
    drop(results);
    Ok(pool)
}

const WEDGED: [Act; 4] = [Act::Spin, Act::Sleep, Act::BlockSignals, Act::Stop];

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn drop_ends_wedged_tasks(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = busy(context, &WEDGED, &log)?;
    drop(pool);
    assert_eq!(log.lines(), ["begun"; 4]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn drop_while_unwinding(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = busy(context, &WEDGED, &log)?;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let pool = pool;
        let _results = pool.map(0..100u8, |(), n| n);
        panic!("on purpose")
    }));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn drop_before_any_worker_is_up(context: Context) -> Outcome {
    for workers in [1, 8] {
        let (pool, supervisor) = with_supervisor(|| context.pool().workers(workers).build());
        drop(pool?);
        assert!(!harness::leaks::is_alive(supervisor));
        context.pool().workers(workers).build()?.shutdown()?;
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn shutdown_waits_for_running_tasks(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = busy(context, &[Act::Linger, Act::Linger], &log)?;
    let report = pool.shutdown()?;
    let ends = log.lines().iter().filter(|line| *line == "end").count();
    assert_eq!(ends, 2, "both tasks that had begun also ended: {:?}", log.lines());
    assert_eq!((report.tasks(), report.replaced()), (3, 0));
    assert_eq!(report.abnormal_exits(), []);
    Ok(())
}

/// A pool may live for years, and its tasks end workers each second.
#[offspring::test(contexts(Fork))]
fn a_report_stays_small(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..1050u64, |(), n| -> u64 {
        std::process::exit(i32::try_from(n % 200 + 1).expect("a status"))
    });
    let died =
        results.filter(|result| matches!(result, Err(error) if error.kind() == ErrorKind::Died));
    assert_eq!(died.count(), 1050);
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (1050, 1050));
    let last = report.abnormal_exits().last().copied();
    assert_eq!(report.abnormal_exits().len(), 1000, "the last ones");
    assert!(matches!(last, Some(offspring::Exit::Code(_))), "{last:?}");
    Ok(())
}

/// The supervisor of a pool may be a copy of the template, and then ends with it.
#[offspring::test(contexts(ForkServer))]
fn a_lost_template(context: Context) -> Outcome {
    for round in 0..5 {
        assert_eq!(context.process().start(1, |n| n + 1)?.join()?, 2);
        let pool = context.pool().workers(2).build()?;
        let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
        let children = harness::leaks::children_of(std::process::id());
        let is_template =
            |pid: &u32| name(pid).is_ok_and(|name| name.starts_with("offspring-templ"));
        let template = children.into_iter().find(is_template).expect("it was used");
        if round > 0 {
            assert_eq!(pool.map(0..20u64, |(), n| n).filter(Result::is_ok).count(), 20);
        }
        kill(template, libc::SIGKILL);
        for (n, result) in (0..).zip(pool.map(0..50u64, |(), n| n)) {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(error) => {
                    let kinds = [ErrorKind::Died, ErrorKind::Start];
                    assert!(kinds.contains(&error.kind()), "round {round}: {error}");
                }
            }
        }
        drop(pool);
        // Both as ever, with another template.
        assert_eq!(context.process().start(1, |n| n + 1)?.join()?, 2);
        let pool = context.pool().workers(2).build()?;
        assert_eq!(pool.map(0..20u64, |(), n| n).filter(Result::is_ok).count(), 20);
        pool.shutdown()?;
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_lost_supervisor_is_an_error(context: Context) -> Outcome {
    let (pool, supervisor) = with_supervisor(|| context.pool().workers(2).build());
    let pool = pool?;
    assert_eq!(pool.map(0..20u64, |(), n| n).filter(Result::is_ok).count(), 20);
    kill(supervisor, libc::SIGKILL);
    harness::eventually("the supervisor ends", || !harness::leaks::is_alive(supervisor));
    // Workers go on answering until this process has noticed: so there is always one more input.
    let (lost, taken) = (Cell::new(false), Cell::new(0));
    let inputs = std::iter::from_fn(|| (!lost.get()).then(|| taken.replace(taken.get() + 1)));
    let mut given = 0;
    for result in pool.map(inputs, |(), n: u64| n) {
        match result {
            Ok(value) => assert_eq!(value, given),
            Err(error) => {
                // Perhaps that of a task which had begun.
                assert_eq!((error.kind(), error.index()), (ErrorKind::Died, given), "{error}");
                lost.set(true);
            }
        }
        given += 1;
    }
    assert_eq!(given, taken.get(), "each input has an outcome");
    // From then on nobody answers, and each error says why.
    for count in [50, 1] {
        let results: Vec<_> = pool.map(0..count, |(), n: u64| n).collect();
        assert_eq!(results.len() as u64, count);
        for (n, result) in (0..).zip(results) {
            let error = result.expect_err("the pool is lost");
            assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
            assert!(error.to_string().contains("supervisor"), "{error}");
        }
    }
    assert_eq!(pool.shutdown().unwrap_err().kind(), ErrorKind::Died);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_lost_supervisor_of_a_busy_pool(context: Context) -> Outcome {
    let (pool, supervisor) = with_supervisor(|| context.pool().workers(4).build());
    let pool = pool?;
    let mut results = pool.map(0..5000u64, |(), n| {
        std::thread::sleep(Duration::from_micros(500));
        n
    });
    for n in 0..40 {
        assert_eq!(results.next().unwrap()?, n);
    }
    kill(supervisor, libc::SIGKILL);
    let (mut good, mut bad) = (40, 0);
    for (n, result) in (40..).zip(results) {
        match result {
            Ok(value) => {
                assert_eq!(value, n);
                good += 1;
            }
            Err(error) => {
                assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
                bad += 1;
            }
        }
    }
    assert_eq!(good + bad, 5000, "{good} succeeded, {bad} failed");
    assert!(bad > 0, "the supervisor was killed in the middle");
    assert_eq!(pool.shutdown().unwrap_err().kind(), ErrorKind::Died);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_stopped_supervisor_does_not_keep_a_pool_alive(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let (pool, supervisor) = with_supervisor(|| busy(context, &[Act::Spin], &log));
    let pool = pool?;
    kill(supervisor, libc::SIGSTOP);
    drop(pool);
    assert!(!harness::leaks::is_alive(supervisor));
    Ok(())
}

/// With one processor for all, what becomes of the first worker is often known when the pool is greeted by its
/// supervisor.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn first_workers_that_end_at_once(context: Context) -> Outcome {
    #[cfg(target_os = "linux")]
    on_one_processor()?;
    for round in 0..30 {
        let builder = context.pool().workers(1).restart_budget(0);
        let pool = builder.try_init((), |()| Err::<(), _>("not today".to_owned())).build()?;
        let error = match pool.submit((), |(), ()| ()) {
            Ok(task) => task.join().expect_err("no worker comes up").to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains("not today"), "round {round}: {error}");
    }
    Ok(())
}

/// Keeps this process, and those that it starts, on one processor.
#[cfg(target_os = "linux")]
fn on_one_processor() -> std::io::Result<()> {
    // SAFETY: all zeroes is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of_val(&set);
    // SAFETY: the set has that size.
    let asked = unsafe { libc::sched_getaffinity(0, size, &raw mut set) };
    // SAFETY: the numbers are below the size of the set.
    let first = (0..1024).find(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) });
    let (0, Some(first)) = (asked, first) else { return Err(std::io::Error::last_os_error()) };
    // SAFETY: all zeroes is a valid, empty set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: below the size of the set.
    unsafe { libc::CPU_SET(first, &mut one) };
    // SAFETY: the set has that size.
    match unsafe { libc::sched_setaffinity(0, size, &raw const one) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
