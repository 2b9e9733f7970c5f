//! Events, semaphores and barriers: between processes, with limits, and when somebody is missing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::sync::{Barrier, Event, Semaphore};
use offspring::{Context, ErrorKind, Process, SharedArray};

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
    somebody_dies_at_a_barrier,
    a_barrier_is_aborted_and_reset,
];

#[track_caller]
fn takes(limit: Duration, wait: impl FnOnce(Duration) -> Result<(), offspring::Error>) {
    let start = Instant::now();
    let error = wait(limit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() >= limit);
}

/// Waits until a process sleeps that has said that it is about to wait: it waits then.
fn falls_asleep(pid: u32) {
    #[cfg(target_os = "linux")]
    harness::eventually("it sleeps", || harness::props::state_of(pid) == Some('S'));
    // Elsewhere nobody tells.
    #[cfg(not(target_os = "linux"))]
    let _ = pid;
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
    type Shared = (Event, Barrier, SharedArray<AtomicU64>, u64);
    let count = rounds();
    // Between rounds both are there: who goes on while the event is still set does not wait in the next.
    let (event, both) = (Event::new()?, Barrier::new(2)?);
    let seen = SharedArray::<AtomicU64>::new(2)?;
    let all = (event.clone(), both.clone(), seen.clone(), count);
    let child = context.process().start(all, |(event, both, seen, count): Shared| {
        for _ in 0..count {
            both.wait_timeout(LONG).map_err(|error| error.to_string())?;
            seen[0].fetch_add(1, Ordering::SeqCst);
            event.wait();
            seen[1].fetch_add(1, Ordering::SeqCst);
        }
        Ok::<_, String>(())
    })?;
    for round in 1..=count {
        both.wait_timeout(LONG)?;
        harness::eventually("it is about to wait", || seen[0].load(Ordering::SeqCst) == round);
        falls_asleep(child.id());
        assert_eq!(seen[1].load(Ordering::SeqCst), round - 1, "nobody has set it");
        event.set();
        event.clear();
        harness::eventually("it went on", || {
            if cfg!(not(target_os = "linux")) {
                // It may not have waited yet; then it sees one of the next.
                event.set();
                event.clear();
            }
            seen[1].load(Ordering::SeqCst) == round
        });
    }
    child.join()??;
    Ok(())
}

fn no_more_inside_than_permits(context: Context) -> Outcome {
    type Shared = (Semaphore, SharedArray<AtomicU64>);
    type State = (Shared, [Barrier; 2]);
    const PERMITS: u64 = 2;
    // A multiple: each takes one permit in each round, and nobody is left who waits inside alone.
    const WORKERS: u64 = 3 * PERMITS;
    let shared: Shared = (Semaphore::new(PERMITS as u32)?, SharedArray::new(2)?);
    let barriers = [Barrier::new(WORKERS as usize)?, Barrier::new(PERMITS as usize)?];
    let state: State = (shared.clone(), barriers);
    let pool = context.pool().workers(WORKERS as usize).init(state, |state| state).build()?;
    pool.ready(LONG)?;
    let work = |((semaphore, inside), [all, full]): &mut State, count: u64| {
        for n in 0..count {
            all.wait_timeout(LONG)?;
            let _permit = semaphore.acquire_timeout(LONG)?;
            let now = inside[0].fetch_add(1, Ordering::SeqCst) + 1;
            inside[1].fetch_max(now, Ordering::SeqCst);
            // As many as may be inside are: with fewer this ends with its limit.
            full.wait_timeout(LONG)?;
            std::thread::sleep(Duration::from_micros(n % 3 * 50));
            inside[0].fetch_sub(1, Ordering::SeqCst);
        }
        Ok::<_, offspring::Error>(std::process::id())
    };
    let mut pids = BTreeSet::new();
    let results = pool.broadcast(rounds() * 2, move |state, count| {
        work(state, count).map_err(|error| error.to_string())
    })?;
    for pid in results {
        pids.insert(pid??);
    }
    assert_eq!(pids.len(), WORKERS as usize, "each worker takes part: {pids:?}");
    pool.shutdown()?;
    let (semaphore, inside) = shared;
    assert_eq!(inside[1].load(Ordering::SeqCst), PERMITS, "so many were inside at a time");
    assert_eq!((u64::from(semaphore.available()), inside[0].load(Ordering::SeqCst)), (PERMITS, 0));
    Ok(())
}

fn those_who_wait_for_permits_are_killed(context: Context) -> Outcome {
    type State = (Semaphore, SharedArray<AtomicU64>);
    for round in 0..rounds().div_ceil(5) {
        let state: State = (Semaphore::new(0)?, SharedArray::new(1)?);
        let start = || {
            context.process().start(state.clone(), |(semaphore, here): State| {
                here[0].fetch_add(1, Ordering::SeqCst);
                semaphore.acquire().forget();
            })
        };
        let (first, second) = (start()?, start()?);
        harness::eventually("both are there", || state.1[0].load(Ordering::SeqCst) == 2);
        falls_asleep(first.id());
        falls_asleep(second.id());
        first.kill()?;
        if round % 2 == 0 {
            // It is dead before there is a permit, and takes none.
            assert_eq!(first.join().unwrap_err().kind(), ErrorKind::Died);
            state.0.add_permits(1)?;
            let mut second = second;
            let ended = second.join_timeout(LONG)?;
            assert!(ended.is_some(), "round {round}: a permit for the one that lives");
            assert_eq!(state.0.available(), 0, "round {round}");
            continue;
        }
        // It was killed, but may not know yet, and be woken in the place of the other.
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

/// Who dies while it waits has come, and counts.
fn somebody_dies_at_a_barrier(context: Context) -> Outcome {
    let barrier = Barrier::new(3)?;
    let start = || {
        context.process().start(barrier.clone(), |barrier: Barrier| {
            let result = barrier.wait_timeout(LONG).map_err(|error| error.to_string())?;
            Ok::<_, String>(result.is_leader())
        })
    };
    let there = |count: u64| {
        let text = format!("{count} of 3");
        harness::eventually(&text, || format!("{barrier:?}").contains(&text));
    };
    // So many have come before the one that dies.
    for before in [0, 1].repeat(3) {
        let mut others = (0..before).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
        there(before);
        let dead = start()?;
        there(before + 1);
        falls_asleep(dead.id());
        dead.kill()?;
        assert_eq!(dead.join().unwrap_err().kind(), ErrorKind::Died);
        there(before + 1);
        for _ in before..2 {
            others.push(start()?);
        }
        let led = others.into_iter().map(Process::join).collect::<Result<Vec<_>, _>>()?;
        let led = led.into_iter().collect::<Result<Vec<_>, _>>()?;
        // The last leads, and that one lives.
        assert_eq!(led.iter().filter(|led| **led).count(), 1, "{before} came before: {led:?}");
        // Nothing of it is left in the next round, for which three must come again.
        there(0);
        assert!(!barrier.is_broken());
        let all = [start()?, start()?];
        there(2);
        assert!(barrier.wait_timeout(LONG)?.is_leader());
        for one in all {
            assert!(!one.join()??, "the last leads");
        }
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
