//! Locks and events in captures: a child finds the very ones of this process, also a worker that runs already.

use std::time::Duration;

use offspring::Context;
use offspring::sync::{Event, Mutex};

use crate::harness::Outcome;

/// Reached by a deadlock, and by nothing else.
const LONG: Duration = Duration::from_secs(100);

/// How often a task takes the lock.
const EACH: u64 = 50;

type Held = (Mutex<u64>, Event);

/// Where a task finds what was captured for it.
static HELD: std::sync::Mutex<Option<Held>> = std::sync::Mutex::new(None);

struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        *HELD.lock().unwrap() = None;
    }
}

fn hold(held: Held) -> Release {
    *HELD.lock().unwrap() = Some(held);
    Release
}

fn held() -> Held {
    HELD.lock().unwrap().clone().expect("it was captured")
}

fn new() -> offspring::Result<Held> {
    Ok((Mutex::new(0)?, Event::new()?))
}

fn add(n: u64) {
    let (sum, _) = held();
    for _ in 0..EACH {
        *sum.lock().expect("nobody dies") += n;
    }
}

fn tell() -> bool {
    held().1.set();
    true
}

fn wait() -> bool {
    held().1.wait_timeout(LONG).is_ok()
}

/// Whether it could have the lock.
fn try_it() -> bool {
    held().0.try_lock().expect("nobody dies").is_some()
}

#[offspring::test]
fn locks_for_a_process(context: Context) -> Outcome {
    let (sum, told) = new()?;
    let captured = (sum.clone(), told.clone());
    let _guard = offspring::capture("held", move || captured.clone(), hold)?;
    let children = (1..=3).map(|n| {
        context.process().start(n, |n| {
            add(n);
            tell()
        })
    });
    let children = children.collect::<Result<Vec<_>, _>>()?;
    told.wait_timeout(LONG)?;
    for child in children {
        assert!(child.join()?);
    }
    assert_eq!(*sum.lock()?, EACH * (1 + 2 + 3));
    // It is known who has it.
    if context.is_isolated() {
        let mine = sum.lock()?;
        assert!(!context.process().start((), |()| try_it())?.join()?, "this process has it");
        drop(mine);
    }
    assert!(context.process().start((), |()| try_it())?.join()?, "nobody has it");
    Ok(())
}

#[offspring::test]
fn locks_for_workers_that_run_already(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    pool.ready(LONG)?;
    let workers = |pool: &offspring::Pool<()>| -> Result<Vec<u32>, Box<dyn std::error::Error>> {
        let pids = pool.broadcast((), |(), ()| std::process::id())?;
        Ok(pids.into_iter().collect::<Result<_, _>>()?)
    };
    let before = workers(&pool)?;
    let current = std::sync::Arc::new(std::sync::Mutex::new(new()?));
    let get = {
        let current = current.clone();
        move || current.lock().unwrap().clone()
    };
    let _guard = offspring::capture("held", get, hold)?;
    // And others in their place, for the same workers.
    for round in 0..3 {
        let (sum, told) = new()?;
        *current.lock().unwrap() = (sum.clone(), told.clone());
        let (wait, tell) = (|_: &mut (), ()| wait(), |_: &mut (), ()| tell());
        let both = if context.is_isolated() {
            // One waits for what the other one does.
            [pool.submit((), wait)?, pool.submit((), tell)?]
        } else {
            [pool.submit((), tell)?, pool.submit((), wait)?]
        };
        for task in both {
            assert!(task.join()?, "round {round}");
        }
        assert!(told.is_set(), "round {round}");

        let tasks = (0..10).map(|n| pool.submit(n, |_: &mut (), n: u64| add(n)));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        for result in pool.map(10..100, |_: &mut (), n: u64| add(n)) {
            result?;
        }
        for task in tasks {
            task.join()?;
        }
        assert_eq!(*sum.lock()?, EACH * (0..100).sum::<u64>(), "round {round}");
        if context.is_isolated() {
            let mine = sum.lock()?;
            for result in pool.map(0..4, |_: &mut (), _: i32| try_it()) {
                assert!(!result?, "round {round}: this process has it");
            }
            drop(mine);
        }
    }
    assert_eq!(workers(&pool)?, before, "they are the same workers");
    pool.shutdown()?;
    Ok(())
}
