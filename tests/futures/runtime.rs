//! Awaiting on tokio's runtime of one thread.

use std::time::Duration;

use offspring::{Context, ErrorKind};
use tokio::runtime::{Builder, Runtime};

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{self, Outcome};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

#[offspring::test]
fn spawned_and_joined(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let results = runtime().block_on(async {
        let mut spawned = Vec::new();
        for n in 0..100u64 {
            spawned.push(tokio::spawn(pool.submit(n, |(), n| n * 3)?));
        }
        let mut results = Vec::new();
        for handle in spawned {
            results.push(handle.await.unwrap()?);
        }
        Ok::<_, offspring::Error>(results)
    })?;
    assert!(results.iter().copied().eq((0..100).map(|n| 3 * n)), "{results:?}");
    let (one, two) = runtime().block_on(async {
        let one = pool.submit(1u64, |(), n| n).unwrap();
        let two = pool.submit("two".to_owned(), |(), text| text + "!").unwrap();
        tokio::join!(one, two)
    });
    assert_eq!((one?, two?), (1, "two!".to_owned()));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_timeout_and_then_again(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(gate.path(), |(), gate| {
        wait_for(&gate);
        8u64
    })?;
    runtime().block_on(async {
        for _ in 0..3 {
            let late = tokio::time::timeout(Duration::from_millis(2), &mut task).await;
            assert!(late.is_err(), "nobody has opened the gate");
        }
        gate.open();
        assert_eq!(task.await.unwrap(), 8);
    });
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_timeout_and_then_cancelled(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    runtime().block_on(async {
        for n in 0..3u64 {
            let mut task = pool.submit((), |(), ()| -> u8 { harness::spin_for_ever() }).unwrap();
            let late = tokio::time::timeout(Duration::from_millis(2), &mut task).await;
            assert!(late.is_err(), "it never ends");
            task.cancel();
            let error = task.await.unwrap_err();
            assert_eq!((error.kind(), error.index()), (ErrorKind::Cancelled, 2 * n), "{error}");
            assert_eq!(pool.submit(n, |(), n| n).unwrap().await.unwrap(), n);
        }
    });
    assert!(pool.shutdown()?.replaced() <= 3);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn select_drops_the_slower_one(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).build()?;
    runtime().block_on(async {
        let slow = pool.submit((gate.path(), log.path()), |(), (gate, log)| {
            wait_for(&gate);
            note(&log, "the slow one ran to its end");
        });
        let fast = pool.submit(5u64, |(), n| n);
        tokio::select! {
            result = slow.unwrap() => panic!("nobody has opened the gate: {result:?}"),
            result = fast.unwrap() => assert_eq!(result.unwrap(), 5),
        }
    });
    gate.open();
    assert_eq!(pool.shutdown()?.tasks(), 2);
    assert_eq!(log.lines(), ["the slow one ran to its end"]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_runtime_goes_first(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).build()?;
    let runtime = runtime();
    runtime.block_on(async {
        for _ in 0..4 {
            let task = pool.submit(gate.path(), |(), gate| wait_for(&gate)).unwrap();
            drop(tokio::spawn(task));
        }
        // All are polled once, and have their wakers in the pool.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    drop(runtime);
    gate.open();
    assert_eq!(pool.submit(1u64, |(), n| n)?.join()?, 1);
    assert_eq!(pool.shutdown()?.tasks(), 5);
    Ok(())
}
