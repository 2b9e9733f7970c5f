//! One task for each worker.

use std::collections::BTreeSet;

use offspring::{Context, ErrorKind, Phase, SharedSlice};

use crate::harness::props::{Scratch, kill, note, stop, wait_for};
use crate::harness::{Outcome, eventually, leaks};
use crate::{pids, who};

/// How many workers a pool has that was asked for so many.
fn count(context: Context, workers: usize) -> usize {
    if context.is_isolated() { workers } else { 1 }
}

#[offspring::test]
fn each_worker_once_in_order(context: Context) -> Outcome {
    let pool = context.pool().workers(4).init((), |()| 0u64).build()?;
    for round in 0..20 {
        let all = pool.broadcast(round, |count, round: u64| {
            *count += 1;
            (who(), round, *count, std::process::id())
        })?;
        assert_eq!(all.len(), count(context, 4));
        let mut seen = BTreeSet::new();
        for (n, result) in all.into_iter().enumerate() {
            let ((index, generation, done), told, times, pid) = result?;
            assert_eq!((index, generation, done, told), (n, 0, round, round));
            assert_eq!(times, round + 1, "worker {n}");
            assert!(seen.insert(pid), "two of them in process {pid}");
        }
    }
    assert_eq!(pool.shutdown()?.tasks(), 20 * count(context, 4) as u64);
    Ok(())
}

#[offspring::test]
fn states_are_set_and_read(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), |()| Vec::new()).build()?;
    for word in ["one", "two"] {
        for result in pool.broadcast(word.to_owned(), Vec::push)? {
            result?;
        }
    }
    for result in pool.map(0..50u8, |words, _| words.join(" ")) {
        assert_eq!(result?, "one two");
    }
    Ok(())
}

#[offspring::test]
fn large_and_shared_arguments(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let table: SharedSlice<u32> = SharedSlice::from_iter(0..5000u32)?;
    let argument = (vec![7u8; 2 << 20], table);
    let all = pool.broadcast(argument, |(), (mut bytes, table): (Vec<u8>, SharedSlice<u32>)| {
        bytes.push(u8::try_from(who().0).unwrap());
        (bytes, table[4999])
    })?;
    assert_eq!(all.len(), count(context, 3));
    for (n, result) in all.into_iter().enumerate() {
        let (bytes, last) = result?;
        assert_eq!((bytes.len(), bytes[0], last), ((2 << 20) + 1, 7, 4999));
        assert_eq!(usize::from(bytes[2 << 20]), n);
    }
    Ok(())
}

#[offspring::test]
fn one_worker_panics(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let last = count(context, 3) - 1;
    let all = pool.broadcast(last, |(), last: usize| {
        let index = who().0;
        assert!(index != last, "not worker {index}");
        index
    })?;
    assert_eq!(all.len(), last + 1);
    for (n, result) in all.into_iter().enumerate() {
        match result {
            Ok(index) => assert_eq!(index, n),
            Err(error) => {
                assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, n as u64));
                assert_eq!((n, error.worker()), (last, Some(last)), "{error}");
                assert_eq!(error.panic().unwrap().message(), format!("not worker {last}"));
            }
        }
    }
    assert_eq!(pids(&pool)?.len(), last + 1);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test]
