//! Waiting until all workers have their states.

use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind};

use crate::harness::props::{Scratch, kill, note, wait_for};
use crate::harness::{Outcome, leaks};
use crate::pids;

const LONG: Duration = Duration::from_secs(3600);

#[offspring::test]
fn all_states_are_made(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let init = |log: std::path::PathBuf| {
        std::thread::sleep(Duration::from_millis(20));
        note(&log, std::process::id());
    };
    let pool = context.pool().workers(3).init(log.path(), init).build()?;
    for _ in 0..3 {
        pool.ready(LONG)?;
        let made = log.lines();
        assert_eq!(made.len(), if context.is_isolated() { 3 } else { 1 }, "{made:?}");
    }
    let made: Vec<u32> = log.lines().iter().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids(&pool)?.iter().all(|pid| made.contains(pid)), "{made:?}");
    assert_eq!(pool.shutdown()?.tasks(), made.len() as u64);
    Ok(())
}

#[offspring::test]
fn a_failing_initialiser_is_told(context: Context) -> Outcome {
    let init = |()| -> u8 { panic!("no state today") };
    let pool = context.pool().workers(2).init((), init).build()?;
    for _ in 0..2 {
        let error = pool.ready(LONG).unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Init, Some(context)), "{error}");
        assert_eq!(error.panic().unwrap().message(), "no state today");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_limit_that_passes_can_be_tried_again(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).init(gate.path(), |gate| wait_for(&gate)).build()?;
    for limit in [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(50)] {
        let begun = Instant::now();
        let error = pool.ready(limit).unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::TimedOut, Some(context)));
        assert!(begun.elapsed() >= limit, "{:?} of {limit:?}", begun.elapsed());
    }
    gate.open();
    pool.ready(Duration::MAX)?;
    pool.ready(Duration::ZERO)?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_killed_worker_is_waited_for(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    pool.ready(LONG)?;
    let before = pids(&pool)?;
    kill(before[0], libc::SIGKILL);
    crate::harness::eventually("it is gone", || !leaks::is_alive(before[0]));
    pool.ready(LONG)?;
    let after = pids(&pool)?;
    assert_eq!(after[1], before[1]);
    assert_ne!(after[0], before[0]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn an_initialiser_that_ends_its_process(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), |()| std::process::abort()).build()?;
    let error = pool.ready(LONG).unwrap_err();
    assert_eq!((error.kind(), error.signal()), (ErrorKind::Init, Some(libc::SIGABRT)), "{error}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn ready_makes_progress_without_patience(context: Context) -> Outcome {
    let pool = context.pool().workers(3).build()?;
    crate::harness::eventually("asking is enough", || pool.ready(Duration::ZERO).is_ok());
    Ok(())
}
