//! The pool in the storm, the program that makes the storm, and what must be true of all tasks.

use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, TaskError};
use serde::{Deserialize, Serialize};

use crate::harness::leaks::{children_of, possible_supervisors};
use crate::harness::{self, Case, Outcome, PROCESSES, programs, spin_for_ever};
use crate::torture::ledger::{Words, map};
use crate::torture::{self, Random, now, signal};

const CASES: &[Case] = crate::cases![on PROCESSES => a_storm_of_stops_changes_no_outcome];
const PROGRAMS: &[programs::Program] = &[("storm", storm)];

const WORKERS: usize = 4;
const TASKS: usize = 1 << 20;
/// How long a process stays stopped, and between two stops: uniform from 0 to this.
const MOST: Duration = Duration::from_millis(5);
/// Long, because ordinary tasks must not reach it on a busy machine.
const LIMIT: Duration = Duration::from_secs(6);
/// So many tasks never end by themselves: this one, and each that is so much later.
const ENDLESS: u64 = 3;
const FIRST_ENDLESS: u64 = 100;
const STEP: u64 = 800;

/// The first words of the ledger; then one for each task: how often it ran, or when it began if it is endless.
const OVER: usize = 0;
const STARTS: usize = 1;
const STOPS: usize = 2;
const FIRST: usize = 8;

pub(crate) fn main() -> ExitCode {
    programs::set(PROGRAMS);
    harness::main(&[CASES])
}

fn open(path: &Path) -> Words {
    map(path, FIRST + TASKS)
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Work {
    index: u64,
    time: u64,
}

impl Work {
    fn is_endless(self) -> bool {
        let place = self.index.wrapping_sub(FIRST_ENDLESS);
        place % STEP == 0 && place / STEP < ENDLESS
    }

    fn place(self) -> usize {
        FIRST + self.index as usize
    }

    fn run(self, ledger: Words) -> u64 {
        if self.is_endless() {
            ledger[self.place()].store(now(), SeqCst);
            spin_for_ever();
        }
        ledger[self.place()].fetch_add(1, SeqCst);
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(self.time) {
            std::hint::spin_loop();
        }
        self.index * 3
    }
}

fn a_storm_of_stops_changes_no_outcome(context: Context) -> Outcome {
    let rounds = torture::scale("OFFSPRING_STORM_ROUNDS", 250);
    let mut random = Random::new();
    let path = std::env::temp_dir().join("ledger");
    let ledger = open(&path);
    let before = possible_supervisors();
    let pool = context.pool().workers(WORKERS).in_flight(64).task_timeout(LIMIT);
    let pool = pool.init(path.clone(), |path: PathBuf| {
        let ledger = open(&path);
        ledger[STARTS].fetch_add(1, SeqCst);
        ledger
    });
    let pool = pool.build()?;
    let after = possible_supervisors();
    let supervisor = *after.difference(&before).next().expect("a pool has a supervisor");
    let storm = Storm::start(supervisor, rounds, random.number(), &path);

    let mut next = 0;
    let last_endless = FIRST_ENDLESS + (ENDLESS - 1) * STEP;
    let inputs = std::iter::from_fn(|| {
        let over = ledger[OVER].load(SeqCst) > 0 && next > last_endless;
        (!over && next < TASKS as u64).then(|| {
            let time = if random.below(10) == 0 { 2000 } else { 200 };
            next += 1;
            Work { index: next - 1, time }
        })
    });
    let mut seen = vec![false; TASKS];
    let (mut outcomes, mut late) = (0, Vec::new());
    let results = pool.map_unordered(inputs, |ledger: &mut Words, work: Work| work.run(ledger));
    for (index, result) in results.enumerated() {
        let work = Work { index, time: 0 };
        assert!(!std::mem::replace(&mut seen[index as usize], true), "task {index} twice");
        outcomes += 1;
        check(work, &result);
        let word = ledger[work.place()].load(SeqCst);
        if work.is_endless() {
            late.push(Duration::from_nanos(now() - word).saturating_sub(LIMIT));
        } else {
            assert_eq!(word, 1, "task {index} ran {word} times");
        }
    }
    storm.join();
    assert_eq!(outcomes, next, "each input has an outcome");
    assert_eq!(late.len() as u64, ENDLESS, "so many tasks were endless");
    // Nobody ends but with a task whose time is over.
    let (starts, most) = (ledger[STARTS].load(SeqCst), WORKERS as u64 + ENDLESS);
    assert!(starts <= most, "{starts} workers started, where {most} are enough");
    pool.shutdown()?;
    torture::report(format_args!(
        "stops on {context}: {} of workers, supervisor and owner; {outcomes} tasks, each with its outcome; ended after \
         their deadline of {LIMIT:?}: {}",
        ledger[STOPS].load(SeqCst),
        torture::summary(&mut late),
    ));
    std::fs::remove_file(path)?;
    Ok(())
}

#[track_caller]
fn check(work: Work, result: &Result<u64, TaskError>) {
    match result {
        Ok(answer) => assert_eq!(*answer, work.index * 3, "task {}", work.index),
        Err(error) => {
            assert!(work.is_endless(), "task {} failed: {error:?}", work.index);
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
        }
    }
}

const SUPERVISOR: &str = "STORM_SUPERVISOR";
const ROUNDS: &str = "STORM_ROUNDS";
const SEED: &str = "STORM_SEED";
const LEDGER: &str = "STORM_LEDGER";

/// A storm that goes on, ended when dropped.
struct Storm(Child);

impl Storm {
    fn start(supervisor: u32, rounds: u64, seed: u64, ledger: &Path) -> Self {
        let mut command = programs::command("storm");
        command.env(SUPERVISOR, supervisor.to_string()).env(ROUNDS, rounds.to_string());
        command.env(SEED, seed.to_string()).env(LEDGER, ledger).stdin(Stdio::null());
        Self(command.spawn().expect("the storm starts"))
    }

    fn join(mut self) {
        let status = self.0.wait().expect("our own child");
        assert!(status.success(), "the storm ended with {status}");
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn storm() -> ExitCode {
    // SAFETY: the call takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    let number = |name: &str| -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).expect("a number")
    };
    let owner = std::os::unix::process::parent_id();
    let supervisor = u32::try_from(number(SUPERVISOR)).expect("a process number");
    let mut random = Random::from_seed(number(SEED));
    let path = std::env::var_os(LEDGER).expect("the ledger has a path");
    let ledger = open(path.as_ref());
    for _ in 0..number(ROUNDS) {
        std::thread::sleep(random.time_below(MOST));
        // Some at once, as Ctrl-Z would.
        let mut all: Vec<u32> = children_of(supervisor).into_iter().collect();
        all.extend([supervisor, owner]);
        all.retain(|_| random.below(3) == 0);
        all.iter().for_each(|pid| signal(*pid, libc::SIGSTOP));
        std::thread::sleep(random.time_below(MOST));
        all.iter().for_each(|pid| signal(*pid, libc::SIGCONT));
        ledger[STOPS].fetch_add(all.len() as u64, SeqCst);
    }
    ledger[OVER].store(1, SeqCst);
    ExitCode::SUCCESS
}
