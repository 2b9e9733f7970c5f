//! Events, semaphores and barriers: between processes, with limits, and when somebody is missing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::sync::{Barrier, Event, Semaphore};
use offspring::{Context, ErrorKind, SharedArray};

use crate::harness::{self, Case, Outcome, PROCESSES as ISOLATED};
use crate::{LONG, rounds};

pub(crate) const CASES: &[Case] = crate::cases![
    limits_of_all,
    events_are_set_and_cleared_elsewhere,
    permits_are_taken_and_given_back_elsewhere,
    a_barrier_of_one,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    an_event_that_is_cleared_at_once,
    no_more_inside_than_permits,
    those_who_wait_for_permits_are_killed,
    rounds_of_a_barrier,
    somebody_is_missing_at_a_barrier,
    a_barrier_is_aborted_and_reset,
];

#[track_caller]
fn takes(limit: Duration, wait: impl FnOnce(Duration) -> Result<(), offspring::Error>) {
    let start = Instant::now();
    let error = wait(limit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() >= limit);
}

fn limits_of_all(_: Context) -> Outcome {
    let (event, semaphore) = (Event::new()?, Semaphore::new(0)?);
    for limit in [Duration::ZERO, Duration::from_millis(30), Duration::from_millis(250)] {
        takes(limit, |limit| event.wait_timeout(limit));
        takes(limit, |limit| semaphore.acquire_timeout(limit).map(drop));
        let barrier = Barrier::new(2)?;
        takes(limit, |limit| barrier.wait_timeout(limit).map(drop));
        assert_eq!(barrier.wait().unwrap_err().kind(), ErrorKind::Broken);
    }
    assert!(semaphore.try_acquire().is_none());
    semaphore.add_permits(u32::MAX)?;
    assert_eq!(semaphore.add_permits(1).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(semaphore.available(), u32::MAX);
    // No limit is too long.
    event.set();
    event.wait_timeout(Duration::MAX)?;
    drop(semaphore.acquire_timeout(Duration::MAX)?);
    Ok(())
}

fn events_are_set_and_cleared_elsewhere(context: Context) -> Outcome {
    let event = Event::new()?;
    assert!(!event.is_set());
    context.process().start(event.clone(), |event: Event| event.set())?.join()?;
    assert!(event.is_set());
    event.wait();
    event.set();
    context.process().start(event.clone(), |event: Event| event.clear())?.join()?;
    assert!(!event.is_set());
    event.clear();
    takes(Duration::from_millis(1), |limit| event.wait_timeout(limit));
    event.set();
    event.wait_timeout(LONG)?;
    Ok(())
}

fn permits_are_taken_and_given_back_elsewhere(context: Context) -> Outcome {
    let semaphore = Semaphore::new(2)?;
    let child = context.process().start(semaphore.clone(), |semaphore: Semaphore| {
        let permit = semaphore.acquire();
        let left = semaphore.available();
        drop(permit);
        semaphore.acquire().forget();
        left
    })?;
    assert_eq!(child.join()?, 1);
    assert_eq!(semaphore.available(), 1, "one was forgotten");
    let last = semaphore.acquire();
    assert!(semaphore.try_acquire().is_none());
    semaphore.add_permits(1)?;
    assert!(semaphore.try_acquire().is_some());
    drop(last);
    assert_eq!(semaphore.available(), 2);
    Ok(())
}

fn a_barrier_of_one(context: Context) -> Outcome {
    let child = context.process().start(Barrier::new(1)?, |barrier: Barrier| {
        (0..100).filter(|_| barrier.wait().is_ok_and(|result| result.is_leader())).count()
    })?;
    assert_eq!(child.join()?, 100);
    Ok(())
}

/// Who waited when it was set goes on.
fn an_event_that_is_cleared_at_once(context: Context) -> Outcome {
    type Both = (Event, SharedArray<AtomicU64>, u64);
    let count = rounds();
    let (event, seen) = (Event::new()?, SharedArray::<AtomicU64>::new(2)?);
    let all = (event.clone(), seen.clone(), count);
    let child = context.process().start(all, |(event, seen, count): Both| {
        for _ in 0..count {
            seen[0].fetch_add(1, Ordering::SeqCst);
            event.wait();
            seen[1].fetch_add(1, Ordering::SeqCst);
        }
    })?;
    for round in 1..=count {
        harness::eventually("it is about to wait", || seen[0].load(Ordering::SeqCst) >= round);
        // It may not wait yet; then it sees one of the next. Or one more than it needs: then it is ahead.
        harness::eventually("it went on", || {
            event.set();
            event.clear();
            seen[1].load(Ordering::SeqCst) >= round
        });
    }
    child.join()?;
    Ok(())
}

fn no_more_inside_than_permits(context: Context) -> Outcome {
    type State = (Semaphore, SharedArray<AtomicU64>);
    const PERMITS: u64 = 2;
    let state: State = (Semaphore::new(PERMITS as u32)?, SharedArray::new(2)?);
    let pool = context.pool().workers(5).init(state.clone(), |state| state).build()?;
    let results = pool.map_unordered(0..rounds() * 10, |(semaphore, inside): &mut State, n| {
        let _permit = semaphore.acquire();
        let now = inside[0].fetch_add(1, Ordering::SeqCst) + 1;
        inside[1].fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(n % 3 * 50));
        inside[0].fetch_sub(1, Ordering::SeqCst);
    });
    for result in results {
        result?;
    }
    pool.shutdown()?;
    let (semaphore, inside) = state;
    let most = inside[1].load(Ordering::SeqCst);
    assert!((1..=PERMITS).contains(&most), "{most} were inside at a time");
    assert_eq!((u64::from(semaphore.available()), inside[0].load(Ordering::SeqCst)), (PERMITS, 0));
    Ok(())
}

