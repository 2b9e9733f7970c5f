//! Owners of locks are killed, and the next one has the lock, knows of it, and finds the value whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::sync::{Event, Mutex};
use offspring::{Context, ErrorKind, LockedArray, Process, SharedArray};
use serde::{Deserialize, Serialize};

use crate::harness::{self, Case, Outcome, PROCESSES as ISOLATED};
use crate::torture::{self, Random};
use crate::{LONG, rounds};

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    the_owner_is_killed,
    an_owner_that_is_stopped_owns,
    many_owners_of_many_locks,
    owners_are_killed_at_any_moment,
    a_worker_dies_with_a_lock,
];

/// Half of the owners are killed before the next one asks for the lock, and half while it waits.
fn the_owner_is_killed(context: Context) -> Outcome {
    type Shared = (Mutex<[u64; 4]>, LockedArray<u64>, Event, Option<u64>);
    let mut random = Random::new();
    let (mutex, array) = (Mutex::new([0; 4])?, LockedArray::zeroed(4)?);
    let mut times = Vec::new();
    for round in 0..rounds() {
        let held = Event::new()?;
        let by_itself = (round % 2 == 1).then(|| random.below(5000));
        let shared = (mutex.clone(), array.clone(), held.clone(), by_itself);
        let owner =
            context.process().start(shared, |(mutex, array, held, ends): Shared| -> bool {
                let mut guard = mutex.lock().expect("free");
                let mut elements = array.lock().expect("free");
                *guard = [u64::MAX; 4];
                elements.set(0, 1);
                held.set();
                if let Some(microseconds) = ends {
                    std::thread::sleep(Duration::from_micros(microseconds));
                    torture::signal(std::process::id(), libc::SIGKILL);
                }
                harness::sleep_for_ever()
            })?;
        held.wait_timeout(LONG)?;
        if by_itself.is_none() {
            owner.kill()?;
        }
        let start = Instant::now();
        let error = mutex.lock_timeout(LONG).map(|_| ()).unwrap_err();
        times.push(start.elapsed());
        assert_eq!(error.kind(), ErrorKind::Poisoned, "round {round}: {error}");
        let mut guard = mutex.recover(LONG)?;
        assert!(guard.was_poisoned(), "round {round}");
        assert_eq!(*guard, [round; 4], "round {round}: the value is what it was before");
        *guard = [round + 1; 4];
        drop(guard);
        assert_eq!(*mutex.lock()?, [round + 1; 4], "round {round}: whole again");
        let mut elements = array.recover(LONG)?;
        assert_eq!((elements.was_poisoned(), elements.get(0)), (true, Some(1)), "round {round}");
        elements.set(0, 0);
        drop(elements);
        let ended = owner.join().unwrap_err();
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "round {round}: {ended}");
    }
    let summary = torture::summary(&mut times);
    torture::report(format_args!(
        "locks {context}: from asking to the lock of a killed owner: {summary}"
    ));
    Ok(())
}

