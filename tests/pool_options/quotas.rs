//! How much a worker is used before another takes its place: tasks, and memory. Nothing is lost by it,
//! whenever the pool ends.

use std::collections::BTreeMap;
#[cfg(target_os = "linux")]
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool};

use crate::harness::Outcome;
#[cfg(target_os = "linux")]
use crate::lines;
use crate::{Scratch, note};

/// Process, place, generation, and how many tasks the worker did before.
type Who = (u32, usize, u64, u64);

fn who() -> Who {
    let worker = offspring::worker().expect("a task runs in a worker");
    (std::process::id(), worker.index(), worker.generation(), worker.tasks_done())
}

#[offspring::test]
fn no_worker_runs_more_tasks(context: Context) -> Outcome {
    for limit in 1..=3u64 {
        let pool = context.pool().workers(3).tasks_per_worker(limit).build()?;
        let mut seen = BTreeMap::<_, u64>::new();
        for (n, result) in (0..).zip(pool.map(0..50u64, |(), n| (n, who()))) {
            let (value, (pid, index, generation, done)) = result?;
            assert_eq!(value, n);
            assert!(done < limit, "task {n} is number {done} of its worker, the limit is {limit}");
            *seen.entry((pid, index, generation)).or_default() += 1;
        }
        assert!(seen.values().all(|count| *count <= limit), "limit {limit}: {seen:?}");
        let report = pool.shutdown()?;
        assert_eq!((report.tasks(), report.abnormal_exits()), (50, &[][..]));
        let least = 50u64.div_ceil(limit) - 3;
        assert!(report.replaced() >= least, "limit {limit}: {report:?}");
    }
    Ok(())
}

#[offspring::test]
fn just_as_many_tasks_one_at_a_time(context: Context) -> Outcome {
    for limit in 1..=3u64 {
        let pool = context.pool().workers(1).tasks_per_worker(limit).init((), |()| 0u64).build()?;
        let mut before = (0, 0);
        for n in 0..10u64 {
            let task = pool.submit(n, |state, _: u64| {
                *state += 1;
                (who(), *state)
            });
            let ((pid, _, generation, done), state) = task?.join()?;
            assert_eq!((done, state), (n % limit, n % limit + 1), "task {n}, limit {limit}");
            assert_eq!(generation, n / limit, "task {n}, limit {limit}");
            let same = n % limit != 0;
            assert_eq!((pid, generation) == before, same, "task {n}, limit {limit}");
            before = (pid, generation);
        }
    }
    Ok(())
}

