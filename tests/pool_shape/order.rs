//! In which order tasks begin: no later one is in the way of an earlier one.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offspring::{Context, Pool, Task};

use crate::harness::props::{Random, Scratch, wait_for};
use crate::harness::{self, Outcome};

const WORKERS: usize = 2;
/// From this one on, none ever ends.
const STUCK: u64 = 60;
/// So many are behind them.
const COUNT: u64 = 100;
const ROUNDS: usize = 20;

/// Takes so many microseconds, without sleep.
fn work((n, took): (u64, u64)) -> u64 {
    if n >= STUCK {
        harness::sleep_for_ever();
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(took) {}
    n
}

/// What a task takes: mostly nothing, so that many are sent ahead, and at times so long that those behind it are
/// taken back.
fn times(random: &mut Random) -> Vec<(u64, u64)> {
    let took = |random: &mut Random| match random.below(8) {
        0 => 4_500 + random.below(3_000),
        _ => random.below(20),
    };
    (0..COUNT).map(|n| (n, took(random))).collect()
}

/// A pool whose workers are known to be fast, so that they are sent many tasks ahead.
fn fast(context: Context, workers: usize) -> offspring::Result<Pool<()>> {
    let pool = context.pool().workers(workers).build()?;
    assert_eq!(pool.map(0..2000u64, |(), n| n).filter(Result::is_ok).count(), 2000);
    Ok(pool)
}

/// Those that never end have all workers in the end; by then all before them are done, or nobody would do them.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_item_waits_for_a_later_one(context: Context) -> Outcome {
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        let pool = fast(context, WORKERS)?;
        let mut results = pool.map(times(&mut random), |_, item| work(item));
        for n in 0..STUCK {
            assert_eq!(results.next().expect("there are more")?, n);
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_task_waits_for_a_later_one(context: Context) -> Outcome {
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        let pool = fast(context, WORKERS)?;
        let tasks =
            times(&mut random).into_iter().map(|item| pool.submit(item, |_, item| work(item)));
        let tasks = tasks.collect::<offspring::Result<Vec<Task<u64>>>>()?;
        for (n, task) in (0..STUCK).zip(tasks) {
            assert_eq!(task.join()?, n);
        }
    }
    Ok(())
}

/// The map was there before the tasks, and its input comes after them.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_task_waits_for_a_later_input_of_an_older_map(context: Context) -> Outcome {
    let [go_on, end] = [Scratch::new("go on"), Scratch::new("end")];
    let pool = fast(context, 1)?;
    let taken = AtomicBool::new(false);
    let inputs = std::iter::once(end.path()).inspect(|_| taken.store(true, Relaxed));
    let mut map = pool.map(inputs, |_, end| wait_for(&end));
    let long = pool.submit(go_on.path(), |_, go_on| {
        wait_for(&go_on);
        // The one behind it is taken back meanwhile.
        work((0, 50_000))
    })?;
    let short = pool.submit((1, 0), |_, item| work(item))?;
    std::thread::scope(|scope| {
        let map = scope.spawn(move || map.next().expect("there is one"));
        while !taken.load(Relaxed) {
            std::thread::yield_now();
        }
        go_on.open();
        assert_eq!(short.join()?, 1);
        end.open();
        assert_eq!(long.join()?, 0);
        map.join().expect("no panic")?;
        Ok(())
    })
}
