//! Deadlines of tasks: counted from where a task begins, kept by the supervisor also when this process
//! is busy, and paid for by nobody but the task that is late.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Phase, Task};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use crate::harness::props::stop;
use crate::harness::{self, Outcome};
use crate::{Scratch, kill, note};

const LIMIT: Duration = Duration::from_millis(500);
/// For tasks that must not be late: a busy machine may stop one that is short for a while.
const AMPLE: Duration = Duration::from_secs(2);

/// How a task is late.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Late {
    Spin,
    Sleep,
    BlockSignals,
    Stop,
}

impl Late {
    const ALL: [Self; 4] = [Self::Spin, Self::Sleep, Self::BlockSignals, Self::Stop];

    fn be(self) -> ! {
        match self {
            Self::Spin => harness::spin_for_ever(),
            Self::Sleep => harness::sleep_for_ever(),
            Self::BlockSignals => {
                // SAFETY: all zeroes is a valid set of signals.
                let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
                // SAFETY: `set` is one.
                unsafe { libc::sigfillset(&raw mut set) };
                // SAFETY: `set` is filled, and the old one is not asked for.
                unsafe {
                    libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
                };
                harness::sleep_for_ever()
            }
            Self::Stop => loop {
                kill(std::process::id(), libc::SIGSTOP);
            },
        }
    }
}

#[track_caller]
fn check_late(error: &offspring::Error) {
    check_late_by(LIMIT, error);
}

#[track_caller]
fn check_late_by(limit: Duration, error: &offspring::Error) {
    assert_eq!((error.kind(), error.phase()), (ErrorKind::TimedOut, Phase::Started), "{error}");
    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
    assert!(error.to_string().contains(&format!("{limit:?}")), "{error}");
}

