//! Mutexes: exact counts, limits, poison by a panic, and forks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::sync::{Barrier, Event, Mutex};
use offspring::{Context, ErrorKind, LockedArray, SharedArray, SharedValue, fork};

use crate::LONG;
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const CASES: &[Case] = crate::cases![
    counts_are_exact,
    passed_to_workers_that_run,
    handed_back_and_on,
    a_holder_that_panics,
    one_that_asks_twice,
    of_every_size,
];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    held_by_another,
    a_value_is_never_half_new,
];

pub(crate) const FORKS: &[Case] = crate::cases![on &[Context::Fork] =>
    a_forked_child_does_not_hold_what_its_parent_holds,
    a_guard_dropped_in_a_forked_child,
];

/// Every kind of lock, and an atomic beside them.
type Counters = (Mutex<u64>, LockedArray<u64>, SharedValue<[u64; 2]>, SharedArray<AtomicU64>);

fn counts_are_exact(context: Context) -> Outcome {
    const ROUNDS: u64 = 40;
    const EACH: u64 = 250;
    let workers = if context.is_isolated() { 4 } else { 1 };
    let counters: Counters =
        (Mutex::new(0)?, LockedArray::zeroed(3)?, SharedValue::new([0; 2])?, SharedArray::new(1)?);
    let state = (counters.clone(), Barrier::new(workers)?);
    let pool = context.pool().workers(workers).init(state, |state| state).build()?;
    pool.ready(LONG)?;
    let work = |((mutex, array, value, atomics), all): &mut (Counters, Barrier)| {
        for n in 0..ROUNDS {
            // All at the same time: one after the other they would be right without a lock.
            all.wait_timeout(LONG)?;
            for step in 0..EACH {
                // In the middle of a change, now and then, others get the time to do harm.
                let give_way = || {
                    if step % 100 == 0 {
                        std::thread::yield_now();
                    }
                };
                let mut sum = mutex.lock()?;
                let before = *sum;
                give_way();
                *sum = before + n;
                drop(sum);
                let mut array = array.lock()?;
                let element = array.get(1).unwrap_or(0);
                give_way();
                array.set(1, element + n);
                drop(array);
                value.update(|[sum, count]| {
                    give_way();
                    [sum + n, count + 1]
                })?;
                atomics[0].fetch_add(n, Ordering::Relaxed);
            }
        }
        Ok::<_, offspring::Error>(std::process::id())
    };
    let results =
        pool.broadcast((), move |state, ()| work(state).map_err(|error| error.to_string()))?;
    let mut pids = BTreeSet::new();
    for pid in results {
        pids.insert(pid??);
    }
    assert_eq!(pids.len(), workers, "each worker takes part: {pids:?}");
    let steps = workers as u64 * EACH;
    let sum = steps * ROUNDS * (ROUNDS - 1) / 2;
    let (mutex, array, value, atomics) = counters;
    assert_eq!(*mutex.lock()?, sum, "the mutex");
    assert_eq!(array.lock()?.to_vec(), [0, sum, 0], "the array");
    assert_eq!(value.get()?, [sum, steps * ROUNDS], "the value");
    assert_eq!(atomics[0].load(Ordering::Relaxed), sum, "the atomic");
    pool.shutdown()?;
    Ok(())
}

fn passed_to_workers_that_run(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    assert_eq!(pool.map(0..10u32, |(), n| n).map(Result::unwrap).sum::<u32>(), 45);
    // Made when all workers are up, and sent with each task.
    let sum = Mutex::new(0u64)?;
    let inputs = (0..100).map(|n| (sum.clone(), n));
    let results = pool.map(inputs, |(), (sum, n): (Mutex<u64>, u64)| {
        let added = sum.lock().map(|mut sum| *sum += n);
        added.map_err(|error| error.to_string())
    });
    for result in results {
        result??;
    }
    assert_eq!(*sum.lock()?, 4950);
    Ok(())
}

