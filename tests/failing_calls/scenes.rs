//! What is done while a call fails: each returns an error or the right answers.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offspring::channel::{End, Sender, pipe, queue};
use offspring::sync::{Condvar, Event, Mutex, Semaphore};
use offspring::{Context, LockedArray, Pool, SharedArray, SharedSlice, TaskError};
use serde::{Deserialize, Serialize};

use super::page::Page;

/// `Err` when something failed that the user was told of.
pub(crate) type Told = Result<(), Box<dyn Error>>;
type Scene = fn(Context, Page) -> Told;

pub(crate) const SCENES: [(&str, Scene); 4] =
    [("process", process), ("pool", pool), ("tasks", tasks), ("objects", objects)];

/// The pool was of no use afterwards.
#[derive(Debug)]
pub(crate) struct GaveUp(Box<dyn Error>);

impl std::fmt::Display for GaveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for GaveUp {}

/// Less than the default: a child that cannot say hello should not be waited for so long.
const START: Duration = Duration::from_secs(5);
const LARGE: usize = 1_200_000;

/// One process, with arguments and a result that fill its socket.
fn process(context: Context, _: Page) -> Told {
    let builder = context.process().start_timeout(START).env("FAILING_CALL", "seen");
    let child = builder.start(vec![7u8; LARGE], |bytes: Vec<u8>| {
        (bytes, std::env::var("FAILING_CALL").unwrap_or_default())
    })?;
    let (bytes, seen) = child.join()?;
    assert!(
        bytes.len() == LARGE && seen == "seen",
        "{} bytes came back, and {seen:?}",
        bytes.len()
    );
    Ok(())
}

fn build(context: Context) -> offspring::Result<Pool<u64>> {
    let builder = context.pool().workers(2).start_timeout(START).task_timeout(START * 10);
    builder.init(40u64, |number| number).build()
}

/// From the start of a pool to its end.
fn pool(context: Context, _: Page) -> Told {
    let pool = build(context)?;
    let used = use_pool(&pool);
    let end = pool.shutdown();
    used?;
    end?;
    Ok(())
}

/// The tasks of a pool that is ready, and which can be used afterwards.
fn tasks(context: Context, page: Page) -> Told {
    page.disarm();
    let pool = build(context)?;
    pool.ready(START)?;
    page.resume();
    let used = use_pool(&pool);
    page.disarm();
    let after = pool.submit(2u64, |state, n| *state + n).map_err(Box::<dyn Error>::from);
    let after = after.and_then(|task| task.join().map_err(Into::into));
    if let Ok(answer) = &after {
        assert_eq!(*answer, 42, "a task after the failure");
    }
    let end = pool.shutdown();
    after.map_err(GaveUp)?;
    used?;
    end?;
    Ok(())
}

/// The first failure, after all the others had their turn.
fn use_pool(pool: &Pool<u64>) -> Told {
    let mut failed = None;
    let mut check = |what: &str, expected: u64, found: Result<u64, TaskError>| match found {
        Ok(found) => assert_eq!(found, expected, "{what}"),
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{what}: an error without a text");
            failed.get_or_insert(error);
        }
    };
    let single = pool.submit(2u64, |state, n| *state + n);
    let large = pool.submit(vec![1u8; LARGE], |_, bytes| bytes.len() as u64);
    let results: Vec<_> = pool.map(0..40u64, |state, n| *state + n).collect();
    assert_eq!(results.len(), 40, "each input has an outcome");
    for (n, result) in (0..).zip(results) {
        check("a map", 40 + n, result);
    }
    match SharedSlice::from_iter(0..1000u64) {
        Ok(table) => {
            let sums = pool
                .map_unordered((0..4).map(|_| table.clone()), |_, table| table.iter().sum::<u64>());
            sums.for_each(|sum| check("a table", 499_500, sum));
        }
        Err(error) => return Err(error.into()),
    }
    check("a large task", LARGE as u64, large?.join());
    check("a task", 42, single?.join());
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Objects in shared memory, made here and used in a child.
fn objects(context: Context, _: Page) -> Told {
    let table = SharedSlice::from_slice(&[1u64, 2, 3])?;
    let atomics: SharedArray<AtomicU64> = SharedArray::new(5)?;
    let array: LockedArray<u32> = LockedArray::zeroed(10)?;
    let mutex = Mutex::new(0u64)?;
    let condition = Condvar::new()?;
    let (semaphore, event) = (Semaphore::new(1)?, Event::new()?);
    let (sender, receiver) = queue::<u64>(100)?;
    let (here, there) = pipe::<u64, u64>()?;
    let all = All { table, atomics, array, mutex, condition, semaphore, event, sender, there };
    let child = context.process().start_timeout(START).start(all, |all: All| {
        let used = all.use_all();
        used.map_err(|error| error.to_string())
    })?;
    child.join()??;
    let got = (receiver.recv()?, here.recv()?);
    assert_eq!(got, (5, 6), "what the child sent");
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct All {
    table: SharedSlice<u64>,
    atomics: SharedArray<AtomicU64>,
    array: LockedArray<u32>,
    mutex: Mutex<u64>,
    condition: Condvar,
    semaphore: Semaphore,
    event: Event,
    sender: Sender<u64>,
    there: End<u64, u64>,
}

impl All {
    fn use_all(self) -> Told {
        let _permit = self.semaphore.acquire();
        *self.mutex.lock()? += 1;
        self.condition.notify_one();
        self.event.set();
        self.atomics[4].fetch_add(self.table.iter().sum(), Ordering::Relaxed);
        self.array.lock()?.set(9, 9);
        self.sender.send(5)?;
        self.there.send(6)?;
        Ok(())
    }
}
