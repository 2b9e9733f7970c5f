//! Every way to run something finds what was captured, as it was at that moment.

use std::time::Duration;

use offspring::Context;

use crate::harness::{self, Outcome};
use crate::{capture_level, level, set_level};

/// AC40, AC42.
#[offspring::test]
fn a_process(context: Context) -> Outcome {
    let _guard = capture_level();
    for wanted in [7, -3] {
        set_level(wanted);
        let child = context.process().start((), |()| level())?;
        // What counts is the moment of the start.
        set_level(100);
        assert_eq!(child.join()?, wanted);
    }
    assert_eq!(level(), 100, "nothing is left in this process");
    Ok(())
}

/// AC42.
#[offspring::test]
fn a_group_of_processes(context: Context) -> Outcome {
    let _guard = capture_level();
    let inputs = (1..=3).inspect(|n| set_level(10 * n));
    let group = context.process().start_group(inputs, |n: i64| (n, level()))?;
    assert_eq!(group.join()?, [(1, 10), (2, 20), (3, 30)]);
    Ok(())
}

/// AC40, AC43: tasks that wait in the pool keep the value of the moment at which they were submitted.
#[offspring::test]
fn submitted_tasks_after_the_pool_was_built(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let _guard = capture_level();
    let mut tasks = Vec::new();
    for wanted in 1..=50 {
        set_level(wanted / 5);
        tasks.push((wanted / 5, pool.submit((), |_: &mut (), ()| level())?));
    }
    set_level(-1);
    for (wanted, task) in tasks {
        assert_eq!(task.join()?, wanted);
    }
    Ok(())
}

/// AC42: also by the entries that do not wait for room.
#[offspring::test]
fn tasks_that_were_tried(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let _guard = capture_level();
    let mut tasks = Vec::new();
    for wanted in 1..=20 {
        set_level(wanted);
        tasks.push((wanted, pool.try_submit((), |_: &mut (), ()| level())?));
        set_level(100 + wanted);
        let limit = Duration::from_secs(60);
        tasks.push((100 + wanted, pool.submit_timeout(limit, (), |_: &mut (), ()| level())?));
    }
    set_level(-1);
    for (wanted, task) in tasks {
        assert_eq!(task.join()?, wanted);
    }
    Ok(())
}

/// AC43: each item has what was there when it was taken from the iterator.
#[offspring::test]
fn a_map_pulls_its_inputs_lazily(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(3).build()?;
    // Changes in the middle of what is encoded together.
    let inputs = (0..3000i64).inspect(|n| set_level(n / 7));
    for result in pool.map(inputs, |_: &mut (), n| (n, level())) {
        let (n, found) = result?;
        assert_eq!(found, n / 7, "of item {n}");
    }
    Ok(())
}

/// AC42.
#[offspring::test]
fn unordered_and_enumerated_maps(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(2).build()?;
    let change = |n: &i64| set_level(n + 1);
    let mut found = pool
        .map_unordered((0..40).inspect(change), |_: &mut (), n: i64| level() - n)
        .collect::<Result<Vec<_>, _>>()?;
    assert!(found.drain(..).all(|difference| difference == 1));
    let inputs = (0..40).inspect(change);
    for (index, found) in pool.map_unordered(inputs, |_: &mut (), _: i64| level()).enumerated() {
        assert_eq!(found?, i64::try_from(index)? + 1);
    }
    for (n, found) in
        pool.map((0..40).inspect(change), |_: &mut (), _: i64| level()).round_robin().enumerate()
    {
        assert_eq!(found?, i64::try_from(n)? + 1);
    }
    Ok(())
}

/// AC42.
#[offspring::test]
fn a_map_without_a_pool(context: Context) -> Outcome {
    let _guard = capture_level();
    let results = context.map((0..20i64).inspect(|n| set_level(n * n)), |_| level())?;
    let results = results.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(results, (0..20).map(|n| n * n).collect::<Vec<_>>());
    Ok(())
}

