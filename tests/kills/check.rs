//! What must be true of the outcomes, and how long deaths went unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Exit, Phase, Report, TaskError};

use super::stage::{Ledger, Work};
use crate::torture::{self, now};

/// A task that died.
struct Died {
    index: u64,
    pid: u64,
    exit: Exit,
    seen: u64,
}

/// What was seen of one pool, and of all before it.
#[derive(Default)]
pub(crate) struct Check {
    /// Whether each task of this pool succeeded; those without an outcome are missing.
    outcomes: BTreeMap<u64, bool>,
    died: Vec<Died>,
    last: Option<Instant>,
    /// Outcomes of this pool wait for those of earlier inputs.
    in_order: bool,
    tasks: u64,
    deaths: u64,
    errors: u64,
    /// From the kill until the system had ended the process: it needs a processor for that.
    ended: Vec<Duration>,
    /// From the kill to the failure of its task, if that need not wait for others.
    noticed: Vec<Duration>,
    /// The same, without the time until the process had ended.
    after_end: Vec<Duration>,
    /// From the kill to the start of the next worker in its place.
    replaced: Vec<Duration>,
    /// The longest time between two outcomes.
    longest: Duration,
}

impl Check {
    pub(crate) fn outcome(&mut self, work: Work, result: Result<Vec<u8>, TaskError>) {
        let index = work.index;
        if let Some(last) = self.last {
            self.longest = self.longest.max(last.elapsed());
        }
        self.last = Some(Instant::now());
        match &result {
            Ok(bytes) => {
                assert!(work.is_answer(bytes), "task {index} has a wrong answer");
                assert!(!work.exits, "task {index} exits, and has a result");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Died, "{error:?}");
                assert_eq!((error.index(), error.phase()), (index, Phase::Started), "{error:?}");
                let pid = error.pid().expect("somebody died").into();
                let exit = error.exit().expect("in some way");
                self.died.push(Died { index, pid, exit, seen: now() });
            }
        }
        let again = self.outcomes.insert(index, result.is_ok());
        assert!(again.is_none(), "task {index} has two outcomes");
    }

    pub(crate) fn begin(&mut self, in_order: bool) {
        self.in_order = in_order;
    }

    pub(crate) fn end_of_map(&mut self, tasks: usize) {
        self.last = None;
        let all = self.outcomes.keys().copied().eq(0..tasks as u64);
        assert!(all, "{} outcomes of {tasks} tasks", self.outcomes.len());
    }

    /// All that is noted is whole: everybody has ended.
    pub(crate) fn end_of_pool(&mut self, ledger: Ledger, report: &Report) {
        for (index, succeeded) in &self.outcomes {
            let (begun, ended) = ledger.effects(*index);
            assert!(begun <= 1 && ended <= begun, "task {index}: begun {begun}, ended {ended}");
            assert!(!succeeded || ended == 1, "task {index} succeeded without its effect");
        }
        let deaths: Vec<[u64; 4]> = ledger.deaths().entries().collect();
        let starts: Vec<[u64; 4]> = ledger.starts().entries().collect();
        let mut workers = BTreeSet::new();
        for Died { index, pid, exit, seen } in self.died.drain(..) {
            assert!(workers.insert(pid), "worker {pid} died of two tasks, the second is {index}");
            let of_it = || deaths.iter().filter(|[who, ..]| *who == pid);
            let fits = of_it().any(|[_, signal, ..]| match exit {
                Exit::Code(0) => *signal == 0,
                Exit::Signal { signal: found, .. } => *signal == u64::from(found.unsigned_abs()),
                _ => false,
            });
            let killed: Vec<_> = of_it().collect();
            assert!(fits, "task {index}: {pid} ended with {exit:?}, was killed: {killed:?}");
            let death = of_it().min_by_key(|death| death[2]).filter(|_| !self.in_order);
            if let Some([_, signal, at, end]) = death {
                self.noticed.push(Duration::from_nanos(seen.saturating_sub(*at)));
                // Of one that exits, and of one that nobody has waited for, the end is not known.
                if *signal != 0 && *end != 0 {
                    self.ended.push(Duration::from_nanos(end.saturating_sub(*at)));
                    self.after_end.push(Duration::from_nanos(seen.saturating_sub(*end)));
                }
            }
            self.errors += 1;
        }
        for [pid, _, at, _] in &deaths {
            let Some([_, place, generation, _]) = starts.iter().find(|[who, ..]| who == pid) else {
                // It had not come up.
                continue;
            };
            let next = starts
                .iter()
                .find(|[_, there, later, _]| there == place && *later == generation + 1);
            if let Some([.., started]) = next {
                self.replaced.push(Duration::from_nanos(started.saturating_sub(*at)));
            }
        }
        let (tasks, died) = (self.outcomes.len() as u64, workers.len() as u64);
        let killed = deaths.len() as u64;
        assert!(died <= killed, "{died} tasks died of {killed} deaths");
        assert_eq!(report.tasks(), tasks);
        let replaced = report.replaced();
        assert!((died..=killed).contains(&replaced), "{replaced} of {died}..={killed} replaced");
        self.outcomes.clear();
        self.tasks += tasks;
        self.deaths += killed;
    }

    pub(crate) fn report(mut self, context: Context, pools: u64) {
        let Self { tasks, deaths, errors, longest, .. } = self;
        torture::report(format_args!(
            "kills {context}: {deaths} deaths in {pools} pools, {tasks} tasks, {errors} died; \
             ended by the system {}; noticed {}; noticed after the end {}; replaced {}; \
             longest wait for an outcome {longest:.1?}",
            torture::summary(&mut self.ended),
            torture::summary(&mut self.noticed),
            torture::summary(&mut self.after_end),
            torture::summary(&mut self.replaced),
        ));
    }
}
