//! What can happen to a worker, a task or a pool while an argument or a result is half-way.
//!
//! This process sends and reads only while it asks for something, so a value that is larger than the rings
//! stays half-way for as long as a case likes.

use std::time::Duration;

use offspring::{Context, ErrorKind, Exit, Phase, Pool, Task};

#[cfg(target_os = "linux")]
use crate::harness::props::stop;
use crate::harness::props::{Scratch, kill};
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, eventually};
use crate::{HUGE, answers_at_length, body};

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    killed_while_it_receives,
    #[cfg(target_os = "linux")]
    killed_while_it_sends,
    #[cfg(target_os = "linux")]
    stopped_while_it_receives,
    #[cfg(target_os = "linux")]
    stopped_while_it_sends,
    #[cfg(target_os = "linux")]
    taken_back,
    cancelled,
    recycled,
    resized,
    shut_down,
    dropped,
    terminated,
];

/// A task that has begun, and whose argument is not there yet; and who has it.
fn begun<S: 'static>(pool: &Pool<S>, seed: u64) -> offspring::Result<(Task<Vec<u8>>, u32)> {
    let task = pool.submit(body(seed, HUGE), |_, bytes: Vec<u8>| bytes)?;
    let mut pid = None;
    eventually("it begins", || {
        pid = task.pid();
        pid.is_some()
    });
    Ok((task, pid.unwrap_or(0)))
}

fn is_killed(exit: Option<Exit>) -> bool {
    matches!(exit, Some(Exit::Signal { signal: libc::SIGKILL, .. }))
}

fn works(pool: &Pool<()>) -> Outcome {
    for (n, answer) in (0..).zip(pool.map((0..3).map(|n| body(n, 1 << 20)), |(), bytes| bytes)) {
        assert!(answer? == body(n, 1 << 20), "answer {n}");
    }
    Ok(())
}

fn killed_while_it_receives(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    for round in 0..3 {
        let (task, pid) = begun(&pool, round)?;
        kill(pid, libc::SIGKILL);
        let error = task.join().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started), "{error}");
        assert!(is_killed(error.exit()), "{error}");
        works(&pool)?;
    }
    assert_eq!(pool.shutdown()?.replaced(), 3);
    Ok(())
}

#[cfg(target_os = "linux")]
fn killed_while_it_sends(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    works(&pool)?;
    for round in 0..3u64 {
        let log = Scratch::new("log");
        let task = pool.submit((log.path(), round), |(), order| answers_at_length(order))?;
        kill(crate::stuck(&log), libc::SIGKILL);
        let error = task.join().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Died, Phase::Started), "{error}");
        assert!(is_killed(error.exit()), "{error}");
        works(&pool)?;
    }
    assert_eq!(pool.shutdown()?.replaced(), 3);
    Ok(())
}

/// Longer than the time that a task has.
#[cfg(target_os = "linux")]
const LONG: Duration = Duration::from_secs(4);
#[cfg(target_os = "linux")]
const LIMIT: Duration = Duration::from_secs(3);

