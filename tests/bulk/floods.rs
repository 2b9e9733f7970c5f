//! Workers and processes that flood, that are deaf, and tasks that queue: the owner keeps what it said it would
//! keep, and goes on.
//!
//! `OFFSPRING_BULK_ROUNDS` says how much: that many thousand tasks that queue, MiB that are printed, and tasks
//! beside a deaf worker.

use std::path::PathBuf;
use std::time::Duration;

use offspring::channel::{End, Receiver, Sender, pipe, queue_of_bytes};
use offspring::{Context, ErrorKind, Phase, Stdio};

use crate::harness::props::{Scratch, note, stop, wait_for};
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, eventually};
use crate::peak::{Peak, cap};
use crate::torture;

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    results_that_nobody_takes,
    workers_that_print_without_end,
    messages_that_nobody_takes,
    a_deaf_worker,
    deaf_processes,
    tasks_that_queue,
    tasks_of_an_endless_map,
];

const MIB: usize = 1 << 20;
const SOON: Duration = Duration::from_millis(50);

fn rounds() -> u64 {
    torture::scale("OFFSPRING_BULK_ROUNDS", 8)
}

fn letters(number: u64, length: usize) -> Vec<u8> {
    vec![(number % 251) as u8; length]
}

fn is_whole(bytes: &[u8], number: u64, length: usize) -> bool {
    bytes.len() == length && bytes.iter().all(|byte| u64::from(*byte) == number % 251)
}

/// `in_flight` results wait, and no more.
fn results_that_nobody_takes(context: Context) -> Outcome {
    const MOST: u64 = 64;
    let pool = context.pool().workers(3).in_flight(MOST as usize).build()?;
    pool.ready(Duration::MAX)?;
    let peak = Peak::begin();
    for round in 0..rounds().div_ceil(MOST) {
        let submit = |n: u64| pool.try_submit(n, |(), n| letters(n, MIB));
        let numbers = round * MOST..(round + 1) * MOST;
        let tasks = numbers.clone().map(submit).collect::<Result<Vec<_>, _>>()?;
        // While some have no outcome there is no room; and all get theirs, though nobody joins them.
        eventually("all are done", || tasks.iter().all(offspring::Task::is_done));
        for (n, task) in numbers.zip(tasks) {
            assert!(is_whole(&task.join()?, n, MIB), "result {n}");
        }
    }
    // And the one that is decoded.
    let most = cap(&pool, (MOST + 1) * MIB as u64);
    peak.check("64 results of 1 MiB that wait", context, most);
    pool.shutdown()?;
    Ok(())
}

/// What they print is in files that are cut: the owner reads the end of them, if at all.
fn workers_that_print_without_end(context: Context) -> Outcome {
    let pool = context.pool().workers(2).stderr(Stdio::captured()).build()?;
    pool.ready(Duration::MAX)?;
    let peak = Peak::begin();
    let print = |(): &mut (), n: u64| {
        let line = format!("{n:0>1023}\n");
        (0..MIB / 1024).for_each(|_| eprint!("{line}"));
        assert!(n % 16 != 3, "one of them fails");
        n
    };
    for (n, result) in (0..).zip(pool.map(0..rounds(), print)) {
        match result {
            Ok(number) => assert!(number == n && n % 16 != 3, "task {n}: {number}"),
            Err(error) => {
                assert!(error.kind() == ErrorKind::Panicked && n % 16 == 3, "task {n}: {error}");
                let words = error.stderr().expect("it is captured");
                assert!(words.len() <= Stdio::CAPTURED, "{} bytes", words.len());
                assert!(words.contains(&format!("{n:0>1023}")), "task {n}: {words}");
            }
        }
    }
    let what = format!("{} MiB printed by workers", rounds());
    peak.check(&what, context, cap(&pool, Stdio::CAPTURED as u64));
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

/// What a queue holds is not in the memory of any process.
fn messages_that_nobody_takes(context: Context) -> Outcome {
    const ROOM: usize = 16 * MIB;
    let (sender, inbox) = queue_of_bytes::<(u64, Vec<u8>)>(1 << 20, ROOM)?;
    let flood = |(count, sender): (u64, Sender<(u64, Vec<u8>)>)| {
        for n in 0..count {
            sender.send((n, letters(n, MIB / 4))).expect("somebody will take it");
        }
    };
    let count = 100 + rounds();
    let peak = Peak::begin();
    let child = context.process().start((count, sender.clone()), flood)?;
    eventually("it is full", || {
        let refused = sender.try_send((u64::MAX, vec![0; ROOM])).err();
        refused.is_some_and(|error| error.kind() == ErrorKind::Busy)
            && inbox.len() >= ROOM / (MIB / 4) - 1
    });
    assert!(inbox.len() <= ROOM / (MIB / 4), "{} messages wait", inbox.len());
    drop(sender);
    let mut next = 0;
    for message in &inbox {
        let (n, bytes) = message?;
        assert!(n == next && is_whole(&bytes, n, MIB / 4), "message {n} for {next}");
        next += 1;
    }
    assert_eq!(next, count);
    child.join()?;
    // The refused one, as it is and encoded; and what the queue holds.
    peak.check("16 MiB in a queue", context, 3 * ROOM as u64);
    Ok(())
}

/// Stopped in the middle of its argument, so for ever: the others do all the work beside it.
fn a_deaf_worker(context: Context) -> Outcome {
    const LARGE: usize = 24 * MIB;
    const IN_FLIGHT: usize = 16;
    let pool = context.pool().workers(2).in_flight(IN_FLIGHT).build()?;
    pool.ready(Duration::MAX)?;
    let peak = Peak::begin();
    let deaf = pool.submit(letters(7, LARGE), |(), bytes: Vec<u8>| bytes.len())?;
    let mut pid = 0;
    eventually("it begins", || {
        pid = deaf.pid().unwrap_or(0);
        pid != 0
    });
    stop(pid);
    let inputs = (0..rounds()).map(|n| (n, letters(n, MIB)));
    let work = |(): &mut (), (n, bytes): (u64, Vec<u8>)| {
        assert!(is_whole(&bytes, n, MIB), "argument {n}");
        (std::process::id(), letters(n + 1, MIB))
    };
    for (n, result) in (0..).zip(pool.map(inputs, work)) {
        let (by, bytes) = result?;
        assert!(by != pid && is_whole(&bytes, n + 1, MIB), "task {n}, by {by}");
    }
    assert!(!deaf.is_done(), "it has not got its argument");
    deaf.cancel();
    let error = deaf.join().expect_err("it was cancelled");
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Cancelled, Phase::Started), "{error}");
    // The argument that is stuck, before and after it was encoded; those of the map, one made, one decoded.
    let bodies = 2 * LARGE + (IN_FLIGHT + 2) * MIB;
    let what = format!("{} tasks of 1 MiB beside a deaf worker", rounds());
    peak.check(&what, context, cap(&pool, bodies as u64));
    for result in pool.broadcast((), |(), ()| std::process::id())? {
        assert_ne!(result?, pid, "it was replaced");
    }
    assert_eq!(pool.shutdown()?.replaced(), 1);
    Ok(())
}

