//! Much work, of several kinds at once, in bounded memory.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Pool};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::{self, Outcome, leaks};
use crate::pids;

#[offspring::test(timeout = "5min")]
fn one_million_items(context: Context) -> Outcome {
    const COUNT: u64 = 1_000_000;
    let pool = context.pool().workers(2).build()?;
    let mut sum = 0u64;
    for (n, result) in (0..).zip(pool.map(0..COUNT, |(), n| n ^ 1)) {
        let value = result?;
        assert_eq!(value, n ^ 1, "at {n}");
        sum += value;
    }
    assert_eq!(sum, COUNT * (COUNT - 1) / 2);
    assert_eq!(pool.shutdown()?.tasks(), COUNT);
    Ok(())
}

#[offspring::test]
fn a_slow_consumer_takes_few_inputs(context: Context) -> Outcome {
    const IN_FLIGHT: u64 = 32;
    let pool = context.pool().workers(2).in_flight(32).build()?;
    let taken = Cell::new(0u64);
    let inputs = (0u64..).inspect(|_| taken.set(taken.get() + 1));
    let mut results = pool.map(inputs, |(), n| n);
    for n in 0..100 {
        assert_eq!(results.next().unwrap()?, n);
        // The workers have their results long before anybody asks for the next.
        std::thread::sleep(Duration::from_millis(2));
        let (taken, most) = (taken.get(), n + 1 + IN_FLIGHT);
        assert!(taken <= most, "{taken} taken with {} consumed, at most {most}", n + 1);
    }
    Ok(())
}

#[offspring::test]
fn endless_inputs_and_an_early_drop(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for count in [0usize, 1, 2, 1000] {
        let taken = Cell::new(0usize);
        let inputs = (0u64..).inspect(|_| taken.set(taken.get() + 1));
        let ordered = pool.map(inputs, |(), n| n).take(count).collect::<Result<Vec<_>, _>>()?;
        assert!(ordered.iter().copied().eq(0..count as u64), "{ordered:?}");
        assert!(taken.get() <= count + (16 << 10), "{} taken for {count}", taken.get());
        let loose = pool.map_unordered(0u64.., |(), n| n).take(count);
        assert_eq!(loose.collect::<Result<BTreeSet<_>, _>>()?.len(), count);
    }
    Ok(())
}

#[offspring::test]
fn drop_after_the_first_result(context: Context) -> Outcome {
    for round in 0..10 {
        let pool = context.pool().workers(2).build()?;
        let mut results = pool.map(0..10_000u64, |(), n| vec![n; 100]);
        assert_eq!(results.next().unwrap()?[99], 0);
        drop(results);
        if round % 2 == 0 {
            assert_eq!(pool.submit(round, |(), n| n)?.join()?, round);
            pool.shutdown()?;
        }
    }
    Ok(())
}

#[offspring::test]
fn results_before_a_panic_of_the_input_come_first(context: Context) -> Outcome {
    const COUNT: u64 = 300;
    let pool = context.pool().workers(2).build()?;
    for bad in [0, 1, 150, COUNT - 1, COUNT] {
        let mut next = 0;
        let inputs = std::iter::from_fn(|| {
            next += 1;
            assert!(next - 1 != bad, "input {bad} panics, on purpose");
            (next <= COUNT).then_some(next - 1)
        });
        let mut results = pool.map(inputs, |(), n: u64| n);
        let mut expected = 0;
        let mut panics = Vec::new();
        loop {
            match catch_unwind(AssertUnwindSafe(|| results.next())) {
                Ok(Some(result)) => {
                    assert_eq!(result?, expected, "bad input: {bad}");
                    expected += 1;
                }
                Ok(None) => break,
                Err(panic) => {
                    let text = panic.downcast::<String>().unwrap();
                    assert_eq!(*text, format!("input {bad} panics, on purpose"));
                    panics.push(expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(panics, [bad], "in place, and once");
        assert_eq!(expected, COUNT.max(bad + 1));
    }
    Ok(())
}

#[offspring::test]
fn several_maps_from_several_threads(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init(5u64, |five| five).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                for round in 0..3 {
                    let inputs = (0..400u64).map(|n| (thread, n));
                    let results = pool.map(inputs, |five, (thread, n)| *five + thread * n);
                    let mut seen = 0;
                    for (n, result) in (0..).zip(results) {
                        assert_eq!(result.unwrap(), 5 + thread * n, "round {round}");
                        seen += 1;
                    }
                    assert_eq!(seen, 400);
                }
            });
        }
    });
    Ok(())
}

