//! Tasks that workers are sent before they are ready.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Phase};

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{self, Outcome};
use crate::who;

/// The first worker waits here, the others do not.
fn first_waits(gate: PathBuf) {
    if who().0 == 0 {
        wait_for(&gate);
    }
}

/// Nobody has to hear that a worker is ready: the first task is there before.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_first_tasks_need_nobody_who_looks(context: Context) -> Outcome {
    let files = [Scratch::new("first"), Scratch::new("second")];
    let pool = context.pool().workers(2).build()?;
    let tasks = files
        .each_ref()
        .map(|file| pool.submit(file.path(), |(), path| note(&path, "done")).expect("it is taken"));
    // With nothing but these two files is the pool waited for.
    files.iter().for_each(|file| wait_for(&file.path()));
    tasks.into_iter().try_for_each(offspring::Task::join)?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_one_has_that_is_not_ready_others_do(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).init(gate.path(), first_waits).build()?;
    let tasks = [(); 4].map(|()| pool.submit((), |(), ()| who().0).expect("it is taken"));
    for task in tasks {
        assert_eq!(task.join()?, 1, "the other is not ready");
    }
    // It passes over what it had.
    gate.open();
    let all = pool.broadcast((), |(), ()| who())?.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(all, [(0, 0, 0), (1, 0, 4)]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_one_has_that_does_not_come_up_its_successor_does(context: Context) -> Outcome {
    for dies in [false, true] {
        let init = |dies: bool| match who().1 {
            0 if dies => std::process::abort(),
            0 => Err("not the first"),
            _ => Ok(()),
        };
        let pool = context.pool().workers(2).restart_budget(8).try_init(dies, init).build()?;
        for (n, result) in (0..100u32).zip(pool.map(0..100u32, |(), n| (n, who().1))) {
            let (result, generation) = result?;
            assert_eq!(result, n);
            assert!(generation > 0, "the first did not come up");
        }
    }
    Ok(())
}

/// One that comes up for ever keeps nobody from hearing that the pool is broken.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_one_has_that_is_not_ready_fails_with_the_pool(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let init = |gate: PathBuf| match who().0 {
        0 => harness::sleep_for_ever(),
        _ => {
            wait_for(&gate);
            Err::<(), _>("it never will")
        }
    };
    let pool = context.pool().workers(2).restart_budget(0).try_init(gate.path(), init).build()?;
    let tasks = [(); 4].map(|()| pool.submit((), |_, ()| ()).expect("it is taken"));
    gate.open();
    for task in tasks {
        let error = task.join().expect_err("no worker comes up");
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Init, Phase::NotStarted), "{error}");
    }
    Ok(())
}

/// A task that was sent ahead can be cancelled, and a pool with one be shut down.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_was_sent_ahead_can_be_cancelled(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).init(gate.path(), |gate| wait_for(&gate)).build()?;
    let [first, second, third] = [1, 2, 3].map(|n| pool.submit(n, |(), n| n).expect("it is taken"));
    first.cancel();
    gate.open();
    assert_eq!((second.join()?, third.join()?), (2, 3));
    let error = first.join().expect_err("it was cancelled");
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::NotStarted));
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// Also where there is always something else to do.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_one_has_that_is_not_ready_does_not_wait_for_the_end(context: Context) -> Outcome {
    const COUNT: usize = 400;
    let (gate, log) = (Scratch::new("gate"), Scratch::new("log"));
    let pool = context.pool().workers(2).init(gate.path(), first_waits).build()?;
    let tasks = (0..COUNT).map(|n| {
        pool.submit((n, log.path()), |(), (n, log)| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(1) {}
            note(&log, n);
        })
    });
    for task in tasks.collect::<offspring::Result<Vec<_>>>()? {
        task.join()?;
    }
    gate.open();
    let order = log.lines();
    let place = order.iter().position(|line| line == "0").expect("it is done");
    assert!(place < COUNT * 3 / 4, "it was done after {place} others: {order:?}");
    assert_eq!(order.len(), COUNT);
    Ok(())
}

/// Fresh workers have run nothing, also where nobody has heard yet that the old ones had.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_that_has_run_what_was_sent_ahead_is_recycled(context: Context) -> Outcome {
    static LEFT: AtomicU32 = AtomicU32::new(0);
    let done = Scratch::new("done");
    let pool = context.pool().workers(1).build()?;
    let first = pool.submit(done.path(), |(), done| {
        LEFT.store(1, Relaxed);
        note(&done, "done");
    })?;
    wait_for(&done.path());
    pool.recycle();
    let second = pool.submit((), |(), ()| (LEFT.load(Relaxed), who().1))?;
    assert_eq!(second.join()?, (0, 1));
    first.join()?;
    Ok(())
}

/// Who waits for much that its owner has no time to send has come up.
#[offspring::test(contexts(Spawn, ForkServer))]
fn one_that_waits_for_its_arguments_is_not_late(context: Context) -> Outcome {
    let limit = Duration::from_secs(5);
    let pool = context.pool().workers(3).start_timeout(limit);
    let pool = pool.init(vec![7u8; 4 << 20], |bytes| bytes.len()).build()?;
    std::thread::sleep(limit + Duration::from_secs(1));
    assert_eq!(pool.submit((), |length, ()| *length)?.join()?, 4 << 20);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// One that has run nothing is fresh, however often fresh ones are asked for.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_that_is_not_ready_is_not_recycled(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).init(gate.path(), |gate| wait_for(&gate)).build()?;
    let task = pool.submit((), |(), ()| who())?;
    for _ in 0..3 {
        pool.recycle();
    }
    gate.open();
    assert_eq!(task.join()?, (0, 0, 0));
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}
