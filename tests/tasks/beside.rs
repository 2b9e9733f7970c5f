//! A thread that gives a pool something to do while another one already sleeps for it.

use std::collections::BTreeSet;
use std::time::Duration;

use offspring::{Context, Pool};

use crate::harness::props::{Scratch, kill, stop};
use crate::harness::{Outcome, eventually};
use crate::{has_lines, held};

/// A thread waits for a task that ends when `run` has ended.
fn beside_one_that_waits<T>(
    pool: &Pool<()>,
    run: impl FnOnce(u32) -> offspring::Result<T>,
) -> offspring::Result<T> {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let task = pool.submit((log.path(), gate.path()), |(), paths| held(paths))?;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| task.join());
        eventually("it has begun", || has_lines(&log.path(), 1));
        let worker = log.lines()[0].parse().expect("a number");
        // Nothing tells that the thread sleeps without a limit, which it does when it has looked once more, after 5 ms.
        // With less time this shows less, and is not wrong.
        std::thread::sleep(Duration::from_millis(40));
        let result = run(worker);
        gate.open();
        waiting.join().expect("it only waits")?;
        result
    })
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_are_dealt_in_turn(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for round in 0..20 {
        let found = beside_one_that_waits(&pool, |_| {
            // Every second one is for the worker that is busy.
            pool.map_unordered(0..2u64, |(), n| n)
                .round_robin()
                .next()
                .expect("there is one")
                .map_err(Into::into)
        })?;
        assert!(found < 2, "round {round}: {found}");
    }
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_worker_that_is_stopped(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let all = pool.broadcast((), |(), ()| std::process::id())?;
    let all = all.into_iter().collect::<Result<BTreeSet<u32>, _>>()?;
    for round in 0..8 {
        beside_one_that_waits(&pool, |busy| {
            // Whichever of the others it is sent to first.
            for stopped in all.iter().filter(|pid| **pid != busy) {
                stop(*stopped);
                let task = pool.submit(round, |(), n: u64| (n, std::process::id()))?;
                let result = task.join();
                kill(*stopped, libc::SIGCONT);
                let (n, by) = result?;
                assert!(n == round && by != *stopped, "{n} by {by}, stopped {stopped}");
            }
            Ok(())
        })?;
    }
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}
