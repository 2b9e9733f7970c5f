//! Shared objects and pools: workers are told before the first task that needs it, and what they may forget.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use offspring::{Context, Reuse, Shared, worker};

use crate::harness::{self, Case, Outcome, eventually};
use crate::{Recipe, Table, Told, cases, dropped, encoded, made, made_in_child, told};

pub(super) const CASES: &[Case] = cases![
    one_older_than_the_pool,
    one_younger_than_the_pool,
    one_for_each_task,
    large_tasks_and_notices_keep_their_order,
    as_argument_of_the_initialiser,
    each_task_in_a_fresh_worker,
];
pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    workers_drop_what_is_gone,
    the_last_handle_may_go_while_the_task_waits,
    a_replaced_worker_is_told_again,
    every_entry_tells,
    taken_back_tasks_are_told_to_others,
];

fn apply((object, n): (Shared<Table>, u64)) -> Told<(u64, u32, u32)> {
    let table = told(object.get())?;
    Ok((table.apply(n), made(), std::process::id()))
}

/// AC8, AC104: encoded once, made once in each worker, and nothing for each task.
fn one_older_than_the_pool(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..1000).map(|n| (object.clone(), n));
    for (n, answer) in (0..).zip(pool.map(inputs, |(), input| apply(input))) {
        let (product, made, _) = answer??;
        assert_eq!((product, made), (3 * n, made_in_child(context)), "task {n}");
    }
    pool.shutdown()?;
    assert_eq!(encoded(), u32::from(!context.inherits_memory() && context.is_isolated()));
    Ok(())
}

/// AC17: it is sent with the first task that mentions it, on Fork too.
fn one_younger_than_the_pool(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.broadcast((), |(), ()| made())?.len(), pool.workers());
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let mut all = BTreeMap::new();
    for round in 0..3u64 {
        let inputs = (0..300).map(|n| (object.clone(), n + round));
        for (n, answer) in (round..).zip(pool.map(inputs, |(), input| apply(input))) {
            let (product, made, pid) = answer??;
            assert_eq!((product, made), (3 * n, 1), "round {round}");
            all.insert(pid, made);
        }
    }
    assert!(all.len() <= pool.workers());
    pool.shutdown()?;
    assert_eq!(encoded(), u32::from(context.is_isolated()));
    Ok(())
}

fn one_for_each_task(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..200).map(|n| {
        let object = Shared::new(Recipe { factor: n }, Table::make).expect("there is memory");
        (object, 2)
    });
    for (n, answer) in (0..).zip(pool.map(inputs, |(), input| apply(input))) {
        assert_eq!(answer??.0, 2 * n);
    }
    pool.shutdown()?;
    assert_eq!(dropped(), 200, "no handle is left");
    Ok(())
}

/// What comes over the socket, tasks and notices, and what comes through the ring.
fn large_tasks_and_notices_keep_their_order(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let inputs = (0..60u64).map(|n| {
        let object = Shared::new(Recipe { factor: n }, Table::make).expect("there is memory");
        // Some too large for the ring, some larger than a socket takes at once.
        let size = match n % 4 {
            0 => 0,
            1 => 60_000,
            2 => 10,
            _ => 1_000_000,
        };
        (vec![1u64; size / 8], object, n)
    });
    let sums = pool.map(inputs, |(), (numbers, object, n): (Vec<u64>, Shared<Table>, u64)| {
        Ok::<_, String>((numbers.len() as u64, told(object.get())?.apply(n)))
    });
    for (n, answer) in (0..).zip(sums) {
        let length = [0, 7500, 1, 125_000][n as usize % 4];
        assert_eq!(answer??, (length, n * n), "task {n}");
    }
    pool.shutdown()?;
    Ok(())
}

/// AC104.
fn as_argument_of_the_initialiser(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let pool = context.pool().workers(2).init(object, |object: Shared<Table>| object).build()?;
    for round in 0..2 {
        for (n, answer) in (0..).zip(pool.map(0..1000, |object, n| apply((object.clone(), n)))) {
            let (product, made, _) = answer??;
            assert_eq!((product, made), (3 * n, made_in_child(context)), "round {round}");
        }
        // The handle is gone, and yet replacements find the object.
        pool.recycle();
    }
    pool.shutdown()?;
    assert_eq!(encoded(), u32::from(!context.inherits_memory() && context.is_isolated()));
    Ok(())
}

/// The worker, not its copies, is told.
fn each_task_in_a_fresh_worker(context: Context) -> Outcome {
    let pool = context.pool().workers(1).reuse(Reuse::PerTask).build()?;
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    for n in 0..6u64 {
        let other = Shared::new(Recipe { factor: n }, Table::make)?;
        let numbers = vec![1u64; if n % 2 == 0 { 0 } else { 20_000 }];
        let input = (object.clone(), other, numbers);
        let task = pool.submit(input, |(), (object, other, numbers)| {
            let (object, other) = (apply((object, 5))?, apply((other, 5))?);
            Ok::<_, String>((object.0, other.0, numbers.len()))
        })?;
        let length = if n % 2 == 0 { 0 } else { 20_000 };
        assert_eq!(task.join()??, (15, 5 * n, length), "task {n}");
    }
    pool.shutdown()?;
    Ok(())
}