#[offspring::test(contexts(Inline))]
fn no_limit_on_inline(context: Context) -> Outcome {
    let pool = context.pool().task_timeout(Duration::from_millis(1)).build()?;
    let slow = |(), n: u64| {
        std::thread::sleep(Duration::from_millis(10));
        n
    };
    let results = pool.map(0..3, move |(), n| slow((), n)).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(results, [0, 1, 2]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn waiting_does_not_count(context: Context) -> Outcome {
    // One after another, they take three times the limit.
    let pool = context.pool().workers(1).task_timeout(AMPLE).build()?;
    let slow = |(): &mut (), n: u64| {
        std::thread::sleep(Duration::from_millis(50));
        n
    };
    let tasks: Vec<_> = (0..30).map(|n| pool.submit(n, slow)).collect::<Result<_, _>>()?;
    for (n, result) in (0..).zip(pool.map(0..30, slow)) {
        assert_eq!(result?, n);
    }
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.join()?, n);
    }
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn making_the_state_does_not_count(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(2)
        .task_timeout(AMPLE)
        .init((), |()| std::thread::sleep(AMPLE + LIMIT))
        .exit(|()| std::thread::sleep(AMPLE + LIMIT))
        .build()?;
    for (n, result) in (0..).zip(pool.map(0..20u64, |(), n| n)) {
        assert_eq!(result?, n);
    }
    let report = pool.shutdown()?;
    assert_eq!((report.replaced(), report.abnormal_exits()), (0, &[][..]));
    assert_eq!(report.exit_values().len(), 2, "ends take as long as they take");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn each_way_to_be_late(context: Context) -> Outcome {
    for workers in [1, 3] {
        let pool = context
            .pool()
            .workers(workers)
            .task_timeout(AMPLE)
            .init(7u64, |seven| seven)
            .build()?;
        let inputs = (0..200u64).map(|n| {
            let nth = usize::try_from(n / 50).unwrap();
            (n, (n % 50 == 20).then_some(Late::ALL[nth]))
        });
        let mut late = 0;
        for (n, result) in (0..).zip(pool.map(inputs, |seven, (n, late)| match late {
            Some(late) => late.be(),
            None => *seven * n,
        })) {
            if n % 50 == 20 {
                let error = result.expect_err("this one is late");
                check_late_by(AMPLE, &error);
                assert_eq!((error.index(), error.context()), (n, Some(context)), "{error}");
                late += 1;
            } else {
                assert_eq!(result?, 7 * n);
            }
        }
        assert_eq!(late, 4);
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.replaced()), (200, 4));
        assert_eq!(report.abnormal_exits().len(), 4, "{report:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn late_ones_in_every_kind_of_task(context: Context) -> Outcome {
    let pool = context.pool().workers(3).task_timeout(LIMIT).build()?;
    pool.ready(Duration::from_secs(60))?;
    for late in Late::ALL {
        let task = pool.submit(late, |(), late: Late| -> u8 { late.be() })?;
        let large = pool.submit((late, vec![1u8; 200_000]), |(), (late, _): (Late, Vec<u8>)| {
            if late != Late::Spin {
                late.be()
            }
        })?;
        check_late(&task.join().unwrap_err());
        match large.join() {
            Ok(()) => assert_eq!(late, Late::Spin),
            Err(error) => check_late(&error),
        }
        let results = pool.broadcast(late, |(), late| {
            if offspring::worker().is_some_and(|worker| worker.index() == 1) {
                late.be()
            }
        })?;
        assert_eq!(results.len(), 3);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(()) => assert_ne!(index, 1),
                Err(error) => {
                    check_late(&error);
                    assert_eq!((index, error.worker()), (1, Some(1)), "{error}");
                }
            }
        }
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn late_while_this_process_is_busy(context: Context) -> Outcome {
    let log = Scratch::new("log");
    // So long that on a busy machine, too, all of them are noted before their time is over.
    let limit = AMPLE;
    let pool = context.pool().workers(4).task_timeout(limit).build()?;
    pool.ready(Duration::from_secs(60))?;
    let late = |(): &mut (), (late, log): (Late, PathBuf)| -> u8 {
        note(&log, std::process::id());
        late.be()
    };
    let tasks: Vec<_> = Late::ALL
        .iter()
        .map(|act| pool.submit((*act, log.path()), late))
        .collect::<Result<_, _>>()?;
    // From here on nothing is done for the pool in this process.
    harness::eventually("all of them begin", || log.lines().len() == 4);
    for pid in log.lines() {
        let pid: i32 = pid.parse()?;
        // SAFETY: no memory is involved.
        let exists = || unsafe { libc::kill(pid, 0) } == 0;
        harness::eventually("the worker is gone", || !exists());
    }
    for task in tasks {
        check_late_by(limit, &task.join().unwrap_err());
    }
    assert_eq!(pool.map(0..20u64, |(), n| n).filter(Result::is_ok).count(), 20);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_late_task_in_a_window_of_many(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).task_timeout(AMPLE).init(log.path(), |log| log).build()?;
    let late = [3000u64, 3001, 9999];
    for (n, result) in (0..).zip(pool.map(0..10_000u64, |log, n| {
        if [3000, 3001, 9999].contains(&n) {
            note(log, n);
            Late::Sleep.be()
        }
        n + 1
    })) {
        if late.contains(&n) {
            check_late_by(AMPLE, &result.expect_err("this one is late"));
        } else {
            assert_eq!(result?, n + 1);
        }
    }
    assert_eq!(log.lines(), late.map(|n| n.to_string()), "each begins once");
    assert_eq!(pool.shutdown()?.replaced(), 3);
    Ok(())
}

/// A task that is ended just when it is done must not take the next one with it.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn at_the_very_limit(context: Context) -> Outcome {
    const SHORT: Duration = Duration::from_millis(10);
    let pool = context.pool().workers(1).task_timeout(SHORT).build()?;
    let mut late = 0;
    for (n, result) in (0..).zip(pool.map(0..900u64, |(), n| {
        if n % 3 == 0 {
            // Around the limit, from a bit less to a bit more.
            let until = Instant::now() + SHORT - Duration::from_micros(60);
            let until = until + Duration::from_micros(n / 3 % 30 * 3);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        n
    })) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                // Any may be late on a machine that is busy; none may die.
                assert_eq!(error.kind(), ErrorKind::TimedOut, "task {n}: {error}");
                late += u64::from(n % 3 == 0);
            }
        }
    }
    println!("{late} were late");
    pool.shutdown()?;
    Ok(())
}

