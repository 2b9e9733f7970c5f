//! More workers, and fewer: those that stay are not touched.

use std::collections::BTreeSet;
use std::time::Duration;

use offspring::{Context, ErrorKind, WorkerReport};

use crate::harness::props::{Random, Scratch, kill, note, stop, wait_for};
use crate::harness::{Outcome, eventually, leaks};
use crate::{pids, who};

const LONG: Duration = Duration::from_secs(3600);

#[offspring::test]
fn to_nothing_is_refused(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let before = pool.workers();
    let error = pool.resize(0).unwrap_err();
    assert_eq!((error.kind(), error.context()), (ErrorKind::Invalid, Some(context)), "{error}");
    assert_eq!(pool.workers(), before);
    assert_eq!(pool.submit(3u8, |(), n| n)?.join()?, 3);
    Ok(())
}

#[offspring::test]
fn results_stay_right(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for size in [1, 3, 3, 1, 4] {
        pool.resize(size)?;
        assert_eq!(pool.workers(), if context.is_isolated() { size } else { 1 });
        let mut expected = 0u64;
        for result in pool.map(0..200u64, |(), n| n) {
            assert_eq!(result?, expected);
            expected += 1;
        }
        assert_eq!(expected, 200);
    }
    pool.terminate();
    pool.resize(3)?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn those_that_stay_are_the_same(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), |()| 0u64).build()?;
    let mut before = pids(&pool)?;
    for size in [4, 3, 1, 2, 5, 5, 2] {
        pool.resize(size)?;
        pool.ready(LONG)?;
        let now = pids(&pool)?;
        assert_eq!(now.len(), size);
        let stay = size.min(before.len());
        assert_eq!(now[..stay], before[..stay], "after {before:?}");
        for pid in &before[stay..] {
            eventually("it ends", || {
                let _ = pool.ready(Duration::ZERO);
                !leaks::is_alive(*pid)
            });
        }
        for result in pool.broadcast((), |_, ()| who().0)? {
            assert!(result? < size);
        }
        before = now;
    }
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn resized_before_anybody_is_up(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let init = |log: std::path::PathBuf| note(&log, who().0);
    let pool = context.pool().workers(4).init(log.path(), init).build()?;
    // Three are on their way, and are told to go as soon as they have come.
    pool.resize(1)?;
    pool.ready(LONG)?;
    // What is asked of the pool lets it tell the others who they are, should that not have left it at once.
    eventually("all have come up", || pool.ready(Duration::ZERO).is_ok() && log.lines().len() == 4);
    assert_eq!(pids(&pool)?.len(), 1);
    for result in pool.map(0..500u32, |(), _| who().0) {
        assert_eq!(result?, 0, "nobody else is left");
    }
    pool.resize(3)?;
    assert_eq!(pids(&pool)?.len(), 3);
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_running_task_finishes(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(3).build()?;
    let hold = || {
        pool.submit(gate.path(), |(), gate| {
            wait_for(&gate);
            who().0
        })
    };
    let tasks = (0..3).map(|_| hold()).collect::<offspring::Result<Vec<_>>>()?;
    eventually("all run", || tasks.iter().all(|task| task.pid().is_some()));
    let queued = (0..10u64).map(|n| pool.submit(n, |(), n| (n, who().0)));
    let queued = queued.collect::<offspring::Result<Vec<_>>>()?;
    pool.resize(1)?;
    gate.open();
    let indexes = tasks.into_iter().map(|task| task.join()).collect::<Result<BTreeSet<_>, _>>()?;
    assert_eq!(indexes, BTreeSet::from([0, 1, 2]));
    for (n, task) in (0..).zip(queued) {
        assert_eq!(task.join()?, (n, 0), "only one is left for the others");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn resized_in_the_middle_of_a_map(context: Context) -> Outcome {
    let mut random = Random::new();
    let pool = context.pool().workers(2).build()?;
    let mut ordered = pool.map(0..6000u64, |(), n| n);
    let mut sizes = Vec::new();
    for n in 0..6000 {
        if n % 300 == 150 {
            let size = 1 + random.place(6);
            sizes.push(size);
            pool.resize(size)?;
        }
        assert_eq!(ordered.next().unwrap()?, n, "sizes: {sizes:?}");
    }
    assert!(ordered.next().is_none());
    drop(ordered);
    let size = pool.workers();
    assert_eq!(Some(&size), sizes.last());
    assert_eq!(pids(&pool)?.len(), size);
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), [], "sizes: {sizes:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_worker_that_goes_and_never_began(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    // It is sent its task, never wakes up to begin it, and nobody comes after it.
    stop(before[1]);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            eventually("the other one is done", || !log.lines().is_empty());
            pool.resize(1).unwrap();
            kill(before[1], libc::SIGKILL);
        });
        let all = pool.broadcast(log.path(), |(), log| note(&log, who().0))?;
        assert_eq!(all.len(), 2);
        for (n, result) in all.into_iter().enumerate() {
            match n {
                0 => result?,
                _ => assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled),
            }
        }
        Ok(())
    })?;
    assert_eq!(pids(&pool)?, before[..1]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_descriptors_for_more(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it is written before the call returns.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(got, 0);
    let few = libc::rlimit { rlim_cur: 40, ..limit };
    // SAFETY: it is read before the call returns.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) };
    assert_eq!(set, 0);
    let error = pool.resize(100).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    // SAFETY: it is read before the call returns.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0);
    // Those that could be started stay, and nobody is waited for who is not there.
    let size = pool.workers();
    assert!((2..40).contains(&size), "{size} workers");
    pool.ready(LONG)?;
    let now = pids(&pool)?;
    assert_eq!((now.len(), &now[..2]), (size, &before[..]));
    pool.resize(2)?;
    assert_eq!(pids(&pool)?, before);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_that_comes_again_is_another_generation(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for round in 0..3u64 {
        pool.ready(LONG)?;
        let generations = pool.broadcast((), |(), ()| who().1)?.into_iter();
        let generations = generations.collect::<Result<Vec<_>, _>>()?;
        assert_eq!(generations, [0, round], "one stays, and the other goes and comes");
        pool.resize(1)?;
        eventually("it has ended", || {
            let _ = pool.ready(Duration::ZERO);
            let gone = |worker: &WorkerReport| worker.index == 1 && worker.end.is_some();
            pool.report().workers().iter().filter(|worker| gone(worker)).count() as u64 > round
        });
        pool.resize(2)?;
    }
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 0, "nobody came in the place of one that was to stay");
    Ok(())
}