/// AC16: in the parent at once, in workers with a later task.
fn workers_drop_what_is_gone(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    assert_eq!(pool.submit((object.clone(), 1), |(), input| apply(input))?.join()??.0, 3);
    assert_eq!(pool.submit((), |(), ()| dropped())?.join()?, 0);
    drop(object);
    assert_eq!(dropped(), 1);
    assert_eq!(pool.submit((), |(), ()| dropped())?.join()?, 1);
    // Another of the same type is not touched by that.
    let next = Shared::new(Recipe { factor: 4 }, Table::make)?;
    for n in 0..3 {
        let answer = pool.submit((next.clone(), n), |(), input| apply(input))?.join()??;
        assert_eq!(answer.0, 4 * n);
    }
    pool.shutdown()?;
    Ok(())
}

fn the_last_handle_may_go_while_the_task_waits(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let tasks = (0..50).map(|n| {
        let object = Shared::new(Recipe { factor: n }, Table::make)?;
        pool.submit((object, 2), |(), input| apply(input))
    });
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(dropped(), 50, "none is left here");
    for (n, task) in (0..).zip(tasks) {
        assert_eq!(task.join()??.0, 2 * n);
    }
    pool.shutdown()?;
    Ok(())
}

fn a_replaced_worker_is_told_again(context: Context) -> Outcome {
    let pool = context.pool().workers(1).retries(1).build()?;
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    for round in 0..3 {
        let answer = pool.submit((object.clone(), round), |(), input| apply(input))?.join()??;
        assert_eq!((answer.0, answer.1), (3 * round, 1));
        // Begun again by the next worker, after the first died of it.
        let task =
            pool.submit((object.clone(), round), |(), (object, n): (Shared<Table>, u64)| {
                if worker().is_some_and(|worker| worker.generation() == 2 * n) {
                    std::process::abort();
                }
                apply((object, n))
            })?;
        assert_eq!(task.join()??.0, 3 * round, "round {round}");
        pool.recycle();
    }
    pool.shutdown()?;
    Ok(())
}

fn every_entry_tells(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let fresh = || Shared::new(Recipe { factor: 3 }, Table::make);
    for answer in pool.broadcast((fresh()?, 1), |(), input| apply(input))? {
        assert_eq!(answer??.0, 3);
    }
    assert_eq!(pool.submit((fresh()?, 2), |(), input| apply(input))?.join()??.0, 6);
    assert_eq!(pool.try_submit((fresh()?, 2), |(), input| apply(input))?.join()??.0, 6);
    for answer in pool.map_unordered([(fresh()?, 4)], |(), input| apply(input)) {
        assert_eq!(answer??.0, 12);
    }
    for answer in pool.map([(fresh()?, 4)], |(), input| apply(input)).round_robin() {
        assert_eq!(answer??.0, 12);
    }
    pool.shutdown()?;
    for answer in context.map(vec![(fresh()?, 5); 3], apply)? {
        assert_eq!(answer??.0, 15);
    }
    if context == Context::Fork {
        let object = fresh()?;
        let child = offspring::fork::start(|| object.get().map_or(0, |table| table.apply(6)))?;
        assert_eq!(child.join()?, 18);
        for answer in offspring::fork::map(&[7; 3], |n| object.get().map_or(0, |it| it.apply(*n)))?
        {
            assert_eq!(answer?, 21);
        }
    }
    Ok(())
}

/// Enough, wherever workers are held up at times.
const ROUNDS: usize = 200;

/// What waits behind a long task goes to another worker, and what it mentions too.
fn taken_back_tasks_are_told_to_others(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let path = std::env::temp_dir().join("open");
    // How many are sent ahead is up to the pool, which knows its workers by how fast they were.
    for _ in 0..ROUNDS {
        assert_eq!(pool.map(0..2000u64, |(), n| n).filter(Result::is_ok).count(), 2000);
        let object = |n| Shared::named(format!("object {n}"), Recipe { factor: n }, Table::make);
        let objects = (0..40).map(object).collect::<Result<Vec<_>, _>>()?;
        let inputs = objects.iter().map(|object| (object.clone(), path.clone())).zip(0..);
        let answers = pool.map_unordered(inputs, |(), ((object, path), n): ((_, PathBuf), u64)| {
            if n == 0 {
                // Until all others are done, none of which can be done behind it.
                eventually("the others are done", || path.exists());
            }
            let who = worker().map(|worker| worker.index());
            apply((object, 3)).map(|answer| (answer.0, who))
        });
        let mut places = BTreeMap::new();
        for (index, answer) in answers.enumerated() {
            let (product, who) = answer??;
            assert_eq!(product, 3 * index);
            places.insert(index, who.ok_or("it is in a worker")?);
            if places.len() == 39 {
                assert!(!places.contains_key(&0), "it waits for the others");
                std::fs::write(&path, "")?;
            }
        }
        std::fs::remove_file(&path)?;
        assert_eq!(places.len(), 40);
        // Which objects the worker was told of that had the long task.
        let report = pool.report();
        let told: BTreeSet<_> = { report.workers().iter() }
            .filter(|worker| worker.index == places[&0])
            .flat_map(|worker| worker.restored.iter().map(|object| &object.name))
            .collect();
        let was_told = |n: u64| told.iter().any(|name| name.contains(&format!("`object {n}`")));
        assert!(was_told(0), "{told:?}");
        let taken_back = |(n, place): (&u64, &usize)| *place != places[&0] && was_told(*n);
        if places.iter().any(taken_back) {
            pool.shutdown()?;
            return Ok(());
        }
    }
    Err("nothing was ever taken back".into())
}