/// What this process does for so long that this limit passes. Not to wait for anything.
fn be_busy(limit: Duration) {
    std::thread::sleep(2 * limit);
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn an_argument_under_way_does_not_count(context: Context) -> Outcome {
    let pool = context.pool().workers(1).task_timeout(AMPLE).build()?;
    pool.ready(Duration::from_secs(60))?;
    // More than a socket takes at once: the rest follows when this process has time.
    let task = pool.submit(vec![1u8; 16 << 20], |(), bytes: Vec<u8>| bytes.len())?;
    be_busy(AMPLE);
    assert_eq!(task.join()?, 16 << 20);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_result_under_way_does_not_count(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).task_timeout(AMPLE).build()?;
    pool.ready(Duration::from_secs(60))?;
    let task = pool.submit(log.path(), |(), log: PathBuf| {
        note(&log, "begun");
        vec![1u8; 16 << 20]
    })?;
    harness::eventually("it begins", || log.lines().len() == 1);
    be_busy(AMPLE);
    assert_eq!(task.join()?.len(), 16 << 20);
    // Many small ones, until there is no room for their results.
    let mut results = pool.map(0..200_000u64, |(), n| [n; 8]);
    assert_eq!(results.next().expect("there are more")?, [0; 8]);
    be_busy(AMPLE);
    for (n, result) in (1..).zip(results) {
        assert_eq!(result?, [n; 8]);
    }
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn late_tasks_are_not_begun_again(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(2)
        .task_timeout(AMPLE)
        .retries(5)
        .init(log.path(), |log| log)
        .build()?;
    for (n, result) in (0..).zip(pool.map(0..40u64, |log, n| {
        if n % 20 == 10 {
            note(log, n);
            Late::ALL[usize::try_from(n / 20).unwrap()].be()
        }
        n
    })) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => check_late_by(AMPLE, &error),
        }
    }
    let begun: BTreeSet<_> = log.lines().into_iter().collect();
    assert_eq!((begun.len(), log.lines().len()), (2, 2), "{:?}", log.lines());
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn limits_that_are_no_limits(context: Context) -> Outcome {
    for limit in [Duration::MAX, Duration::from_secs(u64::from(u32::MAX))] {
        let pool = context.pool().workers(1).task_timeout(limit).init_timeout(limit).build()?;
        assert_eq!(pool.map(0..20u64, |(), n| n).filter(Result::is_ok).count(), 20);
        pool.shutdown()?;
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_time_at_all(context: Context) -> Outcome {
    for limit in [Duration::ZERO, Duration::from_nanos(1)] {
        let pool = context.pool().workers(1).task_timeout(limit).build()?;
        let mut count = 0;
        for (n, result) in (0..).zip(pool.map(0..20u64, |(), n| n)) {
            match result {
                // It was faster than the supervisor.
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
            count += 1;
        }
        assert_eq!(count, 20);
        let task: Task<()> = pool.submit((), |(), ()| Late::Sleep.be())?;
        assert_eq!(task.join().unwrap_err().kind(), ErrorKind::TimedOut);
        pool.shutdown()?;
    }
    Ok(())
}

/// Ends within a moment of its limit, before or after it, so that the next is begun just then.
#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn who_is_late_does_not_take_the_next_along(context: Context) -> Outcome {
    const TIGHT: Duration = Duration::from_millis(3);
    let pool = context.pool().workers(2).task_timeout(TIGHT).build()?;
    let (mut late, mut in_time) = (0, 0);
    for (n, result) in (0..).zip(pool.map(0..600u64, |(), n| {
        let begin = Instant::now();
        // In steps of a microsecond, and most before the limit.
        let length = TIGHT + Duration::from_micros(n % 300);
        while n % 3 == 0 && begin.elapsed() < length {}
        n
    })) {
        match result {
            Ok(value) => {
                assert_eq!(value, n);
                in_time += 1;
            }
            Err(error) => {
                check_late_by(TIGHT, &error);
                late += 1;
            }
        }
    }
    assert_eq!(in_time + late, 600);
    println!("{in_time} in time, {late} late");
    pool.shutdown()?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_that_are_stopped_from_outside(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).task_timeout(AMPLE).build()?;
    pool.ready(Duration::from_secs(60))?;
    let task = pool.submit((log.path(), gate.path()), |(), (log, gate): (PathBuf, PathBuf)| {
        note(&log, std::process::id());
        harness::eventually("the gate is open", || gate.exists());
    })?;
    harness::eventually("it begins", || log.lines().len() == 1);
    // In the middle of a task that would end by itself.
    let busy = log.lines()[0].parse()?;
    stop(busy);
    note(&gate.path(), "open");
    check_late_by(AMPLE, &task.join().unwrap_err());
    // With nothing to do: then the others do it all, and nobody is late.
    let all = pool.broadcast((), |(), ()| std::process::id())?;
    let all = all.into_iter().collect::<Result<Vec<u32>, _>>()?;
    assert!(!all.contains(&busy), "it was replaced");
    stop(all[0]);
    for (n, result) in (0..).zip(pool.map(0..1000u64, |(), n| n + 1)) {
        assert_eq!(result?, n + 1);
    }
    kill(all[0], libc::SIGCONT);
    let now = pool.broadcast((), |(), ()| std::process::id())?;
    assert_eq!(now.into_iter().collect::<Result<Vec<u32>, _>>()?, all);
    assert_eq!(pool.shutdown()?.replaced(), 1);
    Ok(())
}
