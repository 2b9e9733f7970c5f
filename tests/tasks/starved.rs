//! A program without a free descriptor: what cannot be received is told and goes to nobody else, and pools go on.

use std::error::Error;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use offspring::{Context, ErrorKind, Phase, Sendable};

use crate::harness::props::{Scratch, note};
use crate::harness::scarcity::limited;
use crate::harness::{Outcome, eventually};

/// Runs something with so many free descriptors.
fn with_free<T>(count: u64, run: impl FnOnce() -> T) -> std::io::Result<T> {
    let first = File::open("/dev/null")?.as_raw_fd();
    Ok(limited(libc::RLIMIT_NOFILE, u64::from(first.unsigned_abs()) + count, run))
}

fn files((count, log): (usize, PathBuf)) -> Vec<Sendable<File>> {
    let open = || Sendable::from(File::open("/dev/null").expect("it can be opened"));
    let files = std::iter::repeat_with(open).take(count).collect();
    note(&log, count);
    files
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_result_that_cannot_be_received_is_not_that_of_the_next(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).restart_budget(10).build()?;
    // So that several are sent ahead.
    for (n, result) in (0..).zip(pool.map(0..3000u64, |(), n| n)) {
        assert_eq!(result?, n);
    }
    let first = pool.submit((2, log.path()), |(), what| files(what))?;
    let second = pool.submit((1, log.path()), |(), what| files(what))?;
    let third = pool.submit((0, log.path()), |(), what| files(what))?;
    // Nobody reads meanwhile, and the third begins when the results of the others are on their way. On a machine that
    // is very busy fewer are sent ahead.
    let ahead = pool.stats().tasks_in_flight;
    eventually("they have run", || log.lines().len() as u64 >= ahead);
    let error = with_free(1, || first.join())?.expect_err("there is room for one");
    assert_eq!((error.kind(), error.phase()), (ErrorKind::System, Phase::Started), "{error}");
    let cause = error.source().expect("the system refused").to_string();
    assert!(cause.contains("ulimit -n"), "{error}: {cause}");
    // They had been answered too, behind what was lost.
    for (task, count) in [(second, 1), (third, 0)] {
        match task.join() {
            Ok(files) => assert_eq!(files.len(), count),
            Err(error) => assert_eq!(error.phase(), Phase::Started, "{error}"),
        }
    }
    assert_eq!(pool.submit((3, log.path()), |(), what| files(what))?.join()?.len(), 3);
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_result_that_cannot_be_received_is_not_tried_again(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).retries(5).restart_budget(10).build()?;
    pool.submit(0u8, |(), n| n)?.join()?;
    let task = pool.submit((1, log.path()), |(), what| files(what))?;
    let error = with_free(0, || task.join())?.expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::System, "{error}");
    assert_eq!(log.lines(), ["1"], "it was not the task");
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_come_up_without_a_free_descriptor(context: Context) -> Outcome {
    let pool = context.pool().workers(4).build()?;
    with_free(0, || -> Outcome {
        for (n, result) in (0..).zip(pool.map(0..1000u64, |(), n| n + 1)) {
            assert_eq!(result?, n + 1);
        }
        Ok(())
    })??;
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}
