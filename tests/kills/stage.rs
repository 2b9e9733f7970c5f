//! The pool, its tasks, and the ledger in which everybody notes what they do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring::{Context, Pool};
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::killer::{self, Killer};
use crate::cases;
use crate::harness::leaks::possible_supervisors;
use crate::harness::{self, Outcome, PROCESSES};
use crate::torture::ledger::{self, Log, Words};
use crate::torture::{self, Random, now};

const WORKERS: usize = 8;
/// So many of a pool's deaths are one by a task that exits.
const ONE_IN: u64 = 4;

pub(crate) fn main() -> ExitCode {
    harness::programs::set(&[("killer", killer::main)]);
    harness::main(&[cases![on PROCESSES => workers_die_at_any_moment]])
}

/// What workers, the killer and the case write down.
#[derive(Clone, Copy)]
pub(crate) struct Ledger(Words);

/// Counters of a ledger.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// The killer has ended.
    Over,
    /// How many it has killed.
    Killed,
}

const HEAD: usize = 2;
const ENTRIES: usize = 1 << 15;
const TASKS: usize = 1 << 22;
const STARTS: usize = HEAD + Log::<4>::size(ENTRIES);
const EFFECTS: usize = STARTS + Log::<4>::size(ENTRIES);

impl Ledger {
    pub(crate) fn open(path: &Path) -> Self {
        Self(ledger::map(path, EFFECTS + TASKS))
    }

    pub(crate) fn get(self, word: Word) -> u64 {
        self.0[word as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn add(self, word: Word) {
        self.0[word as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// Process, signal (0: it exited), when it was sent, when it had ended.
    pub(crate) fn deaths(self) -> Log<4> {
        Log::of(&self.0[HEAD..STARTS])
    }

    /// Process, place in the pool, generation, when.
    pub(crate) fn starts(self) -> Log<4> {
        Log::of(&self.0[STARTS..EFFECTS])
    }

    /// How often a task was begun, and how often it came to its end.
    pub(crate) fn effects(self, index: u64) -> (u64, u64) {
        let word = self.0[EFFECTS + index as usize].load(Ordering::SeqCst);
        (word & 0xffff_ffff, word >> 32)
    }

    fn begun(self, index: u64) {
        self.0[EFFECTS + index as usize].fetch_add(1, Ordering::SeqCst);
    }

    fn ended(self, index: u64) {
        self.0[EFFECTS + index as usize].fetch_add(1 << 32, Ordering::SeqCst);
    }
}

/// A task.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) index: u64,
    /// How long it takes, in microseconds.
    time: u64,
    /// How long its result is.
    length: usize,
    pub(crate) exits: bool,
}

impl Work {
    fn new(index: u64, exits: bool, random: &mut Random) -> Self {
        assert!(index < TASKS as u64, "the ledger has room");
        let (time, length) = match random.below(100) {
            0..60 => (100, 8),
            60..85 => (2000, 8),
            85..96 => (50, 300_000),
            _ => (0, 8 << 20),
        };
        let time = if exits { random.below(2000) } else { time };
        Self { index, time, length, exits }
    }

    fn run(self, ledger: Ledger) -> Vec<u8> {
        ledger.begun(self.index);
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(self.time) {
            std::hint::spin_loop();
        }
        if self.exits {
            ledger.deaths().append([std::process::id().into(), 0, now(), now()]);
            std::process::exit(0);
        }
        let answer = self.answer();
        ledger.ended(self.index);
        answer
    }

    fn answer(self) -> Vec<u8> {
        let mut bytes = self.index.to_ne_bytes().to_vec();
        bytes.resize(self.length, (self.index % 251) as u8);
        bytes
    }

    pub(crate) fn is_answer(self, bytes: &[u8]) -> bool {
        let (index, rest) = bytes.split_at(8);
        bytes.len() == self.length
            && index == self.index.to_ne_bytes()
            && rest.iter().all(|byte| u64::from(*byte) == self.index % 251)
    }
}

fn workers_die_at_any_moment(context: Context) -> Outcome {
    torture::no_core_files();
    let kills = torture::scale("OFFSPRING_KILL_ROUNDS", 160);
    let each = (kills / 10).max(80);
    let mut random = Random::new();
    let mut check = Check::default();
    let (mut done, mut pools) = (0, 0);
    while done < kills {
        let wanted = each.min(kills - done);
        one_pool(context, wanted, pools % 2 == 1, &mut random, &mut check)?;
        done += wanted;
        pools += 1;
    }
    check.report(context, pools);
    Ok(())
}

/// One pool, until so many of its workers have died.
fn one_pool(
    context: Context,
    deaths: u64,
    in_order: bool,
    random: &mut Random,
    check: &mut Check,
) -> Outcome {
    let path = std::env::temp_dir().join("ledger");
    let ledger = Ledger::open(&path);
    let before = possible_supervisors();
    // An abort may hit a worker that is ready, before that is known: after three of those a pool gives up.
    let builder = context.pool().workers(WORKERS).in_flight(256).restart_budget(19);
    let pool = builder.init(path.clone(), |path| {
        let ledger = Ledger::open(&path);
        let who = offspring::worker().expect("this is a worker");
        let (place, generation) = (who.index() as u64, who.generation());
        ledger.starts().append([std::process::id().into(), place, generation, now()]);
        ledger
    });
    let pool = pool.build()?;
    let after = possible_supervisors();
    let new: BTreeSet<u32> = after.difference(&before).copied().collect();
    assert_eq!(new.len(), 1, "a pool has one supervisor: {new:?}");
    let supervisor = *new.first().expect("one");

    let by_signal = deaths - deaths / ONE_IN;
    let killer = Killer::start(supervisor, by_signal, random.number(), &path);
    drive(&pool, ledger, in_order, deaths / ONE_IN, by_signal, random, check);
    killer.join();
    let report = pool.shutdown()?;
    check.end_of_pool(ledger, &report);
    std::fs::remove_file(path)?;
    Ok(())
}

/// Runs tasks until the killer has ended and so many tasks have exited.
fn drive(
    pool: &Pool<Ledger>,
    ledger: Ledger,
    in_order: bool,
    exits: u64,
    by_signal: u64,
    random: &mut Random,
    check: &mut Check,
) {
    check.begin(in_order);
    let tasks = std::cell::RefCell::new(Vec::new());
    let mut exiting = 0;
    let inputs = std::iter::from_fn(|| {
        let killed = ledger.get(Word::Killed);
        // As the kills go on, so do the exits.
        let exits = exiting < exits && exiting * by_signal <= killed * exits;
        exiting += u64::from(exits);
        if ledger.get(Word::Over) > 0 && !exits {
            return None;
        }
        let mut tasks = tasks.borrow_mut();
        let work = Work::new(tasks.len() as u64, exits, random);
        tasks.push(work);
        Some(work)
    });
    let run = |ledger: &mut Ledger, work: Work| work.run(*ledger);
    let mut take = |index: u64, result| {
        let work = tasks.borrow()[index as usize];
        check.outcome(work, result);
    };
    if in_order {
        (0..).zip(pool.map(inputs, run)).for_each(|(index, result)| take(index, result));
    } else {
        let results = pool.map_unordered(inputs, run).enumerated();
        results.for_each(|(index, result)| take(index, result));
    }
    check.end_of_map(tasks.borrow().len());
}