fn an_owner_that_is_stopped_owns(context: Context) -> Outcome {
    let (mutex, held, done) = (Mutex::new(1u32)?, Event::new()?, Event::new()?);
    let shared = (mutex.clone(), held.clone(), done.clone());
    let owner =
        context.process().start(shared, |(mutex, held, done): (Mutex<u32>, Event, Event)| {
            let mut guard = mutex.lock().expect("free");
            held.set();
            done.wait();
            *guard = 2;
        })?;
    held.wait_timeout(LONG)?;
    let pid = owner.id();
    torture::signal(pid, libc::SIGSTOP);
    for _ in 0..5 {
        let error = mutex.lock_timeout(Duration::from_millis(50)).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
    done.set();
    torture::signal(pid, libc::SIGCONT);
    assert_eq!(*mutex.lock_timeout(LONG)?, 2);
    owner.join()?;
    Ok(())
}

fn many_owners_of_many_locks(context: Context) -> Outcome {
    type Shared = (Vec<Mutex<u64>>, usize, SharedArray<AtomicU64>);
    let locks = (0..60).map(Mutex::new).collect::<Result<Vec<_>, _>>()?;
    let held = SharedArray::<AtomicU64>::new(1)?;
    let arguments = (0..3).map(|first| (locks.clone(), first, held.clone()));
    let owners = arguments
        .map(|arguments| {
            context.process().start(arguments, |(locks, first, held): Shared| {
                let mut guards = Vec::new();
                for lock in locks.iter().skip(first).step_by(3) {
                    guards.push(lock.lock().expect("free"));
                }
                // Not in the order in which they were taken.
                drop(guards.remove(7));
                drop(guards.remove(0));
                held.fetch_add_one();
                harness::sleep_for_ever()
            })
        })
        .collect::<Result<Vec<Process<()>>, _>>()?;
    harness::eventually("all hold theirs", || held[0].load(Ordering::SeqCst) == 3);
    for owner in owners {
        owner.kill()?;
        owner.join().unwrap_err();
    }
    for (n, lock) in (0..).zip(&locks) {
        let free = [0, 7].contains(&(n / 3));
        let guard = lock.recover(LONG)?;
        assert_eq!((guard.was_poisoned(), *guard), (!free, n), "lock {n}");
    }
    Ok(())
}

trait Count {
    fn fetch_add_one(&self);
}

impl Count for SharedArray<AtomicU64> {
    fn fetch_add_one(&self) {
        self[0].fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Work {
    /// Four numbers that are equal whenever the lock is free.
    value: Mutex<[u64; 4]>,
    /// How often each has had the lock, and how often it was poisoned.
    turns: SharedArray<AtomicU64>,
}

fn owners_are_killed_at_any_moment(context: Context) -> Outcome {
    const MANY: usize = 3;
    let mut random = Random::new();
    let work = Work { value: Mutex::new([0; 4])?, turns: SharedArray::new(MANY + 1)? };
    let start = |index: usize| -> offspring::Result<Process<Result<(), String>>> {
        context.process().start((work.clone(), index), |(work, index): (Work, usize)| {
            loop {
                let guard = work.value.recover(LONG);
                let mut guard = guard.map_err(|error| error.to_string())?;
                if guard.was_poisoned() {
                    // Written in part, at worst, from the first to the last.
                    let [first, .., last] = *guard;
                    if first - last > 1 {
                        return Err(format!("{:?}", *guard));
                    }
                    work.turns[MANY].fetch_add(1, Ordering::SeqCst);
                    *guard = [first; 4];
                } else if guard.iter().any(|number| *number != guard[0]) {
                    return Err(format!("not poisoned, and {:?}", *guard));
                }
                guard.iter_mut().for_each(|number| *number += 1);
                drop(guard);
                work.turns[index].fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let mut owners = (0..MANY).map(start).collect::<Result<Vec<_>, _>>()?;
    let turn = |index: usize| work.turns[index].load(Ordering::SeqCst);
    for _ in 0..rounds() {
        std::thread::sleep(random.time_below(Duration::from_millis(3)));
        let victim = random.below(MANY as u64) as usize;
        owners[victim].kill()?;
        let dead = std::mem::replace(&mut owners[victim], start(victim)?);
        let ended = dead.join().map(|found| found.unwrap_err()).unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::Died, "{ended}");
        let before: Vec<u64> = (0..MANY).map(turn).collect();
        harness::eventually("all go on, also the new one", || {
            (0..MANY).all(|index| turn(index) > before[index])
        });
    }
    for owner in owners {
        owner.kill()?;
        owner.join().map(|found| found.unwrap_err()).unwrap_err();
    }
    let guard = work.value.recover(LONG)?;
    let all: u64 = (0..MANY).map(turn).sum();
    // Each that was killed may have had its turn without counting it.
    let most = all + rounds() + MANY as u64;
    assert!((all..=most).contains(&guard[0]), "{all} turns, and the value is {:?}", *guard);
    torture::report(format_args!(
        "locks {context}: {} killed at any moment, {} while they held it, in {all} turns",
        rounds() + MANY as u64,
        turn(MANY)
    ));
    Ok(())
}

/// The pool gives the task that died its error, and the worker that takes the place goes on with the lock.
fn a_worker_dies_with_a_lock(context: Context) -> Outcome {
    let sum = Mutex::new(0u64)?;
    let pool = context.pool().workers(2).init(sum.clone(), |sum| sum).build()?;
    let results = pool.map(0..60u64, |sum: &mut Mutex<u64>, n| {
        let mut guard = sum.recover(LONG).expect("nobody holds it for ever");
        *guard += n;
        if n % 20 == 7 {
            torture::signal(std::process::id(), libc::SIGKILL);
        }
    });
    let died: Vec<u64> =
        results.filter_map(|result| result.err().map(|error| error.index())).collect();
    assert_eq!(died, [7, 27, 47]);
    assert_eq!(*sum.recover(LONG)?, 60 * 59 / 2 - 7 - 27 - 47);
    Ok(())
}
