//! What is bounded though nobody asked for it, and what a state costs: one transfer for each worker.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::{self, Outcome};
use crate::{Scratch, note};

/// What the documentation of `in_flight` says.
const IN_FLIGHT: usize = 16_384;

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn submitted_tasks_are_bounded_by_default(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).init(gate.path(), |gate: PathBuf| gate).build()?;
    let mut tasks = vec![pool.submit(0, |gate, n: usize| {
        harness::eventually("the gate is open", || gate.exists());
        n
    })?];
    let error = loop {
        match pool.try_submit(tasks.len(), |_, n: usize| n) {
            Ok(task) => tasks.push(task),
            Err(error) => break error,
        }
        assert!(tasks.len() <= IN_FLIGHT, "no bound");
    };
    assert_eq!((error.kind(), tasks.len()), (ErrorKind::Busy, IN_FLIGHT), "{error}");
    note(&gate.path(), "open");
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.join()?, n);
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn initialisers_run_side_by_side(context: Context) -> Outcome {
    // Each waits for all others, so that one after the other would never end.
    const WORKERS: usize = 5;
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(WORKERS)
        .init(log.path(), |log: PathBuf| {
            note(&log, "here");
            harness::eventually("all are here", || crate::lines(&log).len() == WORKERS);
        })
        .build()?;
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    assert_eq!((report.replaced(), report.abnormal_exits()), (0, &[][..]));
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn large_values_in_bounded_memory(context: Context) -> Outcome {
    const MIB: usize = 1 << 20;
    const COUNT: usize = 300;
    let most = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    };
    let taken = Cell::new(0);
    let pool = context.pool().workers(2).build()?;
    pool.ready(Duration::from_secs(60))?;
    let before = most();
    let inputs = (0..COUNT).map(|n| {
        taken.set(n + 1);
        vec![u8::try_from(n % 256).unwrap(); MIB]
    });
    // As they come: else one worker that does not get a processor lets the other go on ahead of it.
    let results = pool.map_unordered(inputs, |(), bytes: Vec<u8>| bytes).enumerated();
    for (given, (n, result)) in results.enumerate() {
        let bytes = result?;
        assert!(bytes.len() == MIB && u64::from(bytes[given]) == n % 256, "result {n}");
        // Whoever reads is slower than the workers.
        std::thread::sleep(Duration::from_millis(1));
        let ahead = taken.get() - given;
        assert!(ahead <= 20, "{ahead} inputs of a MiB are ahead of {given} results");
    }
    assert_eq!(taken.get(), COUNT);
    let grown = most().saturating_sub(before) / MIB;
    assert!(grown <= 80, "{grown} MiB for {COUNT} MiB that passed through");
    Ok(())
}

#[offspring::test]
fn a_state_in_every_kind_of_task(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init(40u64, |forty| forty).build()?;
    for (n, result) in (0..).zip(pool.map(0..50u64, |forty, n| *forty + n)) {
        assert_eq!(result?, 40 + n);
    }
    for (n, result) in pool.map_unordered(0..50u64, |forty, n| *forty + n).enumerated() {
        assert_eq!(result?, 40 + n);
    }
    assert_eq!(pool.submit(2, |forty, n: u64| *forty + n)?.join()?, 42);
    assert_eq!(pool.try_submit(3, |forty, n: u64| *forty + n)?.join()?, 43);
    for result in pool.broadcast(4, |forty, n: u64| *forty + n)? {
        assert_eq!(result?, 44);
    }
    Ok(())
}

thread_local! {
    /// How often arguments were encoded in this process.
    static ENCODED: Cell<u32> = const { Cell::new(0) };
}

/// Tells how often it is encoded, and in which process it is decoded.
struct Arguments(PathBuf);

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ENCODED.set(ENCODED.get() + 1);
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let log = PathBuf::deserialize(deserializer)?;
        note(&log, std::process::id());
        Ok(Self(log))
    }
}

#[offspring::test]
fn arguments_of_an_initialiser_travel_once_to_each_worker(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let init = |Arguments(log)| log;
    let pool = context.pool().workers(3).init(Arguments(log.path()), init).build()?;
    pool.ready(Duration::from_secs(60))?;
    for (n, result) in (0..).zip(pool.map(0..1000u64, |_, n| n)) {
        assert_eq!(result?, n);
    }
    // Workers by fork inherit them.
    assert_eq!(ENCODED.get(), u32::from(context != Context::Fork));
    let decoded = log.lines();
    let processes: BTreeSet<&String> = decoded.iter().collect();
    let workers = match context {
        Context::Fork => 0,
        Context::Inline => 1,
        _ => 3,
    };
    assert_eq!((decoded.len(), processes.len()), (workers, workers), "{decoded:?}");
    Ok(())
}

#[offspring::test]
fn a_state_that_is_made_by_the_first_task_that_needs_it(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(3).init(log.path(), |log| (log, OnceCell::new())).build()?;
    pool.ready(Duration::from_secs(60))?;
    assert_eq!(log.lines(), [""; 0], "no worker has made it before its first task");
    for _ in 0..3 {
        let value = pool.submit((), |(log, cell): &mut (PathBuf, OnceCell<u64>), ()| {
            *cell.get_or_init(|| {
                note(log, "made");
                7
            })
        })?;
        assert_eq!(value.join()?, 7);
    }
    let made = log.lines().len();
    assert!((1..=3).contains(&made), "{made} for three tasks");
    pool.broadcast((), |(log, cell), ()| {
        cell.get_or_init(|| {
            note(log, "made");
            7
        });
    })?;
    assert_eq!(log.lines().len(), pool.workers(), "each worker once");
    Ok(())
}
