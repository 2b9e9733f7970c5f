//! Values of 64 MiB while everybody is busy or sends as well, and consumers that are far too slow.

use std::cell::Cell;
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use offspring::Context;

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{Outcome, eventually};
#[cfg(target_os = "linux")]
use crate::pids;

const HUGE: usize = 64 << 20;

#[offspring::test]
fn both_sides_send_64_mib_at_once(context: Context) -> Outcome {
    // One worker: its results wait for this process, whose arguments wait for it.
    let pool = context.pool().workers(1).build()?;
    let pool = &pool;
    let send = |n: u8| {
        pool.submit(vec![n; HUGE], |(), mut bytes: Vec<u8>| {
            bytes[HUGE - 1] += 100;
            bytes
        })
    };
    let check = |n: u8, bytes: Vec<u8>| {
        assert_eq!((bytes.len(), bytes[0], bytes[HUGE - 1]), (HUGE, n, n + 100));
        assert!(bytes[1..HUGE - 1].iter().all(|byte| *byte == n), "what task {n} was sent");
    };
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let tasks: Vec<_> = (0..2).map(|n| send(2 * thread + n).unwrap()).collect();
                for (n, task) in (0..2).zip(tasks).rev() {
                    check(2 * thread + n, task.join().unwrap());
                }
            });
        }
    });
    for (n, result) in (0..).zip(pool.map((0..3).map(|n| vec![n; HUGE]), |(), bytes| bytes)) {
        let mut bytes: Vec<u8> = result?;
        bytes[HUGE - 1] += 100;
        check(n, bytes);
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn huge_arguments_while_all_are_busy(context: Context) -> Outcome {
    const WORKERS: usize = 2;
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(WORKERS).build()?;
    let held = (0..WORKERS).map(|_| {
        pool.submit((log.path(), gate.path()), |(), (log, gate)| {
            note(&log, "begun");
            wait_for(&gate);
        })
    });
    let held = held.collect::<offspring::Result<Vec<_>>>()?;
    eventually("all are busy", || {
        held.iter().all(|task| task.pid().is_some()) && log.lines().len() == WORKERS
    });
    // None of this waits for anybody.
    let mut huge = Vec::new();
    let mut small = Vec::new();
    for n in 0..3u8 {
        huge.push(pool.submit(vec![n; HUGE], |(), bytes: Vec<u8>| {
            (bytes.len(), bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())
        })?);
        for m in 0..20 {
            small.push(pool.submit(u64::from(n) * 20 + m, |(), n| n + 1)?);
        }
    }
    assert!(huge.iter().all(|task| !task.is_done() && task.pid().is_none()), "they wait");
    assert!(small.iter().all(|task| !task.is_done() && task.pid().is_none()), "they wait");
    gate.open();
    for (n, task) in (0..60u64).zip(small) {
        assert_eq!(task.join()?, n + 1);
    }
    for (n, task) in (0..3u64).zip(huge) {
        assert_eq!(task.join()?, (HUGE, n * HUGE as u64));
    }
    for task in held {
        task.join()?;
    }
    assert_eq!(pool.shutdown()?.tasks(), 65);
    Ok(())
}

/// What a process has in memory, in bytes.
#[cfg(target_os = "linux")]
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has some");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[cfg(target_os = "linux")]
#[offspring::test]
fn a_consumer_a_thousand_times_slower(context: Context) -> Outcome {
    const IN_FLIGHT: u64 = 1000;
    const PRODUCER: Duration = Duration::from_micros(10);
    const SIZE: usize = 4 << 10;
    let pool = context.pool().workers(2).in_flight(1000).build()?;
    let taken = Cell::new(0u64);
    let inputs = (0u64..).map(|n| {
        taken.set(n + 1);
        (n, vec![1u8; SIZE / 4])
    });
    let mut processes = pids(&pool)?;
    if context.is_isolated() {
        processes.push(std::process::id());
    }
    let used = || processes.iter().map(|pid| resident(*pid)).sum::<usize>();
    let before = used();
    let mut results = pool.map(inputs, |(), (n, _): (u64, Vec<u8>)| {
        let begun = Instant::now();
        while begun.elapsed() < PRODUCER {}
        (n, vec![2u8; SIZE])
    });
    let mut most = before;
    for n in 0..200 {
        let (value, bytes) = results.next().expect("there is no end")?;
        assert_eq!((value, bytes.len()), (n, SIZE));
        std::thread::sleep(1000 * PRODUCER);
        let ahead = taken.get() - n;
        assert!(ahead <= IN_FLIGHT + 1, "{ahead} inputs are ahead of result {n}");
        most = most.max(used());
    }
    // Results that are kept after they were taken would be 48 MiB.
    for n in 200..12_000 {
        let (value, bytes) = results.next().expect("there is no end")?;
        assert_eq!((value, bytes.len()), (n, SIZE));
        if n % 1000 == 0 {
            most = most.max(used());
        }
    }
    // A thousand results of 4 KiB, as many arguments, buffers that grew by doubling; but not more and more.
    let grown = (most - before) >> 20;
    assert!(grown <= 40, "{grown} MiB more in memory than before");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_slow_first_item_holds_back_a_bounded_number(context: Context) -> Outcome {
    const IN_FLIGHT: u64 = 64;
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(2).in_flight(64).init(log.path(), |log| log).build()?;
    let taken = Cell::new(0u64);
    let inputs = (0..1000u64).inspect(|_| taken.set(taken.get() + 1));
    let inputs = inputs.map(|n| (n, (n == 0).then(|| gate.path())));
    let mut results = pool.map(inputs, |log, (n, gate): (u64, Option<PathBuf>)| {
        match gate {
            Some(gate) => wait_for(&gate),
            None => note(log, n),
        }
        vec![n; 1000]
    });
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            // All that are taken have run then, and wait behind the first.
            eventually("all others have run", || log.lines().len() as u64 == IN_FLIGHT - 1);
            gate.open();
        });
        assert_eq!(results.next().unwrap()?, [0; 1000]);
        Ok(())
    })?;
    let taken = taken.get();
    assert!((IN_FLIGHT..=IN_FLIGHT + 1).contains(&taken), "{taken} taken for the first result");
    for n in 1..1000 {
        assert_eq!(results.next().unwrap()?, [n; 1000]);
    }
    assert!(results.next().is_none());
    Ok(())
}
