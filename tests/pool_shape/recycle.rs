//! Fresh workers: new processes and states, and no task is lost on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use offspring::Context;

use crate::harness::props::{Random, Scratch, wait_for};
use crate::harness::{Outcome, eventually};
use crate::{pids, who};

const LONG: Duration = Duration::from_secs(3600);

#[offspring::test]
fn states_are_fresh(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init(100u64, |start| start).build()?;
    for round in 0..5 {
        let sum = pool.map(0..20u64, |count, _| {
            *count += 1;
            *count
        });
        for result in sum {
            assert!((101..=120).contains(&result?), "round {round}");
        }
        pool.recycle();
        for result in pool.broadcast((), |count, ()| (*count, who().2))? {
            assert_eq!(result?, (100, 0), "round {round}");
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn processes_are_fresh(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let mut seen: BTreeSet<u32> = pids(&pool)?.into_iter().collect();
    for round in 1..=5u64 {
        pool.recycle();
        pool.ready(LONG)?;
        for pid in pids(&pool)? {
            assert!(seen.insert(pid), "process {pid} again, in round {round}");
        }
        for (n, result) in pool.broadcast((), |(), ()| who())?.into_iter().enumerate() {
            let (index, generation, _) = result?;
            assert_eq!((index, generation), (n, round));
        }
    }
    let report = pool.shutdown()?;
    assert_eq!((report.replaced(), report.abnormal_exits().len()), (15, 0));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_running_task_finishes_first(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    let held = pool.submit(gate.path(), |(), gate| {
        wait_for(&gate);
        std::process::id()
    })?;
    eventually("it runs", || held.pid().is_some());
    pool.recycle();
    pool.recycle();
    // The other one is fresh, and does all there is.
    for n in 0..20u64 {
        let (value, pid) = pool.submit(n, |(), n| (n, std::process::id()))?.join()?;
        assert_eq!(value, n);
        assert!(!before.contains(&pid), "{pid} is one of {before:?}");
    }
    assert!(held.pid().is_some(), "it still runs");
    gate.open();
    assert!(before.contains(&held.join()?));
    let after = pids(&pool)?;
    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?}, then {after:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn queued_tasks_keep_their_results(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for times in 1..=3 {
        let tasks = (0..300u64)
            .map(|n| pool.submit((n, vec![1u8; 200]), |(), (n, bytes)| n + bytes.len() as u64));
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        let large = pool.submit(vec![1u8; 300_000], |(), bytes: Vec<u8>| bytes.len())?;
        for _ in 0..times {
            pool.recycle();
        }
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.join()?, n + 200, "recycled {times} times");
        }
        assert_eq!(large.join()?, 300_000);
    }
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn recycled_in_the_middle_of_a_map(context: Context) -> Outcome {
    let mut random = Random::new();
    for times in 1..=3usize {
        let pool = context.pool().workers(3).build()?;
        let mut when: Vec<u64> = (0..times).map(|_| random.below(4000)).collect();
        when.sort_unstable();
        println!("recycled at {when:?}");
        let mut seen = BTreeSet::new();
        let mut ordered = pool.map(0..4000u64, |(), n| (n, std::process::id()));
        let mut loose = pool.map_unordered(0..4000u64, |(), n| n + 1).enumerated();
        for n in 0..4000 {
            for _ in when.iter().filter(|when| **when == n) {
                pool.recycle();
            }
            let (value, pid) = ordered.next().unwrap()?;
            assert_eq!(value, n, "recycled at {when:?}");
            seen.insert(pid);
            let (index, result) = loose.next().unwrap();
            assert_eq!(result?, index + 1, "recycled at {when:?}");
        }
        assert!(ordered.next().is_none() && loose.next().is_none());
        drop((ordered, loose));
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.abnormal_exits().len()), (8000, 0));
        assert!(seen.len() <= 3 * (times + 1), "{} processes", seen.len());
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn and_shutdown_right_after(context: Context) -> Outcome {
    for times in 1..=3u64 {
        let pool = context.pool().workers(2).build()?;
        let tasks = (0..50u64).map(|n| pool.submit(n, |(), n| n));
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        if times == 2 {
            pool.ready(LONG)?;
        }
        for _ in 0..times {
            pool.recycle();
        }
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.abnormal_exits().len()), (50, 0));
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.join()?, n);
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn and_drop_right_after(context: Context) -> Outcome {
    for times in 1..=3u64 {
        for looks in [false, true] {
            let pool = context.pool().workers(2).build()?;
            if looks {
                pool.ready(LONG)?;
            }
            let mut results = pool.map(0..1000u64, |(), n| n);
            if looks {
                assert_eq!(results.next().unwrap()?, 0);
            }
            for _ in 0..times {
                pool.recycle();
            }
            drop(results);
            drop(pool);
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn recycled_before_anybody_is_up(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    pool.recycle();
    pool.recycle();
    assert_eq!(pids(&pool)?.len(), 2);
    assert_eq!(pool.submit(3u8, |(), n| n)?.join()?, 3);
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}
