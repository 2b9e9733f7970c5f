//! Nothing is left of locks: not of many that come and go, and not of parents that are killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use offspring::{Context, LockedArray, SharedArray, SharedValue};
use serde::{Deserialize, Serialize};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, leaks, programs};
use crate::torture::Random;
use crate::{LONG, rounds};

pub(crate) const CASES: &[Case] = crate::cases![pools_come_and_go];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED => parents_are_killed];

/// One of each.
#[derive(Clone, Serialize, Deserialize)]
struct All {
    mutex: Mutex<u64>,
    condition: Condvar,
    semaphore: Semaphore,
    event: Event,
    barrier: Barrier,
    atomics: SharedArray<AtomicU64>,
    array: LockedArray<u32>,
    value: SharedValue<f32>,
}

impl All {
    fn new() -> offspring::Result<Self> {
        Ok(Self {
            mutex: Mutex::new(0)?,
            condition: Condvar::new()?,
            semaphore: Semaphore::new(1)?,
            event: Event::new()?,
            barrier: Barrier::new(1)?,
            atomics: SharedArray::new(5)?,
            array: LockedArray::zeroed(1000)?,
            value: SharedValue::new(0.5)?,
        })
    }

    fn use_all(&self) -> offspring::Result<()> {
        let _permit = self.semaphore.acquire();
        *self.mutex.lock()? += 1;
        self.condition.notify_one();
        self.event.set();
        self.atomics[4].fetch_add(1, Ordering::Relaxed);
        let mut array = self.array.lock()?;
        let last = array.get(999).unwrap_or(0);
        array.set(999, last + 1);
        self.value.update(|value| -value).map(drop)
    }
}

fn pools_come_and_go(context: Context) -> Outcome {
    // 100 of them in the full run.
    let mut most = 0;
    for round in 0..rounds().div_ceil(10) {
        let all = All::new()?;
        let pool = context.pool().workers(2).init(all.clone(), |all| all).build()?;
        let use_all = |all: &mut All, _: u32| all.use_all().map_err(|error| error.to_string());
        for result in pool.map(0..20, use_all) {
            result??;
        }
        if round % 2 == 0 {
            pool.shutdown()?;
        } else {
            drop(pool);
        }
        assert_eq!(*all.mutex.lock()?, 20, "round {round}");
        assert_eq!(all.array.lock()?.get(999), Some(20), "round {round}");
        all.event.wait_timeout(LONG)?;
        assert!(all.barrier.wait_timeout(LONG)?.is_leader());
        drop(all);
        let now = leaks::descriptors().len();
        assert!(round < 2 || now <= most, "round {round}: {now} descriptors, {most} before");
        most = most.max(now);
    }
    Ok(())
}

const CONTEXT: &str = "SYNC_CONTEXT";

/// A program whose pool uses everything, until it is killed.
pub(crate) fn parent() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context: Context =
        std::env::var(CONTEXT).expect("the case says which").parse().expect("a context");
    let all = All::new().expect("shared memory");
    let pool = context.pool().workers(3).init(all, |all| all).build().expect("a pool starts");
    let results = pool.map(0..u64::MAX, |all, n| all.use_all().map(|()| n).is_ok());
    for (n, result) in (0u64..).zip(results) {
        assert!(result.is_ok_and(|used| used), "task {n}");
        if n == 10 {
            println!("begun");
            std::io::stdout().flush().expect("the case listens");
        }
    }
    ExitCode::FAILURE
}

/// 200 of them in the full run. The harness looks for processes and shared memory that are left.
fn parents_are_killed(context: Context) -> Outcome {
    let mut random = Random::new();
    for round in 0..rounds().div_ceil(5) {
        let mut parent = programs::command("parent")
            .env(CONTEXT, context.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(parent.stdout.take().expect("a pipe")).read_line(&mut line)?;
        std::thread::sleep(random.time_below(Duration::from_millis(10)));
        parent.kill()?;
        parent.wait()?;
        assert_eq!(line, "begun\n", "round {round}");
    }
    Ok(())
}
