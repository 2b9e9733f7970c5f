//! Nothing is left of pools with tables, queues and locks: not of many, and not of parents that are killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::channel::{End, Receiver, Sender, pipe, queue};
use offspring::sync::{Barrier, Condvar, Event, Mutex, Semaphore};
use offspring::{Context, LockedArray, SharedArray, SharedSlice, SharedSliceMut, SharedValue};
use serde::{Deserialize, Serialize};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED, TOKEN, leaks, programs};
use crate::torture::{self, Random};

pub(crate) const CASES: &[Case] = crate::cases![pools_come_and_go];
pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED => parents_are_killed];

/// More than a page, less than takes long.
const ELEMENTS: u64 = 10_000;

fn rounds() -> u64 {
    torture::scale("OFFSPRING_RESOURCE_ROUNDS", 10)
}

/// One of each that travels to several.
#[derive(Clone, Serialize, Deserialize)]
struct All {
    table: SharedSlice<u64>,
    atomics: SharedArray<AtomicU64>,
    array: LockedArray<u32>,
    value: SharedValue<f32>,
    mutex: Mutex<u64>,
    condition: Condvar,
    semaphore: Semaphore,
    event: Event,
    barrier: Barrier,
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
}

impl All {
    fn new() -> offspring::Result<Self> {
        let (sender, receiver) = queue(10_000)?;
        Ok(Self {
            table: SharedSlice::from_iter(0..ELEMENTS)?,
            atomics: SharedArray::new(5)?,
            array: LockedArray::zeroed(1000)?,
            value: SharedValue::new(0.5)?,
            mutex: Mutex::new(0)?,
            condition: Condvar::new()?,
            semaphore: Semaphore::new(1)?,
            event: Event::new()?,
            barrier: Barrier::new(1)?,
            sender,
            receiver,
        })
    }

    /// Uses everything, and leaves a message that nobody reads, more or less.
    fn use_all(&self, n: u64) -> Result<u64, Box<dyn std::error::Error>> {
        let _permit = self.semaphore.acquire();
        *self.mutex.lock()? += 1;
        self.condition.notify_one();
        self.event.set();
        self.barrier.wait()?;
        self.atomics[4].fetch_add(1, Ordering::Relaxed);
        let mut array = self.array.lock()?;
        let last = array.get(999).unwrap_or(0);
        array.set(999, last + 1);
        drop(array);
        self.value.update(|value| -value)?;
        // A full queue is no error, and nobody waits for room.
        let _ = self.sender.try_send(vec![7; if n % 8 == 0 { 100_000 } else { 10 }]);
        if n % 4 == 0 {
            self.receiver.try_recv()?;
        }
        let index = usize::try_from(n % ELEMENTS)?;
        Ok(self.table[index])
    }
}

fn use_all(all: &mut All, n: u64) -> Result<u64, String> {
    all.use_all(n).map_err(|error| error.to_string())
}

fn pools_come_and_go(context: Context) -> Outcome {
    let before = leaks::Snapshot::take();
    let mut mapped = None;
    for round in 0..rounds().div_ceil(2) {
        one_pool(context, round).map_err(|error| format!("round {round}: {error}"))?;
        before.compare().map_err(|leak| format!("round {round} leaks: {leak}"))?;
        // What the first leaves stays for the others.
        let now = mappings();
        let first = *mapped.get_or_insert(now);
        assert_eq!(now, first, "mappings of shared memory after round {round}, and the first");
    }
    Ok(())
}

/// How many pieces of shared memory this process has in its address space, where the system says it: they stay when their
/// descriptors are closed.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.contains(leaks::SHARED_MEMORY)).count()
}

fn one_pool(context: Context, round: u64) -> Outcome {
    let all = All::new()?;
    let filling = SharedSliceMut::<u32>::zeroed(5000)?;
    let (near, far): (End<u8, u8>, End<u8, u8>) = pipe()?;
    let pool = context.pool().workers(2).init(all.clone(), |all| all).build()?;
    for (n, result) in (0..20).zip(pool.map(0..20, use_all)) {
        assert_eq!(result??, n);
    }
    // A table of this task alone, an end of a pipe, a part of what is being filled.
    let table = SharedSlice::from_iter(0..100u8)?;
    let answer = pool.submit((table, far), |_, (table, far): (SharedSlice<u8>, End<u8, u8>)| {
        far.send(table[99]).map_err(|error| error.to_string())
    })?;
    answer.join()??;
    assert_eq!(near.recv()?, 99);
    assert_eq!(*all.mutex.lock()?, 20);
    assert!(all.receiver.len() > 1, "messages that nobody reads");
    match round % 4 {
        0 => drop(pool.shutdown()?),
        1 => drop(pool),
        2 => pool.terminate(),
        _ if context.is_isolated() => {
            // With the lock in its hands.
            let died = pool.submit((), |all: &mut All, ()| {
                let _guard = all.mutex.lock();
                std::process::abort()
            });
            let died: Result<(), _> = died?.join();
            assert!(died.is_err());
            pool.submit(3, use_all)?.join()?.expect_err("the mutex is poisoned, not stuck");
        }
        _ => {}
    }
    drop(filling);
    Ok(())
}

const CONTEXT: &str = "RESOURCES_CONTEXT";

/// A program whose pool and process use everything, until it is killed.
pub(crate) fn parent() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::var(CONTEXT).expect("the case says which");
    let context: Context = context.parse().expect("a context");
    let say = |text: &str| {
        // The case may have killed us already, and be gone.
        let _ = writeln!(std::io::stdout(), "{text}");
        let _ = std::io::stdout().flush();
    };
    say("begun");
    let all = All::new().expect("shared memory");
    let process = context
        .process()
        .start(all.clone(), |mut all| (0u64..).try_for_each(|n| use_all(&mut all, n).map(drop)));
    let _process = process.expect("a process starts");
    let _filling = SharedSliceMut::<u64>::zeroed(100_000).expect("shared memory");
    let pool = context.pool().workers(3).init(all, |all| all).build().expect("a pool starts");
    for (n, result) in (0u64..).zip(pool.map(0..u64::MAX, use_all)) {
        assert!(result.is_ok_and(|used| used.is_ok()), "task {n}");
        if n == 10 {
            say("busy");
        }
    }
    ExitCode::FAILURE
}

/// At any moment: from the start on, or while all is in use.
fn parents_are_killed(context: Context) -> Outcome {
    let mut random = Random::new();
    let own = std::env::var(TOKEN)?;
    let before = leaks::Snapshot::take();
    for round in 0..rounds() {
        let token = format!("{own}-{round}");
        let mut parent = programs::command("parent")
            .env(CONTEXT, context.to_string())
            .env(TOKEN, &token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(parent.stdout.take().ok_or("no pipe")?).lines();
        assert_eq!(lines.next().transpose()?.as_deref(), Some("begun"), "round {round}");
        if round % 2 == 0 {
            assert_eq!(lines.next().transpose()?.as_deref(), Some("busy"), "round {round}");
        }
        std::thread::sleep(random.time_below(Duration::from_millis(15)));
        parent.kill()?;
        let status = parent.wait()?;
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(libc::SIGKILL),
            "round {round}"
        );
        let left = leaks::survivors(&token);
        assert!(left.is_empty(), "round {round}: {left:?} survive");
        drop(lines);
        leaks::remove_names_of_the_killed();
        before.compare().map_err(|leak| format!("round {round} leaks: {leak}"))?;
    }
    Ok(())
}
