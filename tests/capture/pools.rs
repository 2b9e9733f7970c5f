//! Pools under captures: what is sent, how often, and that it survives whatever befalls workers.

use std::path::PathBuf;

use offspring::{Context, ErrorKind, Reuse, SharedSlice};

use crate::harness::Outcome;
use crate::{capture_level, level, set_level};

#[offspring::test]
fn every_reuse(context: Context) -> Outcome {
    let _guard = capture_level();
    for reuse in [Reuse::Keep, Reuse::PerMap, Reuse::PerTask] {
        let pool = context.pool().workers(2).reuse(reuse).init((), |()| 0).build()?;
        for round in 0..3i64 {
            let inputs = (0..12i64).inspect(|n| set_level(round + n / 3));
            for (n, found) in (0..).zip(pool.map(inputs, |_: &mut i32, _| level())) {
                assert_eq!(found?, round + n / 3, "{reuse:?}, round {round}, item {n}");
            }
            set_level(90 + round);
            // Small ones and large ones in turns: with copies, both read the same socket.
            for size in [0, 200_000, 10, 50_000, 70_000] {
                let found = pool
                    .submit(vec![7u8; size], |_: &mut i32, bytes: Vec<u8>| (bytes.len(), level()));
                assert_eq!(found?.join()?, (size, 90 + round), "{reuse:?}");
            }
        }
    }
    Ok(())
}

#[offspring::test]
fn more_sets_than_a_worker_remembers(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(2).build()?;
    // All at once, so that they are mixed in the rings; and back to those that were forgotten.
    let mut tasks = Vec::new();
    for n in (0..300).chain((0..300).rev()) {
        set_level(n);
        tasks.push((n, pool.submit((), |_: &mut (), ()| level())?));
    }
    for (n, task) in tasks {
        assert_eq!(task.join()?, n);
    }
    Ok(())
}

#[offspring::test]
fn large_values_and_large_arguments(context: Context) -> Outcome {
    static HELD: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());
    let size = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let wanted = size.clone();
    let get = move || vec![3u8; wanted.load(std::sync::atomic::Ordering::Relaxed)];
    let _guard = offspring::capture("held", get, |bytes: Vec<u8>| *HELD.lock().unwrap() = bytes)?;
    let pool = context.pool().workers(2).build()?;
    let sizes = [0usize, 4_000_000, 1, 300_000, 40_000];
    for argument in sizes {
        let inputs = sizes.iter().map(|held| {
            size.store(*held, std::sync::atomic::Ordering::Relaxed);
            vec![9u8; argument]
        });
        let found = pool
            .map(inputs, |_: &mut (), bytes: Vec<u8>| (bytes.len(), HELD.lock().unwrap().len()));
        for (found, held) in found.zip(sizes) {
            assert_eq!(found?, (argument, held));
        }
    }
    Ok(())
}

/// They travel in captures as in arguments; two with equal contents are not the same.
#[offspring::test]
fn shared_slices(context: Context) -> Outcome {
    static HELD: std::sync::Mutex<Vec<u64>> = std::sync::Mutex::new(Vec::new());
    let slice = std::sync::Arc::new(std::sync::Mutex::new(SharedSlice::from_slice(&[1u64, 2])?));
    let held = slice.clone();
    let get = move || held.lock().unwrap().clone();
    let set = |slice: SharedSlice<u64>| *HELD.lock().unwrap() = slice.to_vec();
    let _guard = offspring::capture("slice", get, set)?;
    let pool = context.pool().workers(2).build()?;
    for first in [1u64, 1, 2] {
        *slice.lock().unwrap() = SharedSlice::from_slice(&[first, 2])?;
        for found in pool.map(0..30, |_: &mut (), _: i32| HELD.lock().unwrap().clone()) {
            assert_eq!(found?, [first, 2]);
        }
        let child = context.process().start((), |()| HELD.lock().unwrap().clone())?;
        assert_eq!(child.join()?, [first, 2]);
    }
    Ok(())
}