/// The time of a task begins when its argument is there.
#[cfg(target_os = "linux")]
fn stopped_while_it_receives(context: Context) -> Outcome {
    let pool = context.pool().workers(1).task_timeout(LIMIT).build()?;
    let (mut task, pid) = begun(&pool, 5)?;
    stop(pid);
    assert!(task.join_timeout(LONG)?.is_none(), "it has not got its argument");
    kill(pid, libc::SIGCONT);
    assert!(task.join()? == body(5, HUGE));
    works(&pool)?;
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// And it ends when the task is done.
#[cfg(target_os = "linux")]
fn stopped_while_it_sends(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).task_timeout(LIMIT).build()?;
    works(&pool)?;
    let mut task = pool.submit((log.path(), 6u64), |(), order| answers_at_length(order))?;
    let pid = crate::stuck(&log);
    stop(pid);
    assert!(task.join_timeout(LONG)?.is_none(), "it has not sent its result");
    kill(pid, libc::SIGCONT);
    assert!(task.join()? == body(6, HUGE));
    works(&pool)?;
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// From a worker that does not begin, with a part of the argument in its ring.
#[cfg(target_os = "linux")]
fn taken_back(context: Context) -> Outcome {
    use crate::harness::props::{note, wait_for};

    let pool = context.pool().workers(2).build()?;
    let pids = pool.broadcast((), |(), ()| std::process::id())?;
    let pids = pids.into_iter().collect::<Result<Vec<u32>, _>>()?;
    for (round, &pid) in (0..).zip(&pids) {
        stop(pid);
        // One of the two gets to the one that is stopped first, wherever that is.
        for n in 0..2 {
            let seed = 10 * round + n;
            let task = pool
                .submit(body(seed, 5_000_001), |(), bytes: Vec<u8>| (std::process::id(), bytes))?;
            let (ran, bytes) = task.join()?;
            assert!(ran != pid && bytes == body(seed, 5_000_001), "round {round}: by {ran}");
        }
        kill(pid, libc::SIGCONT);
        // Both have to do with large ones at the same time, which begin only together.
        let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
        let tasks = (0..2).map(|n| {
            let order = (log.path(), gate.path(), "x".repeat(3_000_000 + n));
            pool.submit(order, |(), (log, gate, text)| {
                note(&log, std::process::id());
                wait_for(&gate);
                text.len()
            })
        });
        let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
        eventually("both have begun", || {
            // So that the rest of the arguments is sent.
            tasks.iter().for_each(|task| assert!(!task.is_done()));
            log.lines().len() == 2
        });
        gate.open();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.join()?, 3_000_000 + n);
        }
    }
    works(&pool)?;
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

fn cancelled(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for round in 0..3 {
        let (task, _) = begun(&pool, round)?;
        let other = pool.submit(body(round, 2 << 20), |(), bytes: Vec<u8>| bytes)?;
        task.cancel();
        let error = task.join().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started));
        assert!(other.join()? == body(round, 2 << 20));
    }
    works(&pool)?;
    assert_eq!(pool.shutdown()?.replaced(), 3);
    Ok(())
}

fn recycled(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let (task, pid) = begun(&pool, 1)?;
    pool.recycle();
    works(&pool)?;
    assert!(task.join()? == body(1, HUGE), "those that have begun are finished by {pid}");
    works(&pool)?;
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}

fn resized(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    let tasks = (0..3).map(|n| begun(&pool, n));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    pool.resize(1)?;
    works(&pool)?;
    for (n, (task, _)) in (0..).zip(tasks) {
        assert!(task.join()? == body(n, HUGE), "task {n}");
    }
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}

fn shut_down(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..2).map(|n| begun(&pool, n));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.abnormal_exits()), (2, &[][..]), "{report:?}");
    for (n, (task, _)) in (0..).zip(tasks) {
        assert!(task.join()? == body(n, HUGE), "task {n}");
    }
    Ok(())
}

fn dropped(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    // Waiting for a worker that comes up would move all of the first one's argument meanwhile.
    pool.ready(Duration::MAX)?;
    let tasks = (0..2).map(|n| begun(&pool, n));
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    drop(pool);
    for (task, _) in tasks {
        let error = task.join().unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started));
    }
    Ok(())
}

fn terminated(context: Context) -> Outcome {
    // All of it may have been there before the pool was ended: then once more.
    for _ in 0..50 {
        let pool = context.pool().workers(2).build()?;
        let (task, _) = begun(&pool, 1)?;
        let log = Scratch::new("log");
        let sends = pool.submit((log.path(), 2u64), |(), order| answers_at_length(order))?;
        // Asking makes progress: nothing is sent while nobody uses the pool, and a worker may not be up yet.
        eventually("the other sends its result", || sends.is_done() || log.lines().len() == 1);
        pool.terminate();
        let outcomes = [task.join(), sends.join()];
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started));
        }
        if outcomes.iter().all(Result::is_err) {
            return Ok(());
        }
    }
    Err("the results were always there before the pool was ended".into())
}
