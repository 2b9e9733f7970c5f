//! How long workers are used: what a task leaves in a static, or in the state, is seen by just those
//! later tasks that may see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Pool, Reuse};
use offspring_platform::lifeline;
use serde::{Deserialize, Serialize};

use crate::harness::Outcome;
use crate::{Death, note};

/// What tasks leave behind.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// What the static holds in this process when a pool is built; forked workers start with it.
const IN_PARENT: u64 = 1000;

/// What a task finds: its process, how many tasks left something in the static, and in the state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Found {
    pid: u32,
    in_static: u64,
    in_state: u64,
}

fn look(state: &mut u64, _: u64) -> Found {
    let in_static = LEFT.fetch_add(1, Ordering::Relaxed) % IN_PARENT;
    *state += 1;
    Found { pid: std::process::id(), in_static, in_state: *state - 1 }
}

fn pool(context: Context, workers: usize, reuse: Reuse) -> offspring::Result<Pool<u64>> {
    LEFT.store(IN_PARENT, Ordering::Relaxed);
    context.pool().workers(workers).reuse(reuse).init(0, |zero| zero).build()
}

fn map(pool: &Pool<u64>, count: u64) -> Result<Vec<Found>, offspring::TaskError> {
    pool.map(0..count, look).collect()
}

fn pids(found: &[Found]) -> BTreeSet<u32> {
    found.iter().map(|found| found.pid).collect()
}

/// That these tasks saw each other, as far as they shared a process, and nothing else.
fn check_alone(found: &[Found], what: &str) {
    let mut counts = BTreeMap::<u32, BTreeSet<u64>>::new();
    for one in found {
        assert_eq!(one.in_static, one.in_state, "{what}: {one:?}");
        let new = counts.entry(one.pid).or_default().insert(one.in_static);
        assert!(new, "{what}: {one:?} twice");
    }
    for (pid, seen) in counts {
        let expected: BTreeSet<u64> = (0..seen.len() as u64).collect();
        assert_eq!(seen, expected, "{what}: tasks in process {pid}");
    }
}

#[offspring::test]
fn states_begin_anew(context: Context) -> Outcome {
    // Inline has no process of its own to begin anew with, but states.
    for (reuse, expected) in [
        (Reuse::Keep, [0, 1, 2, 3, 4, 5, 6, 7]),
        (Reuse::PerMap, [0, 1, 2, 3, 0, 1, 2, 3]),
        (Reuse::PerTask, [0; 8]),
    ] {
        let pool = pool(context, 1, reuse)?;
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.extend(map(&pool, 4)?.iter().map(|found| found.in_state));
        }
        assert_eq!(seen, expected, "{reuse:?}");
        pool.shutdown()?;
    }
    Ok(())
}

/// What a task says of its worker: how many were there before, and how many tasks it has done.
fn count(_: &mut u64, _: u64) -> (u64, u64) {
    let worker = offspring::worker().expect("a task runs in a worker");
    (worker.generation(), worker.tasks_done())
}

