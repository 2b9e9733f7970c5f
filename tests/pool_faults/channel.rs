//! What a task may do to the channel of its worker, on purpose or not.

use std::path::Path;

use offspring::{Context, ErrorKind, Phase};

use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    a_task_that_floods_the_output,
    a_task_that_closes_the_channel,
    a_task_that_writes_into_the_channel,
    both_directions_at_once,
    many_large_arguments_and_results,
];

fn a_task_that_floods_the_output(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..16usize, |(), n| {
        let line = "x".repeat(100);
        for _ in 0..2000 {
            println!("{line}");
            eprintln!("{line}");
        }
        n
    });
    for (n, result) in results.enumerate() {
        assert_eq!(result?, n);
    }
    Ok(())
}

/// The numbers of all sockets of this process.
fn sockets() -> Vec<i32> {
    let list = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    list.filter(|entry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        Path::new(&target).to_string_lossy().starts_with("socket:")
    })
    .map(|entry| entry.file_name().to_string_lossy().parse().unwrap())
    .collect()
}

/// Runs many short tasks, of which the 50th does something to its channel.
///
/// That one fails. Others that the worker had finished, but whose answers were lost, may fail too; none
/// is left without an outcome.
fn one_misuse<F>(context: Context, workers: usize, misuse: F) -> Outcome
where
    F: Fn(&mut (), u64) -> u64 + Copy + 'static,
{
    let pool = context.pool().workers(workers).build()?;
    let mut failed = Vec::new();
    let results: Vec<_> = pool.map(0..500u64, misuse).collect();
    assert_eq!(results.len(), 500);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
                assert_eq!(error.phase(), Phase::Started, "{error}");
                failed.push(n);
            }
        }
    }
    assert!(failed.contains(&50) && failed.len() <= 17, "these failed: {failed:?}");
    assert_eq!(pool.map([1u64], |(), n| n).next().unwrap()?, 1);
    assert_eq!(pool.shutdown()?.replaced(), 1);
    Ok(())
}

fn close_channel(_: &mut (), n: u64) -> u64 {
    if n == 50 {
        for socket in sockets() {
            // SAFETY: the owner of the number never learns; this is what the case is about.
            unsafe { libc::close(socket) };
        }
    }
    n
}

fn write_into_channel(_: &mut (), n: u64) -> u64 {
    if n == 50 {
        for socket in sockets() {
            let junk = [0xa5u8; 100];
            // SAFETY: `junk` has that many bytes.
            unsafe { libc::write(socket, junk.as_ptr().cast(), junk.len()) };
        }
    }
    n
}

fn a_task_that_closes_the_channel(context: Context) -> Outcome {
    one_misuse(context, 1, close_channel)?;
    one_misuse(context, 3, close_channel)
}

fn a_task_that_writes_into_the_channel(context: Context) -> Outcome {
    one_misuse(context, 1, write_into_channel)?;
    one_misuse(context, 3, write_into_channel)
}

const LARGE: usize = 64 << 20;

fn both_directions_at_once(context: Context) -> Outcome {
    let pool = context.pool().workers(2).in_flight(4).build()?;
    let inputs = (0..6u8).map(|n| vec![n; LARGE]);
    let results = pool.map(inputs, |(), mut bytes: Vec<u8>| {
        let last = bytes.len() - 1;
        bytes[0] = 100;
        bytes[last] = 200;
        bytes
    });
    let mut count = 0;
    for (n, result) in (0..).zip(results) {
        let bytes = result?;
        assert_eq!(bytes.len(), LARGE);
        assert_eq!((bytes[0], bytes[1], bytes[LARGE - 2], bytes[LARGE - 1]), (100, n, n, 200));
        count += 1;
    }
    assert_eq!(count, 6);
    Ok(())
}

fn many_large_arguments_and_results(context: Context) -> Outcome {
    // Around the limit up to which several are sent to one worker at the same time.
    let pool = context.pool().workers(2).build()?;
    let sizes = [60 << 10, 70 << 10, 1 << 10, 500 << 10];
    let inputs = (0..400usize).map(|n| vec![n as u8; sizes[n % 4]]);
    let results = pool.map_unordered(inputs, |(), bytes: Vec<u8>| bytes.repeat(2));
    for (index, result) in results.enumerated() {
        let n = usize::try_from(index)?;
        assert!(result? == vec![n as u8; 2 * sizes[n % 4]], "task {n}");
    }
    Ok(())
}
