//! Much work, of several kinds at once, in bounded memory.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Pool, SharedArray};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::leaks::descendants_of;
use crate::harness::{self, Outcome};
use crate::pids;

/// The most memory that this process had at once, in KiB, where the system says it.
fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Each has 8 bytes and a place in a list, if all of them were kept.
#[offspring::test(timeout = "5min")]
fn one_million_items(context: Context) -> Outcome {
    const COUNT: u64 = 1_000_000;
    let pool = context.pool().workers(2).build()?;
    let mut sum = 0u64;
    let mut before = None;
    for (n, result) in (0..).zip(pool.map(0..COUNT, |(), n| n ^ 1)) {
        if n == COUNT / 10 {
            before = peak();
        }
        let value = result?;
        assert_eq!(value, n ^ 1, "at {n}");
        sum += value;
    }
    assert_eq!(sum, COUNT * (COUNT - 1) / 2);
    if let Some((before, after)) = before.zip(peak()) {
        // The system counts in batches, for each processor: it may say less than before.
        let more = after.saturating_sub(before);
        assert!(more < 4 << 10, "{more} KiB more than after a tenth of the items, {before} KiB");
    }
    assert_eq!(pool.shutdown()?.tasks(), COUNT);
    Ok(())
}

/// However fast the worker is: one chunk that it works on, one that waits for it, and nothing beside.
#[offspring::test]
fn a_chunk_size_says_how_many_are_sent_ahead(context: Context) -> Outcome {
    for chunk in [0, 1, 7] {
        let taken = SharedArray::<AtomicU64>::new(1)?;
        let pool = context.pool().workers(1).init(taken.clone(), |taken| taken).build()?;
        // So that its pace is known, by which it would get many.
        assert_eq!(pool.map(0..5000u64, |_, n| n).filter(Result::is_ok).count(), 5000);
        let inputs = (0..5000u64).inspect(|_| {
            taken[0].fetch_add(1, Relaxed);
        });
        let ahead = |taken: &mut SharedArray<AtomicU64>, n: u64| (n, taken[0].load(Relaxed) - n);
        for (n, result) in (0..).zip(pool.map(inputs, ahead).chunk_size(chunk)) {
            let (of, ahead) = result?;
            assert_eq!(of, n, "chunks of {chunk}");
            // The first of these is the task itself.
            let most = 2 * (chunk as u64).max(1);
            assert!(ahead <= most, "chunks of {chunk}: {ahead} inputs taken when task {n} began");
        }
        pool.shutdown()?;
    }
    Ok(())
}

/// As one chunk, however large that is said to be.
#[offspring::test]
fn chunks_without_end(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    for chunk in [1000, usize::MAX / 2 + 1, usize::MAX] {
        let results: Vec<_> =
            pool.map(0..3000u64, |(), n| n).chunk_size(chunk).collect::<Result<_, _>>()?;
        assert_eq!(results, (0..3000).collect::<Vec<_>>(), "chunks of {chunk}");
        let endless = pool.map_unordered(0u64.., |(), n| n).chunk_size(chunk);
        assert_eq!(endless.take(100).filter(Result::is_ok).count(), 100, "chunks of {chunk}");
    }
    pool.shutdown()?;
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

/// The pool is the iterator's, and so are the tasks that run in it: they end with it, whatever they do.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn drop_of_a_map_without_a_pool(context: Context) -> Outcome {
    let stuck = |n: u64| match n % 3 {
        0 => n,
        1 => harness::spin_for_ever(),
        _ => harness::sleep_for_ever(),
    };
    for taken in [0, 1] {
        let mut results = context.map(0.., stuck)?;
        for n in 0..taken {
            assert_eq!(results.next().unwrap()?, n * 3);
        }
        drop(results);
        // The fork server stays, which has none.
        let left = descendants_of(std::process::id()).len();
        assert!(left <= usize::from(context == Context::ForkServer), "{left} processes are left");
    }
    Ok(())
}

/// Inputs of which this one panics.
fn inputs_but(bad: u64, count: u64) -> impl Iterator<Item = u64> {
    let mut next = 0;
    std::iter::from_fn(move || {
        next += 1;
        assert!(next - 1 != bad, "input {bad} panics, on purpose");
        (next <= count).then_some(next - 1)
    })
}

#[offspring::test]
fn a_panic_of_the_input_in_every_kind_of_map(context: Context) -> Outcome {
    const COUNT: u64 = 300;
    /// All that comes, in order, and how often it panics.
    fn drain(mut results: impl Iterator<Item = u64>) -> (Vec<u64>, usize) {
        let (mut given, mut panics) = (Vec::new(), 0);
        loop {
            match catch_unwind(AssertUnwindSafe(|| results.next())) {
                Ok(Some(n)) => given.push(n),
                Ok(None) => break,
                Err(_) => panics += 1,
            }
        }
        given.sort_unstable();
        (given, panics)
    }
    let pool = context.pool().workers(2).build()?;
    for bad in [0, 1, 150, COUNT - 1] {
        let expected: Vec<u64> = (0..COUNT).filter(|n| *n != bad).collect();
        let check = |how: &str, (given, panics): (Vec<u64>, usize)| {
            assert_eq!(panics, 1, "{how}, bad input: {bad}");
            assert_eq!(given, expected, "{how}, bad input: {bad}");
        };
        let unordered = pool.map_unordered(inputs_but(bad, COUNT), |(), n| n);
        check("map_unordered", drain(unordered.map(|result| result.expect("it succeeds"))));
        let numbered = pool.map_unordered(inputs_but(bad, COUNT), |(), n| n).enumerated();
        let numbered = numbered.map(|(index, result)| {
            let n = result.expect("it succeeds");
            // Nobody counts the input that there was none of.
            assert!(index == n || index == n + 1, "{n} has index {index}, bad input: {bad}");
            n
        });
        check("enumerated", drain(numbered));
        let own = context.map(inputs_but(bad, COUNT), |n| n)?;
        check("Context::map", drain(own.map(|result| result.expect("it succeeds"))));
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
    assert_eq!(descendants_of(std::process::id()).len(), idle(context));
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
