//! Awaiting with an executor that only parks its thread.

use std::time::Duration;

use offspring::{Context, ErrorKind, Phase, Task};

use crate::harness::Outcome;
use crate::harness::props::{Random, Scratch, wait_for};
use crate::{block_on, join_all};

#[offspring::test]
fn a_task_is_awaited(context: Context) -> Outcome {
    let pool = context.pool().workers(1).init(2u64, |two| two).build()?;
    for n in 0..50u64 {
        assert_eq!(block_on(pool.submit(n, |two, n| *two * n)?)?, 2 * n);
    }
    let large = block_on(pool.submit(300_000usize, |_, length| vec![9u8; length])?)?;
    assert!(large == vec![9; 300_000]);
    // One whose outcome is there already.
    let mut task = pool.submit(4u64, |two, n| *two + n)?;
    assert_eq!(task.join_timeout(Duration::MAX)?, Some(6));
    assert_eq!(block_on(&mut task).unwrap_err().kind(), ErrorKind::Closed);
    let inside = async { Ok::<_, offspring::Error>(pool.submit(4u64, |two, n| *two + n)?.await?) };
    assert_eq!(block_on(inside)?, 6);
    Ok(())
}

#[offspring::test]
fn one_hundred_at_once(context: Context) -> Outcome {
    let mut random = Random::new();
    let pool = context.pool().workers(3).build()?;
    let tasks = (0..100u64).map(|n| Ok((n, pool.submit(n, |(), n| n * n)?)));
    let mut tasks = tasks.collect::<offspring::Result<Vec<(u64, Task<u64>)>>>()?;
    random.shuffle(&mut tasks);
    let (numbers, tasks): (Vec<u64>, Vec<Task<u64>>) = tasks.into_iter().unzip();
    let results = block_on(join_all(tasks));
    assert_eq!(results.len(), 100);
    for (n, result) in numbers.into_iter().zip(results) {
        assert_eq!(result?, n * n);
    }
    Ok(())
}

#[offspring::test]
fn failures_are_awaited(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..20u64).map(|n| {
        pool.submit(n, |(), n| {
            assert!(n % 4 != 1, "not {n}");
            n
        })
    });
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    for (n, result) in (0..).zip(block_on(join_all(tasks))) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, n), "{error}");
                assert_eq!(error.panic().unwrap().message(), format!("not {n}"));
            }
        }
    }
    if context.is_isolated() {
        let died = block_on(pool.submit((), |(), ()| -> u8 { std::process::abort() })?);
        assert_eq!(died.unwrap_err().kind(), ErrorKind::Died);
    }
    Ok(())
}

#[offspring::test]
fn two_pools_in_one_future(context: Context) -> Outcome {
    let one = context.pool().workers(1).init(1u64, |one| one).build()?;
    let two = context.pool().workers(2).init(2u64, |two| two).build()?;
    let mut tasks = Vec::new();
    for n in 0..40u64 {
        let pool = if n % 2 == 0 { &one } else { &two };
        tasks.push(pool.submit(n, |state, n| (*state, n))?);
    }
    for (n, result) in (0..).zip(block_on(join_all(tasks))) {
        assert_eq!(result?, (1 + n % 2, n));
    }
    // One after the other, on the other's result.
    let sum = block_on(async {
        let mut sum = 0u64;
        for n in 0..20u64 {
            let first = one.submit(n, |one, n| *one + n)?.await?;
            sum += two.submit(first, |two, n| *two * n)?.await?;
        }
        Ok::<_, offspring::Error>(sum)
    })?;
    assert_eq!(sum, (1..=20).map(|n| 2 * n).sum::<u64>());
    Ok(())
}

#[offspring::test]
fn awaited_from_several_threads(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                for n in 0..50u64 {
                    let task = pool.submit((thread, n), |(), (thread, n)| thread * 1000 + n);
                    assert_eq!(block_on(task.unwrap()).unwrap(), thread * 1000 + n);
                }
            });
        }
    });
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn awaited_joined_and_mapped_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..100u64 {
                assert_eq!(block_on(pool.submit(n, |(), n| n + 1).unwrap()).unwrap(), n + 1);
            }
        });
        scope.spawn(move || {
            for n in 0..100u64 {
                assert_eq!(pool.submit(n, |(), n| n + 2).unwrap().join().unwrap(), n + 2);
            }
        });
        for (n, result) in (0..).zip(pool.map(0..2000u64, |(), n| n + 3)) {
            assert_eq!(result.unwrap(), n + 3);
        }
    });
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn awaited_after_the_end(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let mut done = pool.submit(5u64, |(), n| n)?;
    let wedged = pool.submit((), |(), ()| -> u64 { crate::harness::spin_for_ever() })?;
    let queued = pool.submit(6u64, |(), n| n)?;
    crate::harness::eventually("the first is done, and the second runs", || {
        done.is_done() && wedged.pid().is_some()
    });
    pool.terminate();
    assert_eq!(block_on(&mut done)?, 5);
    assert_eq!(block_on(&mut done).unwrap_err().kind(), ErrorKind::Closed);
    drop(pool);
    for task in [wedged, queued] {
        assert_eq!(block_on(task).unwrap_err().kind(), ErrorKind::Cancelled);
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_end_wakes_who_awaits(context: Context) -> Outcome {
    for round in 0..5u32 {
        let pool = context.pool().workers(2).build()?;
        let (pool, gate) = (&pool, &Scratch::new("gate"));
        let tasks = (0..5).map(|_| pool.submit(gate.path(), |(), gate| wait_for(&gate)));
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let awaits = scope.spawn(move || block_on(join_all(tasks)));
            if round % 2 == 0 {
                pool.ready(Duration::from_secs(60)).unwrap();
            }
            std::thread::sleep(Duration::from_millis(u64::from(round)));
            pool.terminate();
            for result in awaits.join().unwrap() {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
            }
        });
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn cancelled_while_awaited(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let pool = &pool;
    let gate = Scratch::new("gate");
    let mut running = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    let mut queued = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    crate::harness::eventually("the first runs", || running.pid().is_some());
    let waker = std::task::Waker::noop();
    assert!(crate::poll_once(&mut running, waker).is_pending());
    assert!(crate::poll_once(&mut queued, waker).is_pending());
    queued.cancel();
    running.cancel();
    let error = block_on(queued).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::NotStarted), "{error}");
    let error = block_on(running).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started), "{error}");
    assert_eq!(block_on(pool.submit(5u8, |(), n| n)?)?, 5);
    Ok(())
}
