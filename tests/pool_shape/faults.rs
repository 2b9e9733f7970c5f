//! Workers that die or stop in the middle of much work: what they had begun fails, all else is right.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offspring::{Context, ErrorKind, Phase};

use crate::harness::props::{Scratch, kill, note};
use crate::harness::{Outcome, eventually};
use crate::pids;

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_of_a_thousand_kills_its_worker(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    for bad in [0u64, 499, 999] {
        let inputs = (0..1000u64).map(|n| (n, bad));
        let results: Vec<_> = pool
            .map(inputs, |(), (n, bad)| {
                if n == bad {
                    kill(std::process::id(), libc::SIGKILL);
                }
                n
            })
            .collect();
        assert_eq!(results.len(), 1000);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert!(value == n && n != bad, "{value} at {n}"),
                Err(error) => {
                    let found = (n, error.kind(), error.phase());
                    assert_eq!(found, (bad, ErrorKind::Died, Phase::Started), "{error}");
                    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
                }
            }
        }
    }
    assert_eq!(pool.shutdown()?.replaced(), 3);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_that_kills_its_worker_each_time(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).build()?;
    for round in 1..=20 {
        let task = pool.submit(log.path(), |(), log| {
            note(&log, std::process::id());
            kill(std::process::id(), libc::SIGKILL);
        })?;
        let neighbours = (0..10u64).map(|n| pool.submit(n, |(), n| n));
        let neighbours = neighbours.collect::<offspring::Result<Vec<_>>>()?;
        assert_eq!(task.join().unwrap_err().kind(), ErrorKind::Died);
        for (n, task) in (0..).zip(neighbours) {
            assert_eq!(task.join()?, n);
        }
        assert_eq!(log.lines().len(), round, "it is never tried again");
    }
    let killed: BTreeSet<String> = log.lines().into_iter().collect();
    assert_eq!(killed.len(), 20);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn all_workers_killed_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(4).build()?;
    let mut results = pool.map(0..8000u64, |(), n| n);
    let mut failed = Vec::new();
    for n in 0..8000u64 {
        if n % 2000 == 1000 {
            for pid in pids(&pool)? {
                kill(pid, libc::SIGKILL);
            }
        }
        match results.next().unwrap() {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
                assert_eq!(error.phase(), Phase::Started, "{error}");
                failed.push(n);
            }
        }
    }
    assert!(results.next().is_none());
    drop(results);
    assert!(failed.len() <= 16, "four workers died four times, and these failed: {failed:?}");
    assert_eq!(pids(&pool)?.len(), 4);
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 16);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_worker_is_stopped_and_goes_on(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    let mut results = pool.map_unordered(0..3000u64, |(), n| n);
    let mut seen = BTreeSet::new();
    for n in 0..3000 {
        if n % 500 == 100 {
            kill(before[1], libc::SIGSTOP);
        }
        if n % 500 == 400 {
            kill(before[1], libc::SIGCONT);
        }
        assert!(seen.insert(results.next().unwrap()?));
    }
    assert_eq!(seen, (0..3000).collect());
    drop(results);
    assert_eq!(pids(&pool)?, before, "nobody was replaced");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn all_workers_are_stopped_and_go_on(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    before.iter().for_each(|pid| kill(*pid, libc::SIGSTOP));
    // A signal takes a moment to get to a process that runs.
    #[cfg(target_os = "linux")]
    eventually("all have stopped", || {
        before.iter().all(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        })
    });
    let mut tasks = Vec::new();
    for n in 0..50u64 {
        tasks.push(pool.submit(n, |(), n| n)?);
    }
    assert_eq!(tasks[0].join_timeout(Duration::from_millis(20))?, None);
    assert!(tasks.iter().all(|task| !task.is_done() && task.pid().is_none()));
    // One of them is ended instead: what it was sent and never began is for its replacement.
    kill(before[0], libc::SIGKILL);
    kill(before[1], libc::SIGCONT);
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.join()?, n);
    }
    eventually("its replacement is up", || pool.ready(Duration::ZERO).is_ok());
    let after = pids(&pool)?;
    assert_eq!(after[1], before[1]);
    assert_ne!(after[0], before[0]);
    Ok(())
}

/// What was sent ahead to a worker that does not run is taken back and sent again, time after time.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_only_worker_is_stopped_again_and_again(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let pid = pids(&pool)?[0];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            for _ in 0..4 {
                kill(pid, libc::SIGSTOP);
                std::thread::sleep(Duration::from_millis(500));
                kill(pid, libc::SIGCONT);
                std::thread::sleep(Duration::from_millis(10));
            }
            over.store(true, Ordering::Relaxed);
        });
        let inputs = (0u64..).take_while(|_| !over.load(Ordering::Relaxed));
        for (n, result) in (0..).zip(pool.map(inputs, |(), n| n)) {
            assert_eq!(result?, n);
        }
        Ok(())
    })?;
    assert_eq!(pids(&pool)?, [pid], "nobody was replaced");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_slow_failure_is_among_the_slowest(context: Context) -> Outcome {
    const LONG: Duration = Duration::from_millis(200);
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..20u64, |(), n| {
        if n == 7 {
            std::thread::sleep(LONG);
            panic!("on purpose");
        }
    });
    assert_eq!(results.filter(Result::is_err).count(), 1);
    let report = pool.shutdown()?;
    let slow = report.slowest().iter().find(|task| task.index == 7);
    let slow = slow.unwrap_or_else(|| panic!("not among the slowest: {report:?}"));
    assert!(slow.took >= LONG / 2, "{slow:?}");
    Ok(())
}