fn handed_back_and_on(context: Context) -> Outcome {
    let child = context.process().start((), |()| Mutex::new([7u16, 8, 9]).ok())?;
    let mutex = child.join()?.expect("the child has shared memory");
    // Whoever made it is gone.
    mutex.lock()?[1] = 80;
    let child = context.process().start(mutex.clone(), |mutex: Mutex<[u16; 3]>| {
        let mut guard = mutex.lock().map_err(|error| error.to_string())?;
        guard[2] = guard[0] * 100;
        Ok::<_, String>(*guard)
    })?;
    assert_eq!(child.join()??, [7, 80, 700]);
    assert_eq!(*mutex.lock()?, [7, 80, 700]);
    Ok(())
}

fn a_holder_that_panics(context: Context) -> Outcome {
    let (mutex, array) = (Mutex::new([1u64, 2])?, LockedArray::from_slice(&[1u8, 2])?);
    let both = (mutex.clone(), array.clone());
    let child = context.process().start(
        both,
        |(mutex, array): (Mutex<[u64; 2]>, LockedArray<u8>)| -> bool {
            let mut guard = mutex.lock().expect("free");
            let mut elements = array.lock().expect("free");
            guard[0] = 100;
            elements.set(0, 100);
            panic!("half way");
        },
    )?;
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Panicked);
    for error in [mutex.lock().unwrap_err(), mutex.try_lock().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
        assert!(error.to_string().contains("recover"), "{error}");
    }
    assert_eq!(array.lock_timeout(LONG).unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(mutex.is_poisoned() && array.is_poisoned());
    let mut guard = mutex.recover(LONG)?;
    assert!(guard.was_poisoned());
    assert_eq!(*guard, [1, 2], "what the one that panicked had changed is not there");
    guard[1] = 3;
    drop(guard);
    assert_eq!(*mutex.lock()?, [1, 3]);
    assert!(!mutex.recover(LONG)?.was_poisoned());
    let guard = array.recover(LONG)?;
    assert_eq!((guard.was_poisoned(), guard.to_vec()), (true, vec![100, 2]));
    drop(guard);
    assert_eq!(array.lock()?.get(2), None);
    // A value is poisoned by a function that panics, and whole again when it is set.
    let value = SharedValue::new(5u32)?;
    let child = context.process().start(value.clone(), |value: SharedValue<u32>| {
        value.update(|_| panic!("half way")).map_err(|error| error.to_string())
    })?;
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(value.get().unwrap_err().kind(), ErrorKind::Poisoned);
    value.set(6)?;
    assert_eq!(value.get()?, 6);
    Ok(())
}

/// An error and no deadlock, where the system can tell that the holder is the thread that asks.
fn one_that_asks_twice(_: Context) -> Outcome {
    let mutex = Mutex::new(0u8)?;
    let guard = mutex.lock()?;
    let error = mutex.clone().lock_timeout(Duration::from_millis(50)).map(|_| ()).unwrap_err();
    let expected =
        if cfg!(all(target_os = "linux", target_env = "gnu", not(offspring_force_portable))) {
            ErrorKind::Invalid
        } else {
            ErrorKind::TimedOut
        };
    assert_eq!(error.kind(), expected, "{error}");
    drop(guard);
    assert_eq!(mutex.try_lock()?.as_deref(), Some(&0));
    Ok(())
}

type Sizes = (Mutex<()>, Mutex<[u8; 5]>, Mutex<[[u64; 32]; 32]>);

fn of_every_size(context: Context) -> Outcome {
    let child = context.process().start(
        (Mutex::new(())?, Mutex::new([3u8; 5])?, Mutex::new([[9u64; 32]; 32])?),
        |(empty, odd, large): Sizes| {
            let work = || {
                drop(empty.lock()?);
                odd.lock()?[4] = 4;
                large.lock()?[31][31] = 10;
                Ok::<_, offspring::Error>(())
            };
            work().map_err(|error| error.to_string())?;
            Ok::<_, String>((odd, large))
        },
    )?;
    let (odd, large) = child.join()??;
    assert_eq!(*odd.lock()?, [3, 3, 3, 3, 4]);
    assert_eq!(large.lock()?.as_flattened().iter().sum::<u64>(), 9 * 1024 + 1);
    Ok(())
}