/// AC42.
#[offspring::test]
fn broadcast(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let _guard = capture_level();
    for wanted in [5, 6] {
        set_level(wanted);
        for found in pool.broadcast((), |_: &mut (), ()| level())? {
            assert_eq!(found?, wanted);
        }
        // Large arguments go another way.
        for found in pool.broadcast(vec![1u8; 100_000], |_: &mut (), _: Vec<u8>| level())? {
            assert_eq!(found?, wanted);
        }
    }
    Ok(())
}

/// AC42: both have the values of the moment at which the pool was built.
#[offspring::test]
fn the_initialiser_and_the_end_of_a_worker(context: Context) -> Outcome {
    let _guard = capture_level();
    set_level(11);
    let pool = context.pool().workers(2).init((), |()| level()).exit(|state| (state, level()));
    let pool = pool.build()?;
    set_level(12);
    for found in pool.broadcast((), |state: &mut i64, ()| (*state, level()))? {
        assert_eq!(found?, (11, 12));
    }
    pool.recycle();
    for found in pool.broadcast((), |state: &mut i64, ()| (*state, level()))? {
        assert_eq!(found?, (11, 12), "of a later worker");
    }
    let report = pool.shutdown()?;
    for value in report.into_exit_values() {
        assert_eq!(value?, (11, 11));
    }
    Ok(())
}

/// What a task on one context starts in its turn, on every context.
fn levels_below(above: Context) -> Vec<i64> {
    let mut found = Vec::new();
    let mut all = vec![Context::Inline, harness::in_a_child(Context::Fork), Context::Spawn];
    // It would outlive the case on Inline.
    if above != Context::Inline {
        all.push(Context::ForkServer);
    }
    for context in all {
        let child = context.process().start((), |()| level());
        found.push(child.and_then(offspring::Process::join).unwrap_or(-1));
        let results = context.pool().workers(1).build().map(|pool| {
            pool.map(0..2, |_: &mut (), _: i32| level()).map(|found| found.unwrap_or(-2)).collect()
        });
        let results: Vec<i64> = results.unwrap_or_else(|_| vec![-3]);
        found.extend(results);
    }
    found
}

/// AC42.
#[offspring::test]
fn pools_and_processes_in_a_task(context: Context) -> Outcome {
    let _guard = capture_level();
    set_level(21);
    // A process, and two tasks of a pool, on each.
    let count = if context == Context::Inline { 9 } else { 12 };
    let child = context.process().start(context, levels_below)?;
    assert_eq!(child.join()?, vec![21; count]);
    let pool = context.pool().workers(1).build()?;
    for wanted in [22, 23] {
        set_level(wanted);
        let found = pool.submit(context, |_: &mut (), above| levels_below(above))?.join()?;
        assert_eq!(found, vec![wanted; count]);
    }
    Ok(())
}

/// AC42: three deep, and again without once the capture is gone.
#[offspring::test]
fn a_pool_in_a_task_of_a_task(context: Context) -> Outcome {
    fn below(context: Context) -> i64 {
        let context = harness::in_a_child(context);
        let pool = context.pool().workers(1).build().unwrap();
        pool.submit(context, |_: &mut (), context: Context| {
            let pool = context.pool().workers(1).build().unwrap();
            pool.submit((), |_: &mut (), ()| level()).unwrap().join().unwrap()
        })
        .unwrap()
        .join()
        .unwrap()
    }
    let pool = context.pool().workers(1).build()?;
    set_level(0);
    let guard = capture_level();
    set_level(31);
    assert_eq!(pool.submit(context, |_: &mut (), context| below(context))?.join()?, 31);
    drop(guard);
    set_level(0);
    assert_eq!(pool.submit(context, |_: &mut (), context| below(context))?.join()?, 0);
    Ok(())
}

/// AC42: those see what was captured too, and not what this process has changed since it was forked.
#[offspring::test(contexts(Fork))]
fn inherited_closures(_: Context) -> Outcome {
    let _guard = capture_level();
    set_level(41);
    let offset = 1;
    let child = offspring::fork::start(|| level() + offset)?;
    let results = offspring::fork::map(&[1, 2, 3], |n| level() + n)?;
    set_level(50);
    assert_eq!(child.join()?, 42);
    assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [42, 43, 44]);
    Ok(())
}