#[offspring::test]
fn generations_are_counted(context: Context) -> Outcome {
    // Where a task runs in a copy of its worker, that one stays.
    let per_task = if lifeline::IS_A_THREAD {
        [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]
    } else {
        [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    };
    let quota = if lifeline::IS_A_THREAD { 1 } else { 4 };
    for (reuse, quota, expected) in [
        (Reuse::Keep, None, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]),
        (Reuse::Keep, Some(2), [(0, 0), (0, 1), (1, 0), (1, 1), (3, 0)]),
        (Reuse::PerMap, None, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]),
        (Reuse::PerTask, Some(quota), per_task),
    ] {
        let builder = context.pool().workers(1).reuse(reuse).init(0, |zero| zero);
        let pool = match quota {
            Some(quota) => builder.tasks_per_worker(quota),
            None => builder,
        }
        .build()?;
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.extend(pool.map(0..2u64, count).collect::<Result<Vec<_>, _>>()?);
        }
        pool.ready(Duration::from_secs(60))?;
        if reuse != Reuse::PerTask {
            pool.recycle();
        }
        seen.push(pool.submit(0, count)?.join()?);
        assert_eq!(seen, expected, "{reuse:?}");
        let report = pool.shutdown()?;
        // With one task for each, the last one may have been replaced, too.
        let last = seen[4].0;
        let more = u64::from(reuse == Reuse::PerTask && lifeline::IS_A_THREAD);
        assert!((last..=last + more).contains(&report.replaced()), "{reuse:?}: {report:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn kept_workers_see_what_tasks_left(context: Context) -> Outcome {
    let pool = pool(context, 2, Reuse::Keep)?;
    pool.ready(Duration::from_secs(60))?;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.extend(map(&pool, 50)?);
        all.push(pool.submit(0, look)?.join()?);
        for result in pool.broadcast(0, look)? {
            all.push(result?);
        }
    }
    check_alone(&all, "all of them");
    assert_eq!(pids(&all).len(), 2);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_map_nothing_is_left_of_another_map(context: Context) -> Outcome {
    let pool = pool(context, 2, Reuse::PerMap)?;
    let mut before = BTreeSet::new();
    for round in 0..6 {
        let found = map(&pool, 40)?;
        check_alone(&found, &format!("map {round}"));
        let pids = pids(&found);
        assert!(pids.is_disjoint(&before), "map {round}: {pids:?}, before {before:?}");
        before.extend(pids);
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_map_nothing_is_left_of_single_tasks(context: Context) -> Outcome {
    let pool = pool(context, 2, Reuse::PerMap)?;
    for round in 0..3 {
        // Also before the first map.
        let mut others = vec![pool.submit(0, look)?.join()?];
        for result in pool.broadcast(0, look)? {
            others.push(result?);
        }
        let found = map(&pool, 20)?;
        check_alone(&found, &format!("map {round}"));
        let (others, pids) = (pids(&others), pids(&found));
        assert!(pids.is_disjoint(&others), "map {round}: {pids:?}, single tasks in {others:?}");
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_map_nothing_is_left_of_a_map_dropped_early(context: Context) -> Outcome {
    for taken in 0..4 {
        let pool = pool(context, 2, Reuse::PerMap)?;
        let mut results = pool.map(0..200u64, look);
        let mut before = Vec::new();
        for _ in 0..taken {
            before.push(results.next().expect("there are more")?);
        }
        drop(results);
        for round in 0..2 {
            let found = map(&pool, 20)?;
            check_alone(&found, &format!("map {round} after one dropped at {taken}"));
            assert!(pids(&found).is_disjoint(&pids(&before)), "map {round} after {taken}");
            before.extend(found);
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_map_while_another_map_goes_on(context: Context) -> Outcome {
    // The inner map begins with fresh workers; the outer one loses nothing.
    let pool = pool(context, 2, Reuse::PerMap)?;
    let mut count = 0;
    let outer = pool.map(0..30u64, |_, n| (std::process::id(), n));
    let mut before = BTreeSet::new();
    for (n, result) in (0..).zip(outer) {
        let (pid, value) = result?;
        assert_eq!(value, n);
        before.insert(pid);
        count += 1;
        if n % 10 == 5 {
            let inner: BTreeSet<_> =
                pool.map(0..10u64, |_, _| std::process::id()).collect::<Result<_, _>>()?;
            assert!(inner.is_disjoint(&before), "at {n}: {inner:?}, before {before:?}");
            before.extend(inner);
        }
    }
    assert_eq!(count, 30);
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_task_nothing_is_left_at_all(context: Context) -> Outcome {
    let pool = pool(context, 3, Reuse::PerTask)?;
    let mut all = Vec::new();
    for _ in 0..2 {
        all.extend(map(&pool, 20)?);
    }
    for found in &all {
        assert_eq!((found.in_static, found.in_state), (0, 0), "{found:?}");
    }
    assert_eq!(pids(&all).len(), 40, "each in a process of its own");
    let report = pool.shutdown()?;
    // Where workers can be copied, each runs in a copy of one, which stays.
    match !lifeline::IS_A_THREAD {
        true => assert_eq!(report.replaced(), 0, "{report:?}"),
        false => assert!(report.replaced() >= 37, "{report:?}"),
    }
    Ok(())
}

/// Where Fork is not among the contexts, nobody promises that this program may be forked: its workers, which run the
/// user's initialiser, are not copied. Each task has a new one.
#[offspring::test(contexts(Spawn, ForkServer))]
fn per_task_without_the_promise(context: Context) -> Outcome {
    let refused = Context::Fork.process().start((), |()| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ForkNotAllowed, "{refused}");
    let pool = pool(context, 2, Reuse::PerTask)?;
    let all = map(&pool, 10)?;
    for found in &all {
        assert_eq!((found.in_static, found.in_state), (0, 0), "{found:?}");
    }
    assert_eq!(pids(&all).len(), 10, "each in a process of its own");
    let report = pool.shutdown()?;
    assert!(report.replaced() >= 8, "{report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_task_with_every_kind_of_task(context: Context) -> Outcome {
    let pool = pool(context, 2, Reuse::PerTask)?;
    let mut all = Vec::new();
    for _ in 0..3 {
        let tasks: Vec<_> = (0..5).map(|n| pool.submit(n, look)).collect::<Result<_, _>>()?;
        all.extend(map(&pool, 5)?);
        for result in pool.broadcast(0, look)? {
            all.push(result?);
        }
        for task in tasks.into_iter().rev() {
            all.push(task.join()?);
        }
    }
    assert_eq!(all.len(), 36);
    for found in &all {
        assert_eq!((found.in_static, found.in_state), (0, 0), "{found:?}");
    }
    assert_eq!(pids(&all).len(), 36, "each in a process of its own");
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_task_with_deaths(context: Context) -> Outcome {
    let pool = pool(context, 2, Reuse::PerTask)?;
    let log = crate::Scratch::new("log");
    let inputs = (0..24u64).map(|n| (n, log.path()));
    for (n, result) in (0..).zip(pool.map(inputs, |_, (n, log)| {
        note(&log, n);
        if n % 4 == 3 {
            Death::ALL[usize::try_from(n / 4 % 4).unwrap()].die()
        }
        n
    })) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => assert_eq!((error.kind(), n % 4), (ErrorKind::Died, 3), "{error}"),
        }
    }
    let mut begun: Vec<u64> = log.lines().iter().map(|line| line.parse().unwrap()).collect();
    begun.sort_unstable();
    assert!(begun.into_iter().eq(0..24), "each task once");
    pool.shutdown()?;
    Ok(())
}

/// Also what the copy did that could not tell it itself.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_task_one_that_died_has_its_time(context: Context) -> Outcome {
    const LONG: Duration = Duration::from_millis(200);
    if lifeline::IS_A_THREAD {
        println!("not tested: there are no copies on this system");
        return Ok(());
    }
    let pool = pool(context, 1, Reuse::PerTask)?;
    let results = pool.map(0..20u64, |_, n| {
        if n == 7 {
            std::thread::sleep(LONG);
            std::process::abort();
        }
        n
    });
    assert_eq!(results.filter(Result::is_err).count(), 1);
    let report = pool.shutdown()?;
    let slow = report.slowest().iter().find(|task| task.index == 7);
    let slow = slow.unwrap_or_else(|| panic!("not among the slowest: {report:?}"));
    assert!(slow.took >= LONG / 2, "{slow:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn per_task_each_has_its_own_time(context: Context) -> Outcome {
    let begun = Instant::now();
    let pool = pool(context, 1, Reuse::PerTask)?;
    // Many are sent at once, so that the worker does not wait in between.
    let results = pool.map(0..200u64, |_, n| n).chunk_size(50);
    assert_eq!(results.filter(Result::is_ok).count(), 200);
    let whole = begun.elapsed();
    let report = pool.shutdown()?;
    let sum: Duration = report.slowest().iter().map(|task| task.took).sum();
    // They ran one after the other. Each time is measured to a few milliseconds.
    let most = whole + Duration::from_millis(100);
    assert!(sum <= most, "{sum:?} of {whole:?}: {:?}", report.slowest());
    Ok(())
}