type Deaf = (PathBuf, End<(), Vec<u8>>, Receiver<Vec<u8>>);

/// One that has a pipe and a queue, and reads neither.
fn deaf_processes(context: Context) -> Outcome {
    const ROOM: usize = 8 * MIB;
    let gate = Scratch::new("gate");
    let (pipe, theirs) = pipe::<Vec<u8>, ()>()?;
    let (sender, inbox) = queue_of_bytes::<Vec<u8>>(1 << 20, ROOM)?;
    let child =
        context.process().start((gate.path(), theirs, inbox), |(gate, end, inbox): Deaf| {
            wait_for(&gate);
            drop(end);
            inbox.iter().count()
        })?;
    let peak = Peak::begin();
    let mut sent = 0u64;
    let full = loop {
        match sender.send_timeout(letters(sent, MIB), SOON) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut, "{full}");
    assert!((6..=8).contains(&sent), "{sent} messages of 1 MiB fitted into 8 MiB");
    // Small ones first, until the system takes no more; then one that is too large to be begun.
    let busy = loop {
        if let Err(error) = pipe.try_send(letters(1, 1 << 10)) {
            break error;
        }
    };
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
    let late = pipe.send_timeout(letters(2, 4 * ROOM), SOON).expect_err("nobody receives");
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    assert!(late.into_message().len() == 4 * ROOM, "it comes back");
    // The large one as it is and encoded; the socket and the queue are not memory of this process.
    peak.check("a deaf process", context, 2 * 4 * ROOM as u64 + (4 << 20));
    gate.open();
    drop(sender);
    assert_eq!(child.join()? as u64, sent, "all that was sent is there");
    Ok(())
}

/// What a task that waits takes at most, with its handle and its outcome.
const OF_A_TASK: u64 = 1 << 10;

/// All of them wait for the first.
fn tasks_that_queue(context: Context) -> Outcome {
    let count = rounds() * 1000;
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).in_flight(usize::try_from(count)? + 2).build()?;
    pool.ready(Duration::MAX)?;
    let mut most = Vec::new();
    let peak = Peak::begin();
    for round in 0..5u64 {
        let hold = |(): &mut (), (gate, round): (PathBuf, u64)| {
            note(&gate.with_extension("log"), std::process::id());
            eventually_long(|| gate.exists());
            round
        };
        let log = Scratch::new("gate.log");
        let holders =
            [pool.submit((gate.path(), round), hold)?, pool.submit((gate.path(), round), hold)?];
        eventually("both workers are busy", || {
            holders.iter().for_each(|task| assert!(!task.is_done()));
            log.lines().len() == 2
        });
        let tasks = (0..count).map(|n| pool.try_submit(n, |(), n| n + 1));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        let error = pool.try_submit(0, |(), n: u64| n).expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        gate.open();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.join()?, n + 1);
        }
        for task in holders {
            assert_eq!(task.join()?, round);
        }
        std::fs::remove_file(gate.path())?;
        most.push(peak.reached());
    }
    let bytes = most[0] as f64 / count as f64;
    torture::report(format_args!(
        "{count} queued tasks on {context}: {bytes:.0} bytes for each; after each time, at most: {most:?}"
    ));
    peak.check(&format!("{count} queued tasks"), context, cap(&pool, count * OF_A_TASK));
    pool.shutdown()?;
    Ok(())
}

/// Longer than [`eventually`]: a million tasks are submitted meanwhile.
fn eventually_long(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A map takes inputs as it goes.
fn tasks_of_an_endless_map(context: Context) -> Outcome {
    const IN_FLIGHT: u64 = 16_384;
    let count = rounds() * 1000;
    let pool = context.pool().workers(2).build()?;
    pool.ready(Duration::MAX)?;
    let peak = Peak::begin();
    let results = pool.map(0u64.., |(), n| n + 1);
    for (n, result) in (0..count).zip(results) {
        assert_eq!(result?, n + 1);
    }
    let what = format!("{count} tasks of an endless map");
    peak.check(&what, context, cap(&pool, IN_FLIGHT * OF_A_TASK));
    pool.shutdown()?;
    Ok(())
}
