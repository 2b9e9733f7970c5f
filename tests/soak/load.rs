//! The load: tiny tasks without pause, in rounds, and everything else between two of their results.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, Pool, SharedArray, Stdio, TaskError};

use super::beside::{Beside, Kind};
use super::faults::Faults;
use super::killer::{Killer, Ledger};
use super::measure::{All, Held, Work, give_back_free_memory, load, own_time};
use super::times::{Every, Times};
use crate::harness::leaks::possible_supervisors;
use crate::torture::{self, Random};

const WORKERS: usize = 2;
/// Tiny tasks of one `map`.
const ROUND: u64 = 1 << 17;
/// So many results between two looks at the clock.
const STRIDE: u64 = 256;
/// Of each worker; no task needs so much, but for one that shall not have it.
pub(crate) const ADDRESS_SPACE: u64 = 4 << 30;
/// Long, because no task must reach it on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A worker's place in the counts: how many tiny tasks it has begun, and how many ended. In a line of the cache of
/// its own.
const LINE: usize = 16;

pub(crate) struct State {
    counts: SharedArray<AtomicU64>,
    first: usize,
}

impl State {
    fn new(counts: SharedArray<AtomicU64>) -> Self {
        let first = offspring::worker().expect("this is a worker").index() * LINE;
        Self { counts, first }
    }

    fn tiny(&mut self, number: u64) -> u64 {
        self.counts[self.first].fetch_add(1, Ordering::Relaxed);
        let answer = answer(number);
        self.counts[self.first + 1].fetch_add(1, Ordering::Relaxed);
        answer
    }
}

fn answer(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number >> 7)
}

/// When what is due.
struct Agenda {
    look: Every,
    often: Every,
    second: Every,
    recycle: Every,
    resize: Every,
    minute: Every,
}

/// Who, and what it held at the beginning and in the end.
type Grown = (&'static str, Held, Held);

/// What runs, and what was seen of it.
struct Run<'a> {
    pool: &'a Pool<State>,
    beside: Beside,
    faults: Faults,
    agenda: Agenda,
    times: Times,
    /// When this round shall end.
    until: Instant,
    /// Which tasks of this round have an outcome.
    seen: Vec<u64>,
    stride: u64,
    /// Whether the next is a producer, and not a task without an end.
    turn: bool,
    rounds: u64,
    succeeded: u64,
    died: u64,
    recycled: u64,
    resized: u64,
    probes: u64,
    /// Processor time of this process for what is beside the tiny tasks.
    apart: Duration,
}

/// Runs all of it on one context.
pub(crate) fn run(
    context: Context,
    times: Times,
    grouped: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut random = Random::new();
    let path = std::env::temp_dir().join("ledger");
    let ledger = Ledger::open(&path);
    let counts = SharedArray::new(LINE * (WORKERS + 1))?;
    let before = possible_supervisors();
    let pool = context.pool().workers(WORKERS).name("soak").stderr(Stdio::captured());
    let pool = pool.task_timeout(LIMIT).memory_limit(ADDRESS_SPACE).restart_budget(19);
    let pool = pool.init(counts.clone(), State::new).build()?;
    pool.ready(LIMIT)?;
    let after = possible_supervisors();
    let new: BTreeSet<u32> = after.difference(&before).copied().collect();
    assert_eq!(new.len(), 1, "a pool has one supervisor: {new:?}");
    let supervisor = *new.first().expect("one");
    let killer = Killer::start(supervisor, times.second, random.number(), &path);
    let mut run = Run {
        pool: &pool,
        beside: Beside::new(random, ledger, grouped)?,
        faults: Faults::new(context),
        agenda: Agenda::new(times),
        times,
        until: Instant::now() + times.warm,
        seen: vec![0; ROUND.div_ceil(64) as usize],
        stride: 0,
        turn: true,
        rounds: 0,
        succeeded: 0,
        died: 0,
        recycled: 0,
        resized: 0,
        probes: 0,
        apart: Duration::ZERO,
    };
    let begun = Instant::now();
    while begun.elapsed() < times.warm {
        run.round()?;
    }
    let grown = run.soak(context, supervisor)?;
    run.settle()?;
    killer.join();
    let (beside, faults) = (run.beside, run.faults);
    let (succeeded, died, probes) = (run.succeeded, run.died, run.probes);
    let (recycled, resized) = (run.recycled, run.resized);
    let report = pool.shutdown()?;
    let outcomes = succeeded + died + probes + beside.outcomes;
    assert_eq!(report.tasks(), outcomes, "as many outcomes as the pool has counted");
    let sum = |nth: usize| -> u64 {
        counts.chunks(LINE).map(|line| line[nth].load(Ordering::SeqCst)).sum()
    };
    let (begun, ended) = (sum(0), sum(1));
    let once = succeeded <= ended && ended <= begun && begun <= succeeded + died;
    assert!(once, "{succeeded} succeeded, {died} died, {begun} begun, {ended} ended");
    torture::report(format_args!(
        "soak on {context}: {outcomes} tasks, each with one outcome; {died} tiny ones died of {} kills, {} workers \
         replaced, {recycled} recycles, {resized} resizes, {} messages; beside them {:?}; {}",
        ledger.count(),
        report.replaced(),
        beside.messages,
        beside.seen,
        faults.report(),
    ));
    std::fs::remove_file(path)?;
    for (who, before, after) in grown {
        let most = before.own + times.growth;
        assert!(after.own < most, "the {who} grew from {} to {} bytes", before.own, after.own);
    }
    Ok(())
}

