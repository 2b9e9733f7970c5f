//! Maps whose inputs go to the workers in turns.

use std::collections::BTreeMap;

use offspring::{Context, ErrorKind, SharedSlice};

use crate::harness::Outcome;
use crate::harness::props::kill;
use crate::{pids, who};

/// Whose turn it is.
fn expected(context: Context, index: u64, workers: u64) -> usize {
    if context.is_isolated() { usize::try_from(index % workers).expect("small") } else { 0 }
}

#[offspring::test]
fn in_turns(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    // Some take long, and are waited for by those behind them only.
    let work = |(): &mut (), n: u64| {
        if n % 50 == 7 {
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        (who().0, n)
    };
    for _ in 0..3 {
        let results = pool.map(0..300u64, work).round_robin();
        for (n, result) in (0..300).zip(results) {
            assert_eq!(result?, (expected(context, n, 3), n));
        }
        let mut seen = BTreeMap::new();
        for (n, result) in pool.map_unordered(0..300u64, work).round_robin().enumerated() {
            assert_eq!(result?, (expected(context, n, 3), n));
            *seen.entry(n).or_insert(0) += 1;
        }
        assert!(seen.len() == 300 && seen.values().all(|times| *times == 1), "{seen:?}");
    }
    assert_eq!(pool.map(0..0u64, work).round_robin().count(), 0);
    Ok(())
}

#[offspring::test]
fn in_turns_with_large_and_shared_inputs(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..20u64).map(|n| vec![n; if n % 3 == 0 { 100_000 } else { 10 }]);
    for (n, result) in (0..).zip(pool.map(inputs, |(), all| (who().0, all[9])).round_robin()) {
        assert_eq!(result?, (expected(context, n, 2), n));
    }
    let shared = SharedSlice::from_slice(&[5u64, 6, 7])?;
    let inputs = (0..20usize).map(|n| (n, shared.clone()));
    let results = pool.map(inputs, |(), (n, all)| (who().0, all[n % 3])).round_robin();
    for (n, result) in (0..).zip(results) {
        assert_eq!(result?, (expected(context, n, 2), 5 + n % 3));
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_turns_while_one_is_killed(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let victims = pids(&pool)?;
    let mut lost = 0;
    let results = pool.map(0..600u64, |(), n| (who().0, n)).round_robin();
    for (n, result) in (0..600).zip(results) {
        if n == 100 {
            kill(victims[1], libc::SIGKILL);
        }
        match result {
            Ok(answer) => assert_eq!(answer, (expected(context, n, 3), n)),
            Err(error) => {
                assert_eq!((error.kind(), error.worker()), (ErrorKind::Died, Some(1)), "{error}");
                lost += 1;
            }
        }
    }
    assert!(lost <= 1, "{lost} tasks were lost");
    assert!(pool.shutdown()?.replaced() <= 1);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_turns_with_more_and_fewer_workers(context: Context) -> Outcome {
    let pool = context.pool().workers(4).in_flight(64).build()?;
    let mut seen = Vec::new();
    let mut results = pool.map(0..3000u64, |(), n| (who().0, n)).round_robin();
    for (turn, workers) in [4, 2, 5, 1, 3].into_iter().enumerate() {
        pool.resize(workers)?;
        for n in (600 * turn as u64..).take(600) {
            let (worker, answer) = results.next().expect("as many as inputs")?;
            assert_eq!(answer, n);
            seen.push((workers, worker));
        }
        // What was sent or queued before the change is in flight no longer.
        let settled = &seen[seen.len() - 400..];
        assert!(settled.iter().all(|(workers, worker)| worker < workers), "{settled:?}");
    }
    assert!(results.next().is_none());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_turns_and_dropped(context: Context) -> Outcome {
    let pool = context.pool().workers(2).in_flight(100).build()?;
    for taken in 0..20 {
        let mut results = pool.map(0u64.., |(), n| (who().0, n)).round_robin();
        for n in 0..taken {
            let answer = results.next().expect("there is no end")?;
            assert_eq!(answer, (expected(context, n, 2), n));
        }
        drop(results);
        let next: Vec<_> = pool.map(0..10u64, |(), n| n).collect::<Result<_, _>>()?;
        assert_eq!(next, Vec::from_iter(0..10));
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_turns_beside_others(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let (mut turns, mut others) = (
        pool.map(0..500u64, |(), n| (who().0, n)).round_robin(),
        pool.map(0..500u64, |(), n| n * 2),
    );
    for n in 0..500 {
        assert_eq!(turns.next().expect("one for each")?, (expected(context, n, 2), n));
        assert_eq!(others.next().expect("one for each")?, n * 2);
        if n % 100 == 0 {
            assert_eq!(pool.submit(n, |(), n| n + 1)?.join()?, n + 1);
            assert_eq!(pids(&pool)?.len(), 2);
        }
    }
    assert!(turns.next().is_none() && others.next().is_none());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn in_turns_until_the_first_failure(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let mut results = pool
        .map(0u64.., |(), n| {
            assert!(n != 50, "the fiftieth");
            n
        })
        .round_robin()
        .fail_fast();
    let before: Vec<u64> = results.by_ref().map_while(Result::ok).collect();
    assert_eq!(before, Vec::from_iter(0..50));
    assert!(results.next().is_none());
    drop(results);
    assert_eq!(pool.map([1u64], |(), n| n).next().expect("one")?, 1);
    Ok(())
}