fn those_who_wait_for_permits_are_killed(context: Context) -> Outcome {
    type State = (Semaphore, SharedArray<AtomicU64>);
    for round in 0..rounds().div_ceil(10) {
        let state: State = (Semaphore::new(0)?, SharedArray::new(1)?);
        let start = || {
            context.process().start(state.clone(), |(semaphore, here): State| {
                here[0].fetch_add(1, Ordering::SeqCst);
                semaphore.acquire().forget();
            })
        };
        let (first, second) = (start()?, start()?);
        harness::eventually("both are there", || state.1[0].load(Ordering::SeqCst) == 2);
        // It was killed, but may not know yet, and be woken in the place of the other.
        first.kill()?;
        state.0.add_permits(1)?;
        let ended = first.join();
        if ended.is_ok() {
            // It was faster than the signal.
            state.0.add_permits(1)?;
        }
        let mut second = second;
        // It may have taken the permit and then died of the signal.
        let mut is_over = false;
        let what = format!("round {round}: somebody takes the permit");
        harness::eventually(&what, || {
            let ended =
                second.join_timeout(Duration::from_millis(10)).expect("it can be waited for");
            is_over = ended.is_some();
            is_over || state.0.available() == 0
        });
        // Who took it ends at once; if nobody does, it was the one that is dead.
        if !is_over && second.join_timeout(Duration::from_secs(2))?.is_none() {
            state.0.add_permits(1)?;
            second.join()?;
        }
    }
    Ok(())
}

fn rounds_of_a_barrier(context: Context) -> Outcome {
    type Arguments = (Barrier, SharedArray<AtomicU64>, usize, u64);
    const MANY: usize = 3;
    let count = rounds().max(100);
    let barrier = Barrier::new(MANY)?;
    let reached = SharedArray::<AtomicU64>::new(MANY)?;
    let arguments = (0..MANY).map(|index| (barrier.clone(), reached.clone(), index, count));
    let group = context.process().start_group(
        arguments.collect::<Vec<_>>(),
        |(barrier, reached, index, count): Arguments| {
            let mut led = 0;
            for round in 1..=count {
                reached[index].store(round, Ordering::Relaxed);
                let result = barrier.wait_timeout(LONG).map_err(|error| error.to_string())?;
                led += u64::from(result.is_leader());
                // All have come to this round, and nobody is more than one further.
                for one in &*reached {
                    let there = one.load(Ordering::Relaxed);
                    if there != round && there != round + 1 {
                        return Err(format!("in round {round} one is at {there}"));
                    }
                }
            }
            Ok(led)
        },
    )?;
    let led: Result<Vec<u64>, String> = group.join()?.into_iter().collect();
    assert_eq!(led?.iter().sum::<u64>(), count, "one leads each round");
    Ok(())
}

fn somebody_is_missing_at_a_barrier(context: Context) -> Outcome {
    let barrier = Barrier::new(3)?;
    for round in 0..3 {
        let child = context.process().start(barrier.clone(), |barrier: Barrier| {
            barrier.wait().map(|_| ()).map_err(|error| error.to_string())
        })?;
        // One of three is missing: it was killed before it came.
        let missing = context.process().start((), |()| -> bool { harness::sleep_for_ever() })?;
        missing.kill()?;
        harness::eventually("the child is there", || format!("{barrier:?}").contains("1 of 3"));
        takes(Duration::from_millis(20), |limit| barrier.wait_timeout(limit).map(drop));
        let text = child.join()?.expect_err("broken");
        assert!(text.contains("broke") && text.contains("reset"), "round {round}: {text}");
        assert_eq!(missing.join().unwrap_err().kind(), ErrorKind::Died);
        assert!(barrier.is_broken());
        assert_eq!(barrier.wait_timeout(LONG).unwrap_err().kind(), ErrorKind::Broken);
        barrier.reset();
        let others = context
            .process()
            .start_group(vec![barrier.clone(); 2], |barrier: Barrier| barrier.wait().is_ok())?;
        barrier.wait_timeout(LONG)?;
        assert_eq!(others.join()?, [true, true], "round {round}, after the reset");
    }
    Ok(())
}

fn a_barrier_is_aborted_and_reset(context: Context) -> Outcome {
    for end in [Barrier::abort, Barrier::reset] {
        let barrier = Barrier::new(3)?;
        let others =
            context.process().start_group(vec![barrier.clone(); 2], |barrier: Barrier| {
                barrier.wait().map(|_| ()).map_err(|error| error.to_string())
            })?;
        harness::eventually("both are there", || format!("{barrier:?}").contains("2 of 3"));
        end(&barrier);
        for outcome in others.join()? {
            let text = outcome.expect_err("broken");
            assert!(text.contains("broke"), "{text}");
        }
        barrier.reset();
        assert!(!barrier.is_broken());
    }
    Ok(())
}
