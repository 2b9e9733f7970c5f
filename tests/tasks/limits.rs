//! How many tasks there may be: `in_flight` of them, far more than there are descriptors, and none after
//! the end of the pool.

use std::time::Duration;

use offspring::{Context, ErrorKind, Pool, Task};

use crate::harness::props::Scratch;
use crate::harness::{Outcome, eventually};
use crate::held;

fn limit_descriptors(most: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: it is read before the call returns.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[offspring::test]
fn ten_thousand_tasks_with_few_descriptors(context: Context) -> Outcome {
    limit_descriptors(256);
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).build()?;
    // Both workers are busy until all are there. Inline runs a task when it is submitted.
    let busy = (0..if context.is_isolated() { 2 } else { 0 })
        .map(|_| pool.submit((log.path(), gate.path()), |(), paths| held(paths)))
        .collect::<offspring::Result<Vec<_>>>()?;
    let tasks = (0..10_000u64).map(|n| pool.submit(n, |(), n| n ^ 0x55));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    if context.is_isolated() {
        assert!(!tasks.iter().any(Task::is_done), "one has run behind the gate");
    }
    gate.open();
    let all = 10_000 + busy.len() as u64;
    for task in busy {
        task.join()?;
    }
    for (n, task) in (0..10_000u64).rev().zip(tasks.into_iter().rev()) {
        assert_eq!(task.join()?, n ^ 0x55, "task {n}");
    }
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (all, 0));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn as_many_as_in_flight_and_then_busy(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).in_flight(5).build()?;
    let submit = || pool.try_submit((log.path(), gate.path()), |(), paths| held(paths));
    let tasks = (0..5).map(|_| submit()).collect::<offspring::Result<Vec<_>>>()?;
    for _ in 0..3 {
        let error = submit().unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Busy, Some(context)), "{error}");
        assert!(error.to_string().contains("in_flight"), "{error}");
        assert!(error.to_string().contains('5'), "{error}");
    }
    // Maps have a limit of their own.
    let mut results = pool.map(0..3u64, |(), n| n);
    gate.open();
    assert_eq!(results.next().unwrap()?, 0);
    // Whoever has an outcome makes room, whether or not somebody has joined it.
    eventually("one is done", || tasks.iter().any(Task::is_done));
    let mut sixth = None;
    eventually("there is room again", || {
        sixth = submit().ok();
        sixth.is_some()
    });
    for task in tasks.into_iter().chain(sixth) {
        task.join()?;
    }
    assert_eq!(results.by_ref().count(), 2);
    drop(results);
    assert_eq!(pool.shutdown()?.tasks(), 9);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn submit_waits_for_room_until_its_limit(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).in_flight(2).build()?;
    let submit =
        |limit| pool.submit_timeout(limit, (log.path(), gate.path()), |(), paths| held(paths));
    let mut tasks = vec![submit(Duration::ZERO)?, submit(Duration::MAX)?];
    for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(30)] {
        let start = std::time::Instant::now();
        let error = submit(limit).unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Busy, Some(context)), "{error}");
        assert!(start.elapsed() >= limit, "it waits for room");
    }
    gate.open();
    for limit in [Duration::from_secs(3600), Duration::MAX] {
        tasks.push(submit(limit)?);
    }
    for task in tasks {
        task.join()?;
    }
    assert_eq!(pool.shutdown()?.tasks(), 4);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn submit_waits_for_room(context: Context) -> Outcome {
    let pool = context.pool().workers(2).in_flight(3).build()?;
    let mut tasks = Vec::new();
    // Nobody joins any of them meanwhile: submitting drives the pool.
    for n in 0..200u64 {
        tasks.push(pool.submit(n, |(), n| n + 1)?);
    }
    let open = tasks.iter().filter(|task| !task.is_done()).count();
    assert!(open <= 3, "{open} tasks have no outcome");
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.join()?, n + 1);
    }
    // Also when nobody will ever ask for them.
    for n in 0..200u64 {
        drop(pool.submit(n, |(), n| n + 1)?);
    }
    assert_eq!(pool.shutdown()?.tasks(), 400);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn cancelled_tasks_make_room(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).in_flight(2).build()?;
    let first = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    for _ in 0..50 {
        let second = pool.try_submit((log.path(), gate.path()), |(), paths| held(paths))?;
        second.cancel();
    }
    for _ in 0..50 {
        // The outcome of a dropped task is dropped, and nothing of it is left.
        pool.try_submit((), |(), ()| ())?.cancel();
    }
    gate.open();
    first.join()?;
    assert_eq!(pool.shutdown()?.tasks(), 101);
    Ok(())
}

