//! The thread that drives a pool while somebody awaits, and only then. It is found by its name in
//! `/proc`.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context as Polled, Poll, Wake, Waker};
use std::time::Duration;

use offspring::{Context, ErrorKind};

use crate::harness::props::{Scratch, wait_for};
use crate::harness::{Outcome, eventually};
use crate::{block_on, poll_once};

/// How many threads drive pools for futures.
fn waiters() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            name.trim_end() == "offspring-wait"
        })
        .count()
}

/// Whichever of two futures is ready first.
struct Either<A, B>(A, B);

impl<A: Future + Unpin, B: Future + Unpin> Future for Either<A, B> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, polled: &mut Polled<'_>) -> Poll<bool> {
        if Pin::new(&mut self.0).poll(polled).is_ready() {
            return Poll::Ready(true);
        }
        Pin::new(&mut self.1).poll(polled).map(|_| false)
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_thread_drives_while_somebody_awaits(context: Context) -> Outcome {
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(2).build()?;
    assert_eq!(waiters(), 0);
    let held = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    assert_eq!(pool.submit(1u8, |(), n| n)?.join()?, 1);
    assert_eq!(waiters(), 0, "a join needs none");
    let mut held = held;
    assert!(poll_once(&mut held, Waker::noop()).is_pending());
    eventually("it has its name", || waiters() == 1);
    // One is enough for all.
    for n in 0..20u64 {
        assert_eq!(block_on(pool.submit(n, |(), n| n)?)?, n);
        assert_eq!(waiters(), 1);
    }
    gate.open();
    block_on(held)?;
    eventually("it has ended", || waiters() == 0);
    // And there is another when it is needed again.
    assert_eq!(block_on(pool.submit(3u64, |(), n| n)?)?, 3);
    pool.shutdown()?;
    eventually("it ends with the pool", || waiters() == 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_thread_stays_for_a_future_that_was_dropped(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let never = || pool.submit((), |(), ()| -> u64 { crate::harness::sleep_for_ever() });
    let first = never()?;
    let quick = pool.submit(1u64, |(), n| n)?;
    let mut both = Either(quick, first);
    assert!(block_on(&mut both), "the quick one is first");
    drop(both);
    eventually("nobody awaits the other, so nobody drives for it", || waiters() == 0);
    let mut alone = never()?;
    assert!(poll_once(&mut alone, Waker::noop()).is_pending());
    eventually("somebody drives for it", || waiters() == 1);
    // So that it mostly sleeps when the future goes.
    std::thread::sleep(Duration::from_millis(20));
    drop(alone);
    eventually("nobody drives for it any more", || waiters() == 0);
    drop(pool);

    let pool = context.pool().workers(1).build()?;
    let never = || pool.submit((), |(), ()| -> u64 { crate::harness::sleep_for_ever() });
    let mut second = never()?;
    assert!(poll_once(&mut second, Waker::noop()).is_pending());
    assert_eq!(second.join_timeout(Duration::from_millis(1))?, None);
    second.cancel();
    assert_eq!(second.join().unwrap_err().kind(), ErrorKind::Cancelled);
    eventually("it is settled, so nobody drives for it", || waiters() == 0);
    Ok(())
}

/// The thread stays for a while, in case somebody awaits again; but it goes when it is in the way.
#[offspring::test(contexts(Fork))]
fn a_fork_right_after_an_await(context: Context) -> Outcome {
    let start = || context.process().start(20u64, |n| n + 1)?.join();
    let gate = Scratch::new("gate");
    let pools = [context.pool().workers(1).build()?, context.pool().workers(2).build()?];
    for round in 0..50u64 {
        for pool in &pools {
            assert_eq!(block_on(pool.submit(round, |(), n| n)?)?, round);
        }
        let answer = start().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(answer, 21);
    }
    // Not while somebody awaits.
    let mut held = pools[0].submit(gate.path(), |(), gate| wait_for(&gate))?;
    assert!(poll_once(&mut held, Waker::noop()).is_pending());
    let error = start().expect_err("there is a second thread");
    assert_eq!(error.kind(), ErrorKind::Multithreaded { threads: Some(2) }, "{error}");
    gate.open();
    block_on(held)?;
    assert_eq!(start()?, 21);
    // A future that was dropped, and a pool that has ended, need no thread.
    let mut dropped = pools[0].submit(7u64, |(), n| n)?;
    let _ = poll_once(&mut dropped, Waker::noop());
    drop(dropped);
    assert_eq!(start()?, 21);
    drop(pools);
    assert_eq!(start()?, 21);
    Ok(())
}

/// Says that it is woken, and then waits for the one who forks.
struct Blocks {
    inside: Sender<()>,
    go: Mutex<Receiver<()>>,
}

impl Wake for Blocks {
    fn wake(self: Arc<Self>) {
        self.inside.send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
    }
}

#[offspring::test(contexts(Fork))]
fn a_fork_while_a_waker_is_called(context: Context) -> Outcome {
    let start = || context.process().start(20u64, |n| n + 1)?.join();
    let gate = Scratch::new("gate");
    let pool = context.pool().workers(1).build()?;
    let mut task = pool.submit(gate.path(), |(), gate| wait_for(&gate))?;
    let ((inside, woken), (go, wait)) = (mpsc::channel(), mpsc::channel());
    let waker = Waker::from(Arc::new(Blocks { inside, go: Mutex::new(wait) }));
    assert!(poll_once(&mut task, &waker).is_pending());
    gate.open();
    woken.recv()?;
    // It waits for this thread, which must not wait for it for ever.
    let error = start().expect_err("the waker runs in a second thread");
    assert_eq!(error.kind(), ErrorKind::Multithreaded { threads: Some(2) }, "{error}");
    go.send(())?;
    eventually("nobody is in the way any more", || start().is_ok());
    block_on(task)?;
    assert_eq!(start()?, 21);
    Ok(())
}
