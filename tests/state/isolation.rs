//! What is not shared: plain statics, and what anybody changes in inherited or rebuilt state.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use offspring::{Context, Global, Shared};

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{self, Case, Outcome, eventually};
use crate::{Recipe, Table, cases, told};

pub(super) const CASES: &[Case] = cases![plain_statics_are_as_the_context_says];
pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    what_a_child_writes_is_its_own,
    processes_see_nothing_of_each_other,
    what_the_parent_writes_later_stays_there,
    a_child_prints_nothing_before_its_task,
    arguments_are_as_when_they_were_submitted,
];

static PLAIN: AtomicU64 = AtomicU64::new(1);
static TABLE: Global<Table> = Global::new();

/// AC1, AC2, AC3.
fn plain_statics_are_as_the_context_says(context: Context) -> Outcome {
    PLAIN.store(2, Ordering::SeqCst);
    let child = context.process().start((), |()| PLAIN.load(Ordering::SeqCst))?;
    let parents = context.inherits_memory() || !context.is_isolated();
    assert_eq!(child.join()?, if parents { 2 } else { 1 });
    Ok(())
}

/// How often the table was used here, and the plain static, after both were used.
fn count(n: u64) -> Result<(u32, u64), String> {
    let table = told(TABLE.get())?;
    table.apply(n);
    let calls = *table.calls.lock().map_err(|error| error.to_string())?;
    Ok((calls, PLAIN.fetch_add(1, Ordering::SeqCst)))
}

/// AC7.
fn what_a_child_writes_is_its_own(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 1 }, Table::make)?;
    let pool = context.pool().workers(2).build()?;
    for round in 1..=3 {
        for answer in pool.broadcast(1, |(), n| count(n))? {
            // Each sees its own writes, and not those of the other.
            assert_eq!(answer??, (round, round.into()));
        }
    }
    pool.shutdown()?;
    let child = context.process().start(1, count)?;
    assert_eq!(child.join()?, Ok((1, 1)));
    assert_eq!(PLAIN.load(Ordering::SeqCst), 1);
    assert_eq!(*TABLE.get()?.calls.lock().expect("nobody panics with it"), 0);
    Ok(())
}

static HEAP: Mutex<Vec<u64>> = Mutex::new(Vec::new());

fn heap() -> MutexGuard<'static, Vec<u64>> {
    HEAP.lock().expect("nobody panics with it")
}

/// AC7: of two that live at the same time, and of their parent, before and after it changed its own.
fn processes_see_nothing_of_each_other(context: Context) -> Outcome {
    heap().push(1);
    let (written, late) = (Scratch::new("written"), Scratch::new("late"));
    let run = |(own, written, late): (u64, PathBuf, PathBuf)| {
        heap().push(own);
        note(&written, own);
        wait_for(&late);
        heap().clone()
    };
    let start = |own| context.process().start((own, written.path(), late.path()), run);
    let children = [(10, start(10)?), (20, start(20)?)];
    eventually("both have written", || written.lines().len() == 2);
    assert_eq!(*heap(), [1]);
    heap().push(2);
    late.open();
    for (own, child) in children {
        let expected = if context.inherits_memory() { vec![1, own] } else { vec![own] };
        assert_eq!(child.join()?, expected);
    }
    assert_eq!(*heap(), [1, 2]);
    Ok(())
}

/// AC6.
fn what_the_parent_writes_later_stays_there(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 1 }, Table::make)?;
    let object = Shared::new(Recipe { factor: 1 }, Table::make)?;
    let pool = context.pool().workers(1).build()?;
    let look = |(): &mut (), object: Shared<Table>| {
        told(object.get()).map(|table| table.calls.lock().map_or(99, |calls| *calls))
    };
    assert_eq!(pool.submit(object.clone(), look)?.join()??, 0);
    object.get()?.apply(1);
    TABLE.get()?.apply(1);
    PLAIN.store(7, Ordering::SeqCst);
    assert_eq!(pool.submit(object.clone(), look)?.join()??, 0);
    assert_eq!(pool.submit(1, |(), n| count(n))?.join()??, (1, 1));
    pool.shutdown()?;
    Ok(())
}

/// Encoded as what the static holds at that moment.
#[derive(serde::Deserialize)]
struct Moment(u64);

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct("Moment", &(self.0 + PLAIN.load(Ordering::SeqCst)))
    }
}

/// AC33.
fn arguments_are_as_when_they_were_submitted(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let gate = std::env::temp_dir().join("gate");
    let first = pool.submit(gate.clone(), |(), gate: PathBuf| {
        eventually("the gate is open", || gate.exists());
    })?;
    let queued = pool.submit(Moment(10), |(), moment: Moment| moment.0)?;
    PLAIN.store(5, Ordering::SeqCst);
    std::fs::write(&gate, "")?;
    first.join()?;
    assert_eq!(queued.join()?, 11);
    std::fs::remove_file(&gate)?;
    pool.shutdown()?;
    Ok(())
}

/// AC22: `init` comes first in the `main` of this program, so nothing of it runs in a child.
fn a_child_prints_nothing_before_its_task(context: Context) -> Outcome {
    let path = std::env::temp_dir().join("printed");
    let file = std::fs::File::create(&path)?;
    let child = context.process().stdout(file).start((), |()| println!("the task"))?;
    child.join()?;
    let printed = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    assert_eq!(printed, "the task\n");
    Ok(())
}