#[offspring::test]
fn every_kind_of_task_counts(context: Context) -> Outcome {
    let pool = context.pool().workers(2).tasks_per_worker(3).build()?;
    let mut done = BTreeMap::<_, Vec<u64>>::new();
    let mut add = |(pid, index, generation, number): Who| {
        done.entry((pid, index, generation)).or_default().push(number);
    };
    for round in 0..5u64 {
        let large = pool.submit(vec![round; 20_000], |(), values: Vec<u64>| (values, who()))?;
        for result in pool.broadcast(round, |(), n| (n, who()))? {
            let (n, who) = result?;
            assert_eq!(n, round);
            add(who);
        }
        for (n, result) in (0..).zip(pool.map(0..4u64, |(), n| (n, who()))) {
            let (value, who) = result?;
            assert_eq!(value, n);
            add(who);
        }
        let (values, who) = large.join()?;
        assert_eq!(values, vec![round; 20_000]);
        add(who);
    }
    for (worker, mut numbers) in done {
        numbers.sort_unstable();
        assert!(numbers.len() <= 3, "{worker:?} ran {numbers:?}");
        assert!((0..).zip(&numbers).all(|(n, number)| n == *number), "{worker:?}: {numbers:?}");
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test]
fn a_panic_counts(context: Context) -> Outcome {
    let pool = context.pool().workers(1).tasks_per_worker(2).init((), |()| 0u64).build()?;
    for n in 0..8u64 {
        let result = pool
            .submit(n, |state, n: u64| {
                *state += 1;
                assert!(n % 2 == 1, "an even one");
                *state
            })?
            .join();
        match result {
            Ok(state) => assert_eq!((state, n % 2), (2, 1), "task {n}"),
            Err(error) => assert_eq!((error.kind(), n % 2), (ErrorKind::Panicked, 0), "{error}"),
        }
    }
    pool.shutdown()?;
    Ok(())
}

/// More than the workers can run before they are replaced.
const QUEUE: u64 = 10;

fn limited(context: Context, limit: u64) -> offspring::Result<Pool<(), usize>> {
    let index = |()| offspring::worker().map_or(usize::MAX, |worker| worker.index());
    context.pool().workers(2).tasks_per_worker(limit).exit(index).build()
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_end_at_every_moment(context: Context) -> Outcome {
    for limit in 1..=3 {
        for taken in 0..=QUEUE {
            for orderly in [true, false] {
                let pool = limited(context, limit)?;
                let mut results = pool.map(0..QUEUE, |(), n| n);
                for n in 0..taken {
                    assert_eq!(results.next().expect("there are more")?, n);
                }
                drop(results);
                if orderly {
                    let report = pool.shutdown()?;
                    let what = format!("limit {limit}, taken {taken}: {report:?}");
                    assert!(report.tasks() >= taken, "{what}");
                    assert_eq!(report.exit_values().len() as u64, report.replaced() + 2, "{what}");
                    assert!(report.exit_values().iter().all(Result::is_ok), "{what}");
                    assert_eq!(report.abnormal_exits(), [], "{what}");
                }
            }
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_end_at_every_moment_with_other_tasks(context: Context) -> Outcome {
    for limit in 1..=3 {
        for taken in 0..=QUEUE {
            for orderly in [true, false] {
                let pool = limited(context, limit)?;
                let log = Scratch::new("log");
                let submit = |n: u64| {
                    pool.submit((n, log.path()), |(), (n, log)| {
                        note(&log, n);
                        n
                    })
                };
                let mut tasks = vec![submit(100)?];
                let mut results = pool.map(0..QUEUE, |(), n| n);
                for n in 0..taken {
                    assert_eq!(results.next().expect("there are more")?, n);
                    if n % 3 == 0 {
                        tasks.push(submit(101 + n)?);
                    }
                    if n == 4 {
                        for result in pool.broadcast(n, |(), n| n)? {
                            assert_eq!(result?, 4);
                        }
                    }
                }
                drop(results);
                let what = format!("limit {limit}, taken {taken}, orderly {orderly}");
                if orderly {
                    let report = pool.shutdown()?;
                    assert_eq!(log.lines().len(), tasks.len(), "{what}: all of them ran");
                    assert_eq!(report.exit_values().len() as u64, report.replaced() + 2, "{what}");
                } else {
                    drop(pool);
                }
                for task in tasks {
                    match task.join() {
                        Ok(n) => assert!(n >= 100, "{what}: {n}"),
                        Err(error) => {
                            assert!(!orderly, "{what}: {error}");
                            assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Far more tasks than the workers can run before they are replaced, of which most have not begun.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_end_with_a_long_queue(context: Context) -> Outcome {
    const TASKS: u64 = 40;
    for limit in 1..=3 {
        for joined in [0, 1, 5, 17, TASKS - 1] {
            for end in ["shutdown", "terminate", "drop"] {
                let what = format!("limit {limit}, {joined} joined, {end}");
                let pool = limited(context, limit)?;
                let submit = |n| pool.submit(n, |(), n: u64| n);
                let tasks = (0..TASKS).map(submit).collect::<offspring::Result<Vec<_>>>()?;
                let mut tasks = (0..TASKS).zip(tasks);
                for (n, task) in tasks.by_ref().take(usize::try_from(joined)?) {
                    assert_eq!(task.join()?, n, "{what}");
                }
                match end {
                    "shutdown" => {
                        let report = pool.shutdown()?;
                        assert_eq!(report.tasks(), TASKS, "{what}: {report:?}");
                        // Of those that came after the last task, perhaps none was needed.
                        let least = TASKS / limit;
                        assert!(report.replaced() + 2 >= least, "{what}: {report:?}");
                        assert_eq!(report.abnormal_exits(), [], "{what}");
                    }
                    "terminate" => pool.terminate(),
                    _ => drop(pool),
                }
                for (n, task) in tasks {
                    match task.join() {
                        Ok(found) => assert_eq!(found, n, "{what}"),
                        Err(error) => {
                            assert_ne!(end, "shutdown", "{what}: {error}");
                            assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
                            assert_eq!(error.index(), n, "{what}: {error}");
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
const MIB: usize = 1 << 20;

/// So many bytes that are really there.
#[cfg(target_os = "linux")]
fn memory(bytes: usize) -> Vec<u8> {
    std::hint::black_box(vec![1; bytes])
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn growth_is_followed_by_a_fresh_worker(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(2)
        .memory_growth_limit(20 * MIB as u64)
        .init((), |()| Vec::new())
        .exit(|kept: Vec<Vec<u8>>| kept.len() as u64)
        .build()?;
    let mut most = 0;
    for (n, result) in (0..).zip(pool.map(0..120u64, |kept, n| {
        kept.push(memory(2 * MIB));
        // Longer than between two looks.
        std::thread::sleep(Duration::from_millis(11));
        (n, kept.len())
    })) {
        let (value, kept) = result?;
        assert_eq!(value, n);
        most = most.max(kept);
    }
    // With 2 MiB each, the limit is passed after ten or eleven.
    assert!(most <= 12, "a worker kept {most}");
    let report = pool.shutdown()?;
    assert!(report.replaced() >= 120 / 12 - 2, "{report:?}");
    assert_eq!((report.tasks(), report.abnormal_exits()), (120, &[][..]));
    let left = report.into_exit_values().into_iter().sum::<Result<u64, _>>()?;
    assert_eq!(left, 120, "each worker ends in an orderly way, with all it has");
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn growth_within_a_large_window(context: Context) -> Outcome {
    // The workers have many tasks that they have not begun when they leave.
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(2)
        .memory_growth_limit(16 * MIB as u64)
        .init(log.path(), |log| (log, Vec::new()))
        .build()?;
    for (n, result) in (0..).zip(pool.map(0..20_000u64, |(log, kept), n| {
        if n % 1000 == 700 {
            note(log, n);
            kept.push(memory(40 * MIB));
        }
        n * n
    })) {
        assert_eq!(result?, n * n);
    }
    assert_eq!(log.lines().len(), 20, "each of them once: {:?}", lines(&log.path()));
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.abnormal_exits()), (20_000, &[][..]));
    assert!(report.replaced() >= 1, "{report:?}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_the_initialiser_took_is_no_growth(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(2)
        .memory_growth_limit(32 * MIB as u64)
        .init((), |()| memory(100 * MIB))
        .build()?;
    for result in pool.map(0..10usize, |kept, n| {
        std::thread::sleep(Duration::from_millis(11));
        usize::from(kept[n])
    }) {
        assert_eq!(result?, 1);
    }
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_that_takes_too_much_memory_dies_alone(context: Context) -> Outcome {
    let pool = context.pool().workers(2).memory_limit(1024 * MIB as u64).build()?;
    let mut died = 0;
    for (n, result) in (0..)
        .zip(pool.map(0..40usize, |(), n| memory(if n % 10 == 3 { 2048 * MIB } else { MIB }).len()))
    {
        match result {
            Ok(size) => assert_eq!((size, n % 10 == 3), (MIB, false), "task {n}"),
            Err(error) => {
                assert_eq!((error.kind(), n % 10), (ErrorKind::Died, 3), "{error}");
                assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}");
                died += 1;
            }
        }
    }
    assert_eq!(died, 4);
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (40, 4));
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_limit_of_memory_is_felt_by_each_worker(context: Context) -> Outcome {
    // A task can also live with it.
    let pool = context.pool().workers(3).memory_limit(1024 * MIB as u64).build()?;
    for result in
        pool.broadcast(2048 * MIB, |(), bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_err())?
    {
        assert!(result?, "more than the limit was given");
    }
    pool.shutdown()?;
    Ok(())
}