/// AC47, AC49: what a program with captures answers does not depend on the context.
#[offspring::test]
fn the_same_on_every_context(context: Context) -> Outcome {
    fn run(context: Context, workers: usize) -> Result<Vec<i64>, Box<dyn std::error::Error>> {
        set_level(0);
        let _guard = capture_level();
        let pool = context.pool().workers(workers).build()?;
        let inputs = (0..50i64).inspect(|n| set_level(n % 4));
        let found = pool.map(inputs, |_: &mut (), n: i64| {
            set_level(level() * 10 + n);
            level()
        });
        let mut answers = found.collect::<Result<Vec<_>, _>>()?;
        answers.push(context.process().start((), |()| level())?.join()?);
        Ok(answers)
    }
    let none = run(Context::Inline, 1)?;
    for workers in 1..=3 {
        assert_eq!(run(context, workers)?, none, "by {workers} workers");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn sent_only_when_it_has_changed(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let _guard = capture_level();
    set_level(1);
    let run = |level_wanted: i64| -> Outcome {
        for found in pool.map(0..100, |_: &mut (), _: i32| level()) {
            assert_eq!(found?, level_wanted);
        }
        pool.submit((), |_: &mut (), ()| ())?.join()?;
        Ok(())
    };
    run(1)?;
    assert_eq!(pool.stats().captures_sent, 1);
    run(1)?;
    assert_eq!(pool.stats().captures_sent, 1, "nothing has changed");
    set_level(2);
    run(2)?;
    assert_eq!(pool.stats().captures_sent, 2);
    set_level(1);
    run(1)?;
    let sent = pool.stats().captures_sent;
    assert!(sent <= 3, "sent {sent} times");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn nothing_is_sent_without_captures(context: Context) -> Outcome {
    drop(capture_level());
    let pool = context.pool().workers(2).build()?;
    for found in pool.map(0..100, |_: &mut (), n: i32| n) {
        found?;
    }
    assert_eq!(pool.stats().captures_sent, 0);
    Ok(())
}

/// A file that is there as soon as a task has begun once.
fn first_time(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_are_retried(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(2).retries(1).build()?;
    let inputs =
        (0..40i64).inspect(|n| set_level(n * 3)).map(|n| (n, first_time(&format!("tried-{n}"))));
    let results = pool.map(inputs, |_: &mut (), (n, mark): (i64, PathBuf)| {
        if n % 8 == 5 && std::fs::File::create_new(&mark).is_ok() {
            std::process::abort();
        }
        level()
    });
    for (n, found) in (0..).zip(results) {
        assert_eq!(found?, n * 3, "item {n}");
    }
    for n in 0..40 {
        let _ = std::fs::remove_file(first_time(&format!("tried-{n}")));
    }
    Ok(())
}

/// Those that were sent ahead to a worker that dies go to another, which was not told yet.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_that_are_killed(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(3).build()?;
    let inputs = (0..400i64).inspect(|n| set_level(n / 9));
    let results = pool.map(inputs, |_: &mut (), n: i64| {
        if n % 50 == 20 {
            std::process::abort();
        }
        level()
    });
    for (n, found) in (0i64..).zip(results) {
        match found {
            Ok(found) => assert_eq!(found, n / 9, "item {n}"),
            Err(error) => assert_eq!((error.kind(), n % 50), (ErrorKind::Died, 20), "{error}"),
        }
    }
    Ok(())
}

/// What was taken back is passed over, and what was told with it is known all the same.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn cancelled_among_others(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(1).build()?;
    for round in 0..20i64 {
        let mut tasks = Vec::new();
        for n in 0..40 {
            set_level(round * 100 + n / 4);
            let size = if n % 7 == 3 { 60_000 } else { 8 };
            tasks.push((n, pool.submit(vec![0u8; size], |_: &mut (), _: Vec<u8>| level())?));
        }
        for (_, task) in tasks.iter().filter(|(n, _)| n % 3 == 1) {
            task.cancel();
        }
        for (n, task) in tasks {
            match task.join() {
                Ok(found) => assert_eq!(found, round * 100 + n / 4, "round {round}, task {n}"),
                Err(error) => {
                    assert_eq!((error.kind(), n % 3), (ErrorKind::Cancelled, 1), "{error}");
                }
            }
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn resized_and_recycled(context: Context) -> Outcome {
    let _guard = capture_level();
    let pool = context.pool().workers(2).tasks_per_worker(7).build()?;
    for round in 0..6i64 {
        pool.resize(1 + usize::try_from(round % 3)?)?;
        let inputs = (0..60i64).inspect(|n| set_level(round + n / 5));
        for (n, found) in (0..).zip(pool.map(inputs, |_: &mut (), _: i64| level())) {
            assert_eq!(found?, round + n / 5, "round {round}, item {n}");
        }
        pool.recycle();
    }
    Ok(())
}
