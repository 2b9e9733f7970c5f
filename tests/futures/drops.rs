//! Futures that are given up, and wakers that change, or use the pool themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use offspring::{Context, ErrorKind, Task};

use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{Outcome, eventually};
use crate::{block_on, poll_once};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[offspring::test]
fn polled_after_its_end(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(3u64, |(), n| n)?;
    assert_eq!(block_on(&mut task)?, 3);
    for _ in 0..2 {
        assert_eq!(block_on(&mut task).unwrap_err().kind(), ErrorKind::Closed);
    }
    assert!(!task.is_done());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_dropped_future_lets_its_task_run(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).build()?;
    let count = Arc::new(Count::default());
    for n in 0..10u64 {
        let mut task = pool.submit((n, log.path()), |(), (n, log)| note(&log, n))?;
        let _ = poll_once(&mut task, &Waker::from(count.clone()));
    }
    assert_eq!(pool.shutdown()?.tasks(), 10);
    assert_eq!(log.lines().len(), 10);
    eventually("nobody keeps the wakers", || Arc::strong_count(&count) == 1);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_last_waker_is_woken(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
    for count in &counts {
        assert!(poll_once(&mut task, &Waker::from(count.clone())).is_pending());
    }
    gate.open();
    eventually("the last one is woken", || counts[2].get() > 0);
    assert!(task.is_done());
    assert!(poll_once(&mut task, Waker::noop()).is_ready());
    let woken: Vec<usize> = counts.iter().map(|count| count.get()).collect();
    assert_eq!(woken, [0, 0, 1]);
    Ok(())
}

/// Joins a task when it is woken, and another when it is dropped.
struct Busy {
    wakes: Mutex<Vec<Task<u64>>>,
    drops: Mutex<Vec<Task<u64>>>,
    done: Arc<AtomicUsize>,
}

impl Busy {
    fn join(&self, tasks: &Mutex<Vec<Task<u64>>>) {
        for task in tasks.lock().unwrap().drain(..) {
            if task.join().is_ok() {
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        self.join(&self.wakes);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.join(&self.drops);
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn wakers_that_use_the_pool(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).build()?;
    let done = Arc::new(AtomicUsize::new(0));
    let busy = || -> offspring::Result<Waker> {
        let wakes = Mutex::new(vec![pool.submit(1u64, |(), n| n)?]);
        let drops = Mutex::new(vec![pool.submit(2u64, |(), n| n)?]);
        Ok(Waker::from(Arc::new(Busy { wakes, drops, done: done.clone() })))
    };
    let mut task = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    assert!(poll_once(&mut task, &busy()?).is_pending());
    // The first is replaced, and dropped with all that it holds.
    assert!(poll_once(&mut task, &busy()?).is_pending());
    assert_eq!(done.load(Ordering::SeqCst), 1, "one was joined when it was dropped");
    gate.open();
    eventually("the second is woken, and dropped", || done.load(Ordering::SeqCst) == 3);
    block_on(task)?;
    // And one that is dropped with its task.
    let mut task = pool.submit((), |(), ()| -> u8 { crate::harness::sleep_for_ever() })?;
    assert!(poll_once(&mut task, &busy()?).is_pending());
    drop(task);
    eventually("it is dropped", || done.load(Ordering::SeqCst) == 4);
    pool.terminate();
    Ok(())
}

/// An executor's note of a future: it lives as long as somebody may wake it.
struct Node(Mutex<Option<Task<u64>>>);

impl Wake for Node {
    fn wake(self: Arc<Self>) {}
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_waker_that_holds_the_last_task(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).build()?;
    // A future that only its own waker keeps: it goes when the outcome comes.
    let task = pool.submit(gate.path(), |(), gate| {
        wait_for(&gate);
        7u64
    })?;
    let node = Arc::new(Node(Mutex::new(Some(task))));
    let weak = Arc::downgrade(&node);
    let waker = Waker::from(node.clone());
    if let Some(task) = node.0.lock().unwrap().as_mut() {
        assert!(poll_once(task, &waker).is_pending());
    }
    drop((node, waker));
    assert!(weak.upgrade().is_some());
    gate.open();
    eventually("it is gone", || weak.upgrade().is_none());
    assert_eq!(block_on(pool.submit(5u64, |(), n| n)?)?, 5);
    Ok(())
}

/// Panics when it is woken, and has noted that before.
#[derive(Default)]
struct Panics(Count);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        panic!("a waker, on purpose");
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_waker_that_panics(context: Context) -> Outcome {
    let (gate, later) = (Scratch::new("gate"), Scratch::new("later"));
    let pool = context.pool().workers(2).build()?;
    let (panics, count) = (Arc::new(Panics::default()), Arc::new(Count::default()));
    let mut first = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    let mut second = pool.submit(later.path(), |(), gate| wait_for(&gate))?;
    assert!(poll_once(&mut first, &Waker::from(panics.clone())).is_pending());
    assert!(poll_once(&mut second, &Waker::from(count.clone())).is_pending());
    gate.open();
    eventually("it was woken", || panics.0.get() == 1);
    later.open();
    eventually("the other is woken", || count.get() == 1);
    block_on(first)?;
    block_on(second)?;
    assert_eq!(block_on(pool.submit(5u64, |(), n| n)?)?, 5);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn wakers_among_some_that_panic(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let (panics, count) = (Arc::new(Panics::default()), Arc::new(Count::default()));
    let mut tasks = Vec::new();
    for n in 0..6 {
        let mut task = pool.submit((), |(), ()| -> u8 { crate::harness::sleep_for_ever() })?;
        let waker = match n % 5 {
            0 => Waker::from(panics.clone()),
            _ => Waker::from(count.clone()),
        };
        assert!(poll_once(&mut task, &waker).is_pending());
        tasks.push(task);
    }
    // They all get their outcomes at once, and this thread wakes them.
    let ended = catch_unwind(AssertUnwindSafe(|| pool.terminate()));
    assert_eq!((panics.0.get(), count.get()), (2, 4), "each is woken");
    let panic = ended.expect_err("whoever wakes them is told");
    assert_eq!(panic.downcast_ref(), Some(&"a waker, on purpose"));
    for task in tasks {
        assert!(block_on(task).is_err());
    }
    Ok(())
}