/// Every way in says that the pool has ended.
fn check_ended(pool: &Pool<()>) {
    let expect = |what: &str, error: offspring::Error| {
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
        assert_eq!(error.context(), Some(pool.context()), "{what}: {error}");
    };
    expect("submit", pool.submit(1u8, |(), n| n).unwrap_err());
    expect("try_submit", pool.try_submit(1u8, |(), n| n).unwrap_err());
    expect("broadcast", pool.broadcast((), |(), ()| ()).unwrap_err());
    expect("ready", pool.ready(Duration::from_secs(60)).unwrap_err());
    let results: Vec<_> = pool.map(0..5u8, |(), n| n).collect();
    assert_eq!(results.len(), 5);
    for (n, result) in (0..).zip(results) {
        let error = result.unwrap_err();
        assert_eq!(error.index(), n, "{error}");
        expect("map", error.into());
    }
    pool.recycle();
}

#[offspring::test]
fn nothing_is_submitted_after_the_end(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.submit(1u8, |(), n| n)?.join()?, 1);
    for _ in 0..3 {
        pool.terminate();
        check_ended(&pool);
    }
    drop(pool);
    // Ended before any worker was up.
    let pool = context.pool().workers(2).build()?;
    pool.terminate();
    check_ended(&pool);
    Ok(())
}

#[offspring::test]
fn a_task_outlives_its_pool(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let done = pool.submit(3u64, |(), n| vec![n; 10])?;
    let large = pool.submit(4u64, |(), n| vec![n; 100_000])?;
    let panicked = pool.submit((), |(), ()| -> u8 { panic!("on purpose") })?;
    eventually("they are done", || done.is_done() && large.is_done() && panicked.is_done());
    drop(pool);
    assert!(done.is_done());
    assert_eq!(done.pid(), None);
    done.cancel();
    assert_eq!(done.join()?, [3; 10]);
    assert!(large.join()? == vec![4; 100_000]);
    assert_eq!(panicked.join().unwrap_err().panic().unwrap().message(), "on purpose");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn unfinished_tasks_of_a_pool_that_ended(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    for drops in [false, true] {
        let pool = context.pool().workers(1).build()?;
        let tasks = (0..4).map(|_| pool.submit((log.path(), gate.path()), |(), paths| held(paths)));
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        eventually("one runs", || tasks[0].pid().is_some());
        pool.terminate();
        let pool = (!drops).then_some(pool);
        for (n, mut task) in (0..).zip(tasks) {
            assert!(task.is_done() && task.pid().is_none(), "task {n}");
            let error = match n {
                0 => task.join_timeout(Duration::ZERO).unwrap_err(),
                _ => task.join().unwrap_err(),
            };
            assert_eq!((error.kind(), error.index()), (ErrorKind::Cancelled, n), "{error}");
        }
        drop(pool);
    }
    Ok(())
}

#[offspring::test]
fn shutdown_lets_queued_tasks_finish(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..500u64).map(|n| pool.submit(n, |(), n| n + 1));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    assert_eq!(pool.shutdown()?.tasks(), 500);
    for (n, task) in (0..).zip(tasks) {
        assert!(task.is_done());
        assert_eq!(task.join()?, n + 1);
    }
    Ok(())
}