fn inside_an_input_iterator(context: Context) -> Outcome {
    let pool = context.pool().workers(2).in_flight(8).build()?;
    let inputs = (0..20u64).map(|n| {
        let all = pool.broadcast(n, |(), n| n + 1).unwrap();
        all.into_iter().map(Result::unwrap).sum::<u64>()
    });
    let workers = count(context, 2) as u64;
    for (n, result) in (0..).zip(pool.map(inputs, |(), n| n)) {
        assert_eq!(result?, (n + 1) * workers);
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn before_any_worker_is_up(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(3).init(gate.path(), |gate| wait_for(&gate)).build()?;
    let queued = pool.submit((), |(), ()| who().0)?;
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| gate.open());
        let all = pool.broadcast((), |(), ()| who())?;
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        let places: Vec<_> =
            all.iter().map(|&(index, generation, _)| (index, generation)).collect();
        assert_eq!(places, [(0, 0), (1, 0), (2, 0)]);
        let before: u64 = all.iter().map(|&(.., tasks)| tasks).sum();
        assert!(before <= 1, "nothing but what was queued came first: {all:?}");
        Ok(())
    })?;
    assert!(queued.join()? < 3);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn after_a_worker_was_killed(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), |()| std::process::id()).build()?;
    for round in 0..10 {
        let before = pids(&pool)?;
        let victim = before[round % 3];
        kill(victim, libc::SIGKILL);
        eventually("it is gone", || !leaks::is_alive(victim));
        let all = pool.broadcast((), |made, ()| (*made, std::process::id()))?;
        for (n, result) in all.into_iter().enumerate() {
            let (made, pid) = result?;
            assert_eq!(made, pid, "worker {n} has a state of its own");
            assert_eq!(pid == before[n], n != round % 3, "worker {n} in round {round}");
        }
    }
    assert_eq!(pool.shutdown()?.replaced(), 10);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_worker_aborts(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let before = pids(&pool)?;
    let all = pool.broadcast((), |(), ()| {
        if who().0 == 1 {
            std::process::abort();
        }
        std::process::id()
    })?;
    for (n, result) in all.into_iter().enumerate() {
        match result {
            Ok(pid) => assert_eq!(pid, before[n]),
            Err(error) => {
                assert_eq!((n, error.kind(), error.index()), (1, ErrorKind::Died, 1), "{error}");
                assert_eq!((error.phase(), error.worker()), (Phase::Started, Some(1)), "{error}");
                assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}");
            }
        }
    }
    let after = pids(&pool)?;
    assert_eq!((after[0], after[2]), (before[0], before[2]));
    assert_ne!(after[1], before[1]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_worker_dies_before_it_begins(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).build()?;
    let before = pids(&pool)?;
    // It is sent its task, and never wakes up to begin it.
    stop(before[1]);
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            eventually("the other one is done", || !log.lines().is_empty());
            kill(before[1], libc::SIGKILL);
        });
        let all = pool.broadcast(log.path(), |(), log| {
            note(&log, who().0);
            (who().1, std::process::id())
        })?;
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(all[0], (0, before[0]));
        assert_eq!(all[1].0, 1, "its replacement did it");
        Ok(())
    })?;
    assert_eq!(log.lines(), ["0", "1"]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn between_tasks_of_a_map(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), |()| 0u64).build()?;
    let mut results = pool.map(0..5000u64, |_, n| n);
    for n in 0..5000 {
        assert_eq!(results.next().unwrap()?, n);
        if n % 250 == 0 {
            let all = pool.broadcast(n, |seen, n| {
                let before = *seen;
                *seen = n + 1;
                before
            })?;
            let before = if n == 0 { 0 } else { n - 249 };
            for result in all {
                assert_eq!(result?, before);
            }
        }
    }
    assert!(results.next().is_none());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_large_one_waits_for_a_long_task(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).build()?;
    let held = pool.submit(gate.path(), |(), gate| {
        wait_for(&gate);
        who().0
    })?;
    eventually("it runs", || held.pid().is_some());
    std::thread::scope(|scope| -> Outcome {
        let (pool, gate) = (&pool, &gate);
        // Much goes on meanwhile, and the argument is not sent again each time.
        scope.spawn(move || {
            for (n, result) in (0..).zip(pool.map(0..20_000u64, |(), n| n)) {
                assert_eq!(result.unwrap(), n);
            }
            gate.open();
        });
        let all = pool.broadcast(vec![3u8; 8 << 20], |(), bytes| (who().0, bytes.len()))?;
        for (n, result) in all.into_iter().enumerate() {
            assert_eq!(result?, (n, 8 << 20));
        }
        Ok(())
    })?;
    assert!(held.join()? < 2);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn from_several_threads(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), |()| 0u64).build()?;
    let pool = &pool;
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            scope.spawn(move || {
                for n in 0..50u64 {
                    let all = pool.broadcast((thread, n), |count, sent: (u64, u64)| {
                        *count += 1;
                        (who().0, sent)
                    });
                    for (index, result) in all.unwrap().into_iter().enumerate() {
                        assert_eq!(result.unwrap(), (index, (thread, n)));
                    }
                }
            });
        }
    });
    let counts = pool.broadcast((), |count, ()| *count)?;
    assert_eq!(counts.into_iter().collect::<Result<Vec<_>, _>>()?, [150; 3]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_waits_for_one_worker_is_counted(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).build()?;
    let held = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    eventually("it runs", || held.pid().is_some());
    std::thread::scope(|scope| -> Outcome {
        let pool = &pool;
        let all = scope.spawn(move || pool.broadcast(vec![1u8; 100], |(), bytes| bytes.len()));
        eventually("it is seen to wait", || {
            let stats = pool.stats();
            stats.tasks_waiting == 1 && stats.bytes_waiting >= 100
        });
        gate.open();
        let all = all.join().expect("it does not panic")?.into_iter();
        assert_eq!(all.collect::<Result<Vec<_>, _>>()?, [100]);
        Ok(())
    })?;
    held.join()?;
    let stats = pool.stats();
    assert_eq!((stats.tasks_waiting, stats.bytes_waiting), (0, 0));
    Ok(())
}
