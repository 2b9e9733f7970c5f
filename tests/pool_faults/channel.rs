//! What a task may do to the channel of its worker, on purpose or not.

use std::path::Path;

use offspring::{Context, ErrorKind, Phase};

use crate::harness::Outcome;

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
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

/// Runs many short tasks, of which the 50th does something to the descriptors of its worker, and then some
/// with results that need them.
///
/// Short results need none. A worker that finds out that it cannot speak ends, which costs at most the task
/// that it is at then.
fn one_misuse(context: Context, workers: usize, misuse: fn()) -> Outcome {
    // Its place is all that a function pointer has, and a child has the program elsewhere.
    static MISUSES: [fn(); 3] = [close_channel, close_all, write_into_channel];
    let which = MISUSES.iter().position(|known| *known as usize == misuse as usize).unwrap();
    let pool = context.pool().workers(workers).init(which, |which| MISUSES[which]).build()?;
    let mut failed = Vec::new();
    let mut check = |n: u64, result: Result<u64, offspring::TaskError>| match result {
        Ok(value) => assert_eq!(value, n),
        Err(error) => {
            assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
            assert_eq!(error.phase(), Phase::Started, "{error}");
            failed.push(n);
        }
    };
    let results = pool.map(0..500u64, |misuse, n| {
        if n == 50 {
            misuse();
        }
        n
    });
    let mut count = 0;
    for (n, result) in (0..).zip(results) {
        check(n, result);
        count += 1;
    }
    assert_eq!(count, 500);
    let large = pool.map(0..40u64, |_, n| vec![n; 100_000]);
    for (n, result) in (0..).zip(large) {
        check(n, result.map(|numbers| numbers[99_999]));
        count += 1;
    }
    assert_eq!(count, 540);
    assert!(failed.len() <= 1, "these failed: {failed:?}");
    assert_eq!(pool.map([1u64], |_, n| n).next().unwrap()?, 1);
    assert!(pool.shutdown()?.replaced() <= 1);
    Ok(())
}

fn close_channel() {
    for socket in sockets() {
        // SAFETY: the owner of the number never learns; this is what the case is about.
        unsafe { libc::close(socket) };
    }
}

fn close_all() {
    for number in 3..1024 {
        // SAFETY: the owner of the number never learns; this is what the case is about.
        unsafe { libc::close(number) };
    }
}

fn write_into_channel() {
    for socket in sockets() {
        let junk = [0xa5u8; 100];
        // SAFETY: `junk` has that many bytes.
        unsafe { libc::write(socket, junk.as_ptr().cast(), junk.len()) };
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_that_closes_the_channel(context: Context) -> Outcome {
    one_misuse(context, 1, close_channel)?;
    one_misuse(context, 3, close_channel)
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_that_closes_all_descriptors(context: Context) -> Outcome {
    one_misuse(context, 1, close_all)?;
    one_misuse(context, 3, close_all)
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_that_writes_into_the_channel(context: Context) -> Outcome {
    one_misuse(context, 1, write_into_channel)?;
    one_misuse(context, 3, write_into_channel)
}

const LARGE: usize = 64 << 20;

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
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

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
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
