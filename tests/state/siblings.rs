//! Siblings draw no number twice, and a program that starts processes before it may starts none.
//!
//! `OFFSPRING_SIBLINGS` says how many siblings of each kind there are on each context, and how often a program
//! tries; 1,000 for the full run.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use offspring::{Context, ErrorKind, Global, Pool, Reuse, captures};
use rand::Rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::harness::leaks::children_of;
use crate::harness::programs::{self, Program};
use crate::harness::props::{Scratch, from_env, note};
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};
use crate::{cases, torture};

pub(super) const PROCESSES: &[Case] = cases![on ISOLATED => siblings_draw_no_number_twice];
pub(super) const BY_EXEC: &[Case] = cases![on &[Context::Spawn, Context::ForkServer] =>
    starts_before_init_make_no_process,
];
pub(super) const PROGRAMS: &[Program] = &[("early", early)];

fn siblings() -> u64 {
    torture::scale("OFFSPRING_SIBLINGS", 40)
}

/// What one process drew.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Drawn {
    rand: u64,
    fastrand: u64,
    /// Random, and by the time with random numbers behind.
    uuids: [u128; 2],
    /// What the keys of a hash map make of a number.
    hash: u64,
}

fn draw() -> Drawn {
    Drawn {
        rand: rand::rng().next_u64(),
        fastrand: fastrand::u64(..),
        uuids: [Uuid::new_v4().as_u128(), Uuid::now_v7().as_u128()],
        hash: RandomState::new().hash_one(0),
    }
}

/// Made in the template, where there is one: the children that it forks inherit generators that were used.
static USED: Global<u64> = Global::new();
/// The seed that [`captures::seed`] has given to this task.
static SEED: AtomicU64 = AtomicU64::new(0);

/// As many processes, so many alive at the same time.
fn processes(context: Context, count: u64) -> offspring::Result<Vec<Drawn>> {
    let mut drawn = Vec::new();
    while (drawn.len() as u64) < count {
        let left = count - drawn.len() as u64;
        let start = |_| context.process().start((), |()| draw());
        let alive = (0..left.min(50)).map(start).collect::<Result<Vec<_>, _>>()?;
        for process in alive {
            drawn.push(process.join()?);
        }
    }
    Ok(drawn)
}

fn workers(pool: &Pool<()>, count: u64) -> offspring::Result<Vec<Drawn>> {
    let mut drawn = Vec::new();
    while (drawn.len() as u64) < count {
        for worker in pool.broadcast((), |(), ()| draw())? {
            drawn.push(worker?);
        }
        pool.recycle();
    }
    Ok(drawn)
}

/// How many of them somebody else has too.
fn twice<T: Ord>(numbers: impl IntoIterator<Item = T>) -> usize {
    let mut seen = BTreeMap::new();
    for number in numbers {
        *seen.entry(number).or_insert(0) += 1;
    }
    seen.values().filter(|count| **count > 1).sum()
}

fn siblings_draw_no_number_twice(context: Context) -> Outcome {
    USED.set((), |()| draw().rand)?;
    let own = draw();
    if matches!(context, Context::Fork | Context::ForkServer) {
        // What the hooks are for, and that this test would see it.
        let without = processes(context, 2)?;
        assert_eq!(without[0].rand, without[1].rand, "rand knows of forks now: {without:?}");
        let same = without[0].fastrand == without[1].fastrand;
        assert!(same, "fastrand knows of forks now: {without:?}");
    }
    offspring::after_fork("rand", || rand::rng().reseed().expect("the system has randomness"))?;
    // It asks the system for nothing itself.
    offspring::after_fork("fastrand", || fastrand::seed(rand::rng().next_u64()))?;

    let count = siblings();
    let mut all = vec![own];
    all.extend(processes(context, count)?);
    let pool = context.pool().workers(20).build()?;
    all.extend(workers(&pool, count)?);
    let generations = pool.shutdown()?;
    assert_eq!(generations.abnormal_exits(), []);
    // A process for each task: a copy of a worker, or a fresh one.
    let pool = context.pool().workers(4).reuse(Reuse::PerTask).build()?;
    for drawn in pool.map(0..count, |(), _| draw()) {
        all.push(drawn?);
    }
    pool.shutdown()?;

    let same = [
        twice(all.iter().map(|drawn| drawn.rand)),
        // In a fresh program its seed is the time.
        twice(all.iter().map(|drawn| drawn.fastrand).filter(|_| context != Context::Spawn)),
        twice(all.iter().map(|drawn| drawn.uuids[0])),
        twice(all.iter().map(|drawn| drawn.uuids[1])),
    ];
    let hashes = twice(all.iter().map(|drawn| drawn.hash));
    torture::report(format_args!(
        "{} siblings and their parent on {context}: {same:?} numbers of rand, fastrand, random UUIDs, UUIDs \
         by time are in two of them, and {hashes} keys of hash maps",
        all.len() - 1
    ));
    assert!(all.len() as u64 > 3 * count);
    assert_eq!(same, [0; 4], "of rand, fastrand, random UUIDs, UUIDs by time");
    if context == Context::Spawn {
        assert_eq!(hashes, 0, "keys of hash maps are new in each program");
    }
    seeds(context, count)
}

/// The seeds that the library gives: each task of a pool has its own.
fn seeds(context: Context, count: u64) -> Outcome {
    let _guard = captures::seed(|| 42, |seed| SEED.store(seed, Ordering::SeqCst))?;
    for reuse in [Reuse::Keep, Reuse::PerTask] {
        let pool = context.pool().workers(4).reuse(reuse).build()?;
        let seeds = pool.map(0..count, |(), _| SEED.load(Ordering::SeqCst));
        let seeds = seeds.collect::<Result<Vec<_>, _>>()?;
        assert_eq!((seeds.len() as u64, twice(seeds)), (count, 0), "{reuse:?}");
        pool.shutdown()?;
    }
    Ok(())
}

const CONTEXT: &str = "SIBLINGS_CONTEXT";

fn runs() -> std::path::PathBuf {
    std::env::temp_dir().join("runs")
}

/// Program: starts processes and pools again and again, and calls `init` afterwards. A child of it does so too.
fn early() -> ExitCode {
    note(&runs(), std::process::id());
    for _ in 0..from_env("SIBLINGS_ATTEMPTS").expect("the case says how many") {
        for context in [Context::Spawn, Context::ForkServer] {
            let process = context.process().start((), |()| ()).map(drop);
            let pool = context.pool().workers(2).build().map(drop);
            for error in [process.expect_err("a process"), pool.expect_err("a pool")] {
                assert_eq!(error.kind(), ErrorKind::NotInitialized, "{context}: {error}");
                assert!(error.to_string().contains("offspring::init()"), "{error}");
            }
        }
    }
    assert!(children_of(std::process::id()).is_empty(), "nobody was started");
    offspring::init();
    let context: Context =
        std::env::var(CONTEXT).ok().and_then(|name| name.parse().ok()).expect("a context");
    let child = context.process().start(4, |n: u32| n + 1).and_then(offspring::Process::join);
    assert_eq!(child.expect("now it may"), 5);
    ExitCode::SUCCESS
}

/// Two run `main` in all: the program, and the child or the template that it starts when it may.
fn starts_before_init_make_no_process(context: Context) -> Outcome {
    let runs = Scratch::new("runs");
    let output = programs::command("early")
        .env(CONTEXT, context.to_string())
        .env("SIBLINGS_ATTEMPTS", siblings().to_string())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(runs.lines().len(), 2, "{:?}", runs.lines());
    Ok(())
}
