//! Several threads that submit, join, cancel and end the pool at the same time.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::{Context, ErrorKind, Task};

use crate::harness::props::{Random, Scratch, from_env};
use crate::harness::{self, Outcome, eventually};
use crate::held;

#[offspring::test]
fn submitted_here_and_joined_there(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init(2u64, |two| two).build()?;
    let tasks = (0..200u64).map(|n| pool.submit(n, |two, n| *two * n));
    let tasks = tasks.collect::<offspring::Result<Vec<Task<u64>>>>()?;
    let joined = std::thread::spawn(move || {
        (0..).zip(tasks).map(|(n, task)| (n, task.join().unwrap())).collect::<Vec<(u64, u64)>>()
    });
    for (n, value) in joined.join().unwrap() {
        assert_eq!(value, 2 * n);
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn submit_and_join_from_several_threads(context: Context) -> Outcome {
    let seed = Random::new().below(1 << 30);
    println!("threads: {seed}");
    let pool = context.pool().workers(3).init(1000u64, |base| base).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..5u64 {
            scope.spawn(move || {
                let mut open = Vec::new();
                for n in 0..300u64 {
                    let each = |base: &mut u64, (thread, n): (u64, u64)| *base * thread + n;
                    open.push((n, pool.submit((thread, n), each).unwrap()));
                    if (seed + n) % (thread + 2) == 0 {
                        let place = usize::try_from((seed ^ n) % open.len() as u64).unwrap();
                        let (n, task) = open.swap_remove(place);
                        assert_eq!(task.join().unwrap(), 1000 * thread + n, "thread {thread}");
                    }
                }
                for (n, task) in open {
                    assert_eq!(task.join().unwrap(), 1000 * thread + n, "thread {thread}");
                }
            });
        }
    });
    // Fork needs nobody else around only when the pool is built.
    assert_eq!(pool.submit(1u64, |base, n| *base + n)?.join()?, 1001);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn submitters_that_wait_for_room(context: Context) -> Outcome {
    let pool = context.pool().workers(2).in_flight(2).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                for n in 0..100u64 {
                    let task = pool.submit(n, |(), n| n * 3).unwrap();
                    if thread % 2 == 0 {
                        assert_eq!(task.join().unwrap(), 3 * n);
                    }
                }
            });
        }
    });
    assert_eq!(pool.submit(1u64, |(), n| n)?.join()?, 1);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_end_resolves_all_who_wait(context: Context) -> Outcome {
    for round in 0..10 {
        let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
        let pool = context.pool().workers(2).in_flight(8).build()?;
        let (pool, resolved) = (&pool, &AtomicU64::new(0));
        let tasks = (0..8).map(|_| pool.submit((log.path(), gate.path()), |(), paths| held(paths)));
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        if round % 2 == 0 {
            eventually("one runs", || tasks[0].pid().is_some());
        }
        let begin = &Barrier::new(12);
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for task in tasks {
                threads.push(scope.spawn(move || {
                    begin.wait();
                    let error = task.join().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                    resolved.fetch_add(1, Ordering::Relaxed);
                }));
            }
            threads.push(scope.spawn(move || {
                begin.wait();
                // It waits for room, or finds that the pool has ended.
                let error = pool.submit(1u8, |(), n| n).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                resolved.fetch_add(1, Ordering::Relaxed);
            }));
            threads.push(scope.spawn(move || {
                begin.wait();
                for result in pool.map(0..10u8, |(), n| n) {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
                }
                resolved.fetch_add(1, Ordering::Relaxed);
            }));
            threads.push(scope.spawn(move || {
                begin.wait();
                match pool.broadcast((), |(), ()| ()) {
                    // A worker that has just come up does this first.
                    Ok(all) => {
                        for error in all.into_iter().filter_map(Result::err) {
                            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                        }
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}"),
                }
                resolved.fetch_add(1, Ordering::Relaxed);
            }));
            begin.wait();
            std::thread::sleep(Duration::from_micros(300 * round));
            if round % 2 == 0 {
                pool.terminate();
                pool.terminate();
            } else {
                // Nobody has seen the workers: they come up while all wait.
                eventually("one has begun", || log.path().exists());
                pool.terminate();
            }
            // The end of a scope does not wait for the threads themselves, beside which nobody may fork.
            for thread in threads {
                thread.join().expect("it does not panic");
            }
        });
        assert_eq!(resolved.load(Ordering::Relaxed), 11, "round {round}");
    }
    Ok(())
}

#[offspring::test(timeout = "5min")]
fn submitting_while_the_pool_ends(context: Context) -> Outcome {
    let mut random = Random::new();
    let rounds = from_env("OFFSPRING_RACE_ROUNDS").unwrap_or(200);
    for round in 0..rounds {
        let pool = context.pool().workers(1).build()?;
        let pause = Duration::from_micros(random.below(2000));
        let pool = &pool;
        let begin = &Barrier::new(2);
        let tasks = std::thread::scope(|scope| {
            let submits = scope.spawn(move || {
                begin.wait();
                let mut tasks = Vec::new();
                loop {
                    match pool.submit(tasks.len(), |(), n| n) {
                        Ok(task) => tasks.push(task),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                            return tasks;
                        }
                    }
                }
            });
            begin.wait();
            std::thread::sleep(pause);
            pool.terminate();
            submits.join().unwrap()
        });
        for (n, task) in tasks.into_iter().enumerate() {
            match task.join() {
                Ok(value) => assert_eq!(value, n, "round {round}"),
                Err(error) => {
                    let found = (error.kind(), error.index());
                    assert_eq!(found, (ErrorKind::Cancelled, n as u64), "round {round}: {error}");
                }
            }
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_leaves_while_another_waits(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).build()?;
    let pool = &pool;
    let held_back = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || held_back.join().unwrap());
        // Whoever drives leaves again and again, and somebody who waits has to go on.
        for n in 0..50u64 {
            let mut never = pool.submit((), |(), ()| -> u8 { harness::sleep_for_ever() }).unwrap();
            assert_eq!(never.join_timeout(Duration::from_micros(n * 40)).unwrap(), None);
            never.cancel();
            assert_eq!(pool.submit(n, |(), n| n).unwrap().join().unwrap(), n);
        }
        gate.open();
        assert_ne!(waits.join().unwrap(), 0);
    });
    Ok(())
}
