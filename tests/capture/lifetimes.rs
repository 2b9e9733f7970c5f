//! What captures own is dropped when the last task that has them is over, and where the user's code may run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use offspring::{CaptureGuard, Context, Pool, Shared};

use crate::harness::Outcome;
use crate::harness::props::{Scratch, wait_for};

/// Uses the pool when it is dropped.
struct LooksAtPool(Arc<Pool<()>>);

impl Drop for LooksAtPool {
    fn drop(&mut self) {
        std::hint::black_box(self.0.stats());
    }
}

/// The last task that has the capture is nobody's any more: its outcome is dropped where it arrives.
#[offspring::test]
fn what_closures_own_may_use_the_pool_when_it_is_dropped(context: Context) -> Outcome {
    let pool = Arc::new(context.pool().workers(1).build()?);
    for _ in 0..20 {
        let looks = LooksAtPool(pool.clone());
        let merge = move |_: u8| assert_eq!(looks.0.workers(), 1);
        let guard = offspring::capture("back", || (), |()| ())?.bring_back(|| 1u8, merge)?;
        for n in 0..5u32 {
            drop(pool.submit(n, |_: &mut (), n| n)?);
        }
        drop(guard);
        assert_eq!(pool.submit(7u32, |_: &mut (), n| n)?.join()?, 7);
    }
    assert_eq!(Arc::strong_count(&pool), 1);
    Ok(())
}

static POOL: OnceLock<Weak<Pool<()>>> = OnceLock::new();
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// As [`LooksAtPool`].
struct AsksPool;

impl Drop for AsksPool {
    fn drop(&mut self) {
        let pool = POOL.get().and_then(Weak::upgrade).expect("it is there");
        std::hint::black_box(pool.stats());
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The task is the last that has a handle: its object is dropped when the outcome arrives.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_captured_object_may_use_the_pool_when_it_is_dropped(context: Context) -> Outcome {
    let pool = Arc::new(context.pool().workers(1).build()?);
    POOL.set(Arc::downgrade(&pool)).expect("it is the only one");
    pool.ready(std::time::Duration::MAX)?;
    let object = Shared::new((), |()| AsksPool)?;
    let guard = offspring::capture("object", move || object.clone(), |_: Shared<AsksPool>| ())?;
    let gate = Scratch::new("gate");
    let task = pool.submit(gate.path(), |_: &mut (), gate: PathBuf| wait_for(&gate))?;
    drop(guard);
    assert_eq!(DROPPED.load(Ordering::Relaxed), 0, "the task needs it");
    gate.open();
    task.join()?;
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    Ok(())
}

/// What is merged comes out of a channel, which ends when `merge` is dropped.
fn into_channel() -> offspring::Result<(CaptureGuard, Receiver<u8>)> {
    let (sender, receiver) = channel();
    let merge = move |n| sender.send(n).expect("somebody receives");
    let guard = offspring::capture("back", || (), |()| ())?.bring_back(|| 1u8, merge)?;
    Ok((guard, receiver))
}

#[offspring::test]
fn a_pool_that_is_dropped_leaves_nothing(context: Context) -> Outcome {
    let (guard, receiver) = into_channel()?;
    let pool = context.pool().workers(1).init((), |()| 5).build()?;
    assert_eq!(pool.submit((), |n: &mut i32, ()| *n)?.join()?, 5);
    drop(guard);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "new workers would need it");
    drop(pool);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    Ok(())
}

#[offspring::test]
fn a_task_that_is_dropped_leaves_nothing(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let (guard, receiver) = into_channel()?;
    let task = pool.submit((), |_: &mut (), ()| ())?;
    drop(guard);
    drop(task);
    // Its outcome has arrived when that of the next is there.
    pool.submit((), |_: &mut (), ()| ())?.join()?;
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    Ok(())
}

#[offspring::test]
fn a_merge_that_panics_is_dropped(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let (sender, receiver) = channel::<u8>();
    let merge = move |_: u8| panic!("{:?}", sender.send(1));
    let guard = offspring::capture("back", || (), |()| ())?.bring_back(|| 1u8, merge)?;
    let task = pool.submit((), |_: &mut (), ()| ())?;
    drop(guard);
    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.join()));
    assert!(joined.is_err());
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    Ok(())
}

static GUARD: Mutex<Option<CaptureGuard>> = Mutex::new(None);

#[offspring::test]
fn a_capture_that_goes_while_it_is_read_leaves_nothing(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let (sender, receiver) = channel::<u8>();
    let merge = move |n| sender.send(n).expect("somebody receives");
    let get = || drop(GUARD.lock().unwrap().take());
    let guard = offspring::capture("back", get, |()| ())?.bring_back(|| 1u8, merge)?;
    *GUARD.lock().unwrap() = Some(guard);
    pool.submit((), |_: &mut (), ()| ())?.join()?;
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    Ok(())
}

/// Uses captures while it is encoded.
#[derive(Clone)]
struct Registers;

impl serde::Serialize for Registers {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        drop(offspring::capture("other", || (), |()| ()).map_err(serde::ser::Error::custom)?);
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Registers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

/// The specification of an object is encoded when the object is captured first.
#[offspring::test]
fn a_specification_may_use_captures_while_it_is_encoded(context: Context) -> Outcome {
    let object = Shared::new(Registers, |Registers| 5u8)?;
    let _guard = offspring::capture("object", move || object.clone(), |_: Shared<u8>| ())?;
    for _ in 0..2 {
        assert_eq!(context.process().start((), |()| 1)?.join()?, 1);
    }
    Ok(())
}

/// A copy of a pool, which belongs to the parent with all that it has.
static COPIED: Mutex<Option<Pool<()>>> = Mutex::new(None);

struct Counts;

impl Drop for Counts {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

#[offspring::test(contexts(Fork))]
fn a_forked_child_drops_nothing_of_its_parent(context: Context) -> Outcome {
    let counts = Counts;
    let merge = move |_: u8| assert_eq!(size_of_val(&counts), 0);
    let guard = offspring::capture("back", || (), |()| ())?.bring_back(|| 1u8, merge)?;
    *COPIED.lock().unwrap() = Some(context.pool().workers(1).build()?);
    drop(guard);
    let child = context.process().start((), |()| {
        let copy = COPIED.lock().unwrap().take();
        drop(copy.expect("it is inherited"));
        DROPPED.load(Ordering::Relaxed)
    })?;
    assert_eq!(child.join()?, 0);
    drop(COPIED.lock().unwrap().take());
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    Ok(())
}