impl Agenda {
    fn new(times: Times) -> Self {
        Self {
            look: Every::new(times.second / 500),
            often: Every::new(times.second / 3),
            second: Every::new(times.second / 2),
            recycle: Every::new(times.second * 10),
            resize: Every::new(times.second * 7),
            minute: Every::new(times.minute),
        }
    }
}

impl Run<'_> {
    /// The time that counts, with measurements at rest.
    fn soak(
        &mut self,
        context: Context,
        supervisor: u32,
    ) -> Result<[Grown; 2], Box<dyn std::error::Error>> {
        let base = self.at_rest(supervisor, None)?;
        let start = Instant::now();
        let mut last = Work::now(supervisor, self.succeeded, self.apart);
        let (mut first_rate, mut rate, mut windows) = (None, None, 0u32);
        let mut held = base;
        while start.elapsed() < self.times.total {
            self.until = start + self.times.window * (windows + 1);
            self.round()?;
            if Instant::now() < self.until {
                continue;
            }
            let now = Work::now(supervisor, self.succeeded, self.apart);
            rate = Some(now.since(last));
            first_rate = first_rate.or(rate);
            windows += 1;
            held = self.at_rest(supervisor, Some(&base))?;
            torture::report(format_args!(
                "soak on {context} after {:.0?}: {}; load {}; owner {:?}, supervisor {:?}, worker {:?}",
                start.elapsed(),
                now.since(last),
                load(),
                held.owner,
                held.supervisor,
                held.worker,
            ));
            last = Work::now(supervisor, self.succeeded, self.apart);
        }
        let (first, rate) = first_rate.zip(rate).expect("at least one window");
        let drift = |first: f64, last: f64| (last / first - 1.0) * 100.0;
        torture::report(format_args!(
            "soak on {context}: from the first of {windows} windows to the last: throughput {:+.2} %, processor time \
             of the owner for each task {:+.2} %, of the workers {:+.2} %; first: {first}; last: {rate}; first held \
             {base:?}, last {held:?}",
            drift(first.per_second, rate.per_second),
            drift(first.owner, rate.owner),
            drift(first.workers, rate.workers),
        ));
        Ok([("owner", base.owner, held.owner), ("supervisor", base.supervisor, held.supervisor)])
    }

    /// Tiny tasks, each with one outcome.
    fn round(&mut self) -> Result<(), offspring::Error> {
        self.seen.fill(0);
        let pool = self.pool;
        let (until, taken) = (self.until, Cell::new(0));
        let inputs = (0..ROUND).take_while(|index| {
            let more = *index % STRIDE != 0 || *index == 0 || Instant::now() < until;
            taken.set(taken.get() + u64::from(more));
            more
        });
        let run = |state: &mut State, number: u64| state.tiny(number);
        self.rounds += 1;
        if self.rounds % 2 == 0 {
            for (index, result) in pool.map_unordered(inputs, run).enumerated() {
                self.outcome(index, result)?;
            }
        } else {
            for (index, result) in (0..).zip(pool.map(inputs, run)) {
                self.outcome(index, result)?;
            }
        }
        let seen = self.seen.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        assert_eq!(seen, taken.get(), "as many outcomes as inputs");
        Ok(())
    }

    fn outcome(
        &mut self,
        index: u64,
        result: Result<u64, TaskError>,
    ) -> Result<(), offspring::Error> {
        let (word, bit) = (&mut self.seen[(index / 64) as usize], 1 << (index % 64));
        assert_eq!(*word & bit, 0, "task {index} has two outcomes");
        *word |= bit;
        match result {
            Ok(found) => {
                assert_eq!(found, answer(index), "task {index}");
                self.succeeded += 1;
            }
            Err(error) => {
                assert_eq!(error.index(), index, "{error:?}");
                self.beside.killed(&error);
                self.died += 1;
            }
        }
        self.stride += 1;
        if self.stride == STRIDE {
            self.stride = 0;
            self.beside.ledger.progress();
            self.tick()?;
        }
        Ok(())
    }

    /// Does what is due.
    fn tick(&mut self) -> Result<(), offspring::Error> {
        let now = Instant::now();
        if !self.agenda.look.is_due(now) {
            return Ok(());
        }
        let before = own_time();
        self.beside.look();
        self.faults.look(self.times.minute / 2);
        if self.agenda.often.is_due(now) {
            self.beside.start(Kind::Large, self.pool)?;
        }
        if self.agenda.second.is_due(now) {
            self.beside.start(Kind::Panics, self.pool)?;
            // What a producer takes of the system shall not be what fails.
            let producer = self.turn && !self.faults.is_armed();
            let kind = if producer { Kind::Produces } else { Kind::Endless };
            self.beside.start(kind, self.pool)?;
            self.turn = !self.turn;
        }
        if self.agenda.recycle.is_due(now) {
            self.pool.recycle();
            self.recycled += 1;
        }
        if self.agenda.resize.is_due(now) && !self.faults.is_armed() {
            let other = if self.pool.workers() == WORKERS { WORKERS + 1 } else { WORKERS };
            self.pool.resize(other)?;
            self.resized += 1;
        }
        if self.agenda.minute.is_due(now) {
            self.beside.start(Kind::OutOfMemory, self.pool)?;
            if !self.faults.is_armed() && self.faults.next() {
                self.pool.recycle();
            }
        }
        self.apart += own_time() - before;
        Ok(())
    }

    /// Waits for all that is beside the tiny tasks.
    fn settle(&mut self) -> Result<(), offspring::Error> {
        if self.pool.workers() != WORKERS {
            self.pool.resize(WORKERS)?;
        }
        let start = Instant::now();
        while !self.beside.is_idle() || self.faults.is_armed() {
            assert!(start.elapsed() < LIMIT, "tasks have no outcome");
            self.beside.look();
            self.faults.look(self.times.minute / 2);
            self.probe()?;
        }
        Ok(())
    }

    /// One more task, for which the pool is driven.
    fn probe(&mut self) -> Result<(), offspring::Error> {
        self.probes += 1;
        match self.pool.submit(20u64, |_, n| n + 1)?.join() {
            Ok(found) => assert_eq!(found, 21),
            Err(error) => drop(self.beside.killed(&error)),
        }
        Ok(())
    }

    /// What everybody holds when nothing is under way: as many descriptors, children and pieces of shared memory as
    /// the first time.
    fn at_rest(&mut self, supervisor: u32, base: Option<&All>) -> Result<All, offspring::Error> {
        let before = own_time();
        self.settle()?;
        give_back_free_memory();
        let start = Instant::now();
        let mut last = None;
        let held = loop {
            self.probe()?;
            self.pool.ready(LIMIT)?;
            let held = All::now(supervisor);
            // Somebody may have been killed a moment ago.
            let steady = match base {
                Some(base) => base.counts() == held.counts(),
                None => last == Some(held.counts()) && held.supervisor.children == WORKERS,
            };
            if steady {
                break held;
            }
            last = Some(held.counts());
            let expected = base.map(All::counts);
            assert!(
                start.elapsed() < LIMIT,
                "descriptors, children, shared memory of owner and supervisor: expected {expected:?}, \
                 found {held:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        self.apart += own_time() - before;
        Ok(held)
    }
}