#[offspring::test]
fn ending_twice(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.submit(1u8, |(), n| n)?.join()?, 1);
    let mut results = pool.map(0..100u64, |(), n| n);
    assert_eq!(results.next().unwrap()?, 0);
    pool.terminate();
    pool.terminate();
    // Results that were there come first; then each task has its failure.
    assert_eq!(results.count(), 99);
    pool.terminate();
    let error = pool.shutdown().expect_err("it was ended before");
    assert_eq!((error.kind(), error.context()), (ErrorKind::Cancelled, Some(context)), "{error}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn everything_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), |()| 0u64).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            scope.spawn(move || {
                for (n, result) in (0..).zip(pool.map(0..3000u64, |_, n| n + 1)) {
                    assert_eq!(result.unwrap(), n + 1, "thread {thread}");
                }
            });
        }
        scope.spawn(move || {
            for n in 0..300u64 {
                let small = pool.submit(n, |_, n| n + 2).unwrap();
                let large = pool.submit(vec![1u8; 100_000], |_, bytes: Vec<u8>| bytes).unwrap();
                assert!(large.join().unwrap() == vec![1; 100_000]);
                assert_eq!(small.join().unwrap(), n + 2);
            }
        });
        scope.spawn(move || {
            for n in 0..100u64 {
                let all = pool.broadcast(n, |times, n| {
                    *times += 1;
                    (*times, n)
                });
                for result in all.unwrap() {
                    assert_eq!(result.unwrap(), (n + 1, n));
                }
            }
        });
    });
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn two_hundred_workers(context: Context) -> Outcome {
    let pool = context.pool().workers(200).build()?;
    let mut count = 0;
    for (n, result) in (0..).zip(pool.map(0..2000u64, |(), n| n * 3)) {
        assert_eq!(result?, 3 * n);
        count += 1;
    }
    assert_eq!(count, 2000);
    let all: BTreeSet<u32> = pids(&pool)?.into_iter().collect();
    assert_eq!(all.len(), 200);
    assert_eq!(pool.shutdown()?.tasks(), 2200);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn two_pools_never_share_a_process(context: Context) -> Outcome {
    let mut pools: Vec<Pool<()>> = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        pools.push(context.pool().workers(2).build()?);
    }
    for _ in 0..3 {
        for (which, pool) in pools.iter().enumerate() {
            for pid in pids(pool)? {
                assert!(seen.insert(pid), "process {pid} of pool {which} was seen before");
            }
            pool.recycle();
        }
    }
    assert_eq!(seen.len(), 18);
    Ok(())
}

/// A pool in each task, so many levels deep. Returns the sum of what the deepest are given.
fn nest((context, levels, n): (Context, u32, u64)) -> u64 {
    if levels == 0 {
        return n;
    }
    let pool = context.pool().workers(2).build().expect("a pool in a task");
    let context = harness::in_a_child(context);
    let inputs = [(context, levels - 1, 2 * n), (context, levels - 1, 2 * n + 1)];
    let mapped = pool.map(inputs, |(), sent| nest(sent)).sum::<Result<u64, _>>();
    let submitted = pool.submit((context, 0, n), |(), sent| nest(sent)).expect("it is taken");
    let sum = mapped.expect("the inner tasks succeed") + submitted.join().expect("so does this");
    pool.shutdown().expect("an orderly end");
    sum
}

#[offspring::test]
fn pools_in_pools_in_pools(context: Context) -> Outcome {
    let expected = |levels: u32, n: u64| {
        fn sum(levels: u32, n: u64) -> u64 {
            if levels == 0 { n } else { sum(levels - 1, 2 * n) + sum(levels - 1, 2 * n + 1) + n }
        }
        sum(levels, n)
    };
    assert_eq!(nest((context, 3, 1)), expected(3, 1));
    assert_eq!(leaks::descendants_of(std::process::id()).len(), idle(context));
    Ok(())
}

/// How many processes there are without any pool.
fn idle(context: Context) -> usize {
    usize::from(context == Context::ForkServer)
}

/// Encoding it takes a while, and so does decoding it.
struct Slow;

const WHILE: Duration = Duration::from_millis(5);

impl Serialize for Slow {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        std::thread::sleep(WHILE);
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::thread::sleep(WHILE);
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn few_inputs_are_timed_as_what_they_take(context: Context) -> Outcome {
    let begun = Instant::now();
    let pool = context.pool().workers(1).build()?;
    for result in pool.map([Slow], |(), slow: Slow| slow) {
        result?;
    }
    let (stats, whole) = (pool.stats(), begun.elapsed());
    let of_one = stats.encoding.min(stats.decoding);
    assert!(of_one >= WHILE, "{stats:?}");
    assert!(stats.encoding + stats.decoding <= whole, "{stats:?}, and all took {whole:?}");
    // Of more, each stands for those that follow until the next that is timed.
    for result in pool.map([(); 10].map(|()| Slow), |(), slow: Slow| slow) {
        result?;
    }
    let stats = pool.stats();
    assert!(stats.encoding.min(stats.decoding) >= 11 * WHILE, "{stats:?}");
    Ok(())
}