fn held_by_another(context: Context) -> Outcome {
    let (mutex, held, done) = (Mutex::new(1u32)?, Event::new()?, Event::new()?);
    let shared = (mutex.clone(), held.clone(), done.clone());
    let child =
        context.process().start(shared, |(mutex, held, done): (Mutex<u32>, Event, Event)| {
            let mut guard = mutex.lock().expect("free");
            held.set();
            done.wait();
            *guard = 2;
        })?;
    held.wait_timeout(LONG)?;
    assert!(mutex.try_lock()?.is_none(), "another process holds it");
    for limit in [Duration::ZERO, Duration::from_millis(50)] {
        let start = Instant::now();
        let error = mutex.lock_timeout(limit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(start.elapsed() >= limit);
        assert_eq!(mutex.recover(limit).unwrap_err().kind(), ErrorKind::TimedOut);
    }
    done.set();
    assert_eq!(*mutex.lock_timeout(LONG)?, 2);
    child.join()?;
    assert_eq!(*mutex.lock()?, 2);
    Ok(())
}

fn a_value_is_never_half_new(context: Context) -> Outcome {
    const CHANGES: u32 = 300;
    let value = SharedValue::new([0u64; 64])?;
    let stop = Event::new()?;
    let shared = (value.clone(), stop.clone());
    let group = context.process().start_group(
        [(shared.clone(), 1u64), (shared, 2)],
        |((value, stop), number): ((SharedValue<[u64; 64]>, Event), u64)| {
            let mut written = number;
            while !stop.is_set() {
                value.set([written; 64]).expect("nobody dies");
                written += 2;
            }
        },
    )?;
    let (start, mut last, mut changes, mut writers) = (Instant::now(), 0, 0, [false; 2]);
    // Whoever reads the same again and again learns nothing.
    while changes < CHANGES || writers != [true; 2] {
        let now = value.get()?;
        assert!(now.iter().all(|element| *element == now[0]), "{now:?}");
        if now[0] != last {
            last = now[0];
            changes += 1;
            writers[usize::from(last % 2 == 0)] = true;
        }
        assert!(
            start.elapsed() < LONG,
            "it was new {changes} times of {CHANGES}, by the odd and the even writer: {writers:?}"
        );
    }
    stop.set();
    group.join()?;
    Ok(())
}

fn a_forked_child_does_not_hold_what_its_parent_holds(_: Context) -> Outcome {
    let mutex = Mutex::new(1u32)?;
    let array = LockedArray::from_slice(&[1u8])?;
    let mut guard = mutex.lock()?;
    let elements = array.lock()?;
    let child = fork::start(|| {
        let busy = mutex.try_lock().is_ok_and(|found| found.is_none());
        // Another one works, with the list of locks that the child has for itself.
        let other = Mutex::new(5u32).and_then(|other| other.lock().map(|value| *value));
        (busy, other.ok(), *guard)
    })?;
    assert_eq!(child.join()?, (true, Some(5), 1));
    // The copy of a guard that lends no copy says so.
    let child = fork::start(|| elements.get(0))?;
    let error = child.join().unwrap_err();
    assert!(error.to_string().contains("forked"), "{error}");
    // Nor does its death release or poison anything.
    let child = fork::start(|| -> bool { std::process::abort() })?;
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Died);
    let child = fork::start(|| mutex.try_lock().is_ok_and(|found| found.is_none()))?;
    assert!(child.join()?, "still held here");
    *guard = 2;
    drop((guard, elements));
    let child = fork::start(|| mutex.lock().map(|value| *value).ok())?;
    assert_eq!(child.join()?, Some(2));
    assert!(!mutex.is_poisoned() && !array.is_poisoned());
    Ok(())
}

fn a_guard_dropped_in_a_forked_child(_: Context) -> Outcome {
    let mutex = Mutex::new(1u32)?;
    let guard = RefCell::new(Some(mutex.lock()?));
    let child = fork::start(|| {
        let mut copy = guard.borrow_mut().take().expect("a copy");
        *copy = 100;
        drop(copy);
        mutex.try_lock().is_ok_and(|found| found.is_none())
    })?;
    assert!(child.join()?, "the parent still holds it");
    let child = fork::start(|| -> u32 {
        let _copy = guard.borrow_mut().take();
        panic!("with the copy of a guard");
    })?;
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Panicked);
    drop(guard);
    assert_eq!(*mutex.lock()?, 1, "what the child did to its copy is not there");
    Ok(())
}
