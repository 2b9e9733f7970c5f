//! Conditions: no notification is lost, in turns and among many, and whoever is killed while it waits.

use std::time::{Duration, Instant};

use offspring::sync::{Condvar, Mutex, MutexGuard};
use offspring::{Context, ErrorKind, Process};
use serde::{Deserialize, Serialize};

use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};
use crate::torture::{self, Random};
use crate::{LONG, rounds};

pub(crate) const CASES: &[Case] = crate::cases![nobody_notifies];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    ping_pong,
    all_are_woken,
    each_is_woken_by_one_while_others_are_killed,
];

fn nobody_notifies(_: Context) -> Outcome {
    let (mutex, condition) = (Mutex::new(1u32)?, Condvar::new()?);
    for limit in [Duration::ZERO, Duration::from_millis(50)] {
        let start = Instant::now();
        let (guard, result) = condition.wait_timeout(mutex.lock()?, limit)?;
        assert!(result.timed_out() && start.elapsed() >= limit);
        let (guard, result) = condition.wait_timeout_while(guard, limit, |value| *value == 1)?;
        assert!(result.timed_out());
        let (guard, result) = condition.wait_timeout_while(guard, limit, |value| *value == 2)?;
        assert!(!result.timed_out());
        drop(condition.wait_while(guard, |value| *value == 2)?);
    }
    // A notification before the wait is none.
    condition.notify_all();
    condition.notify_one();
    let (_guard, result) = condition.wait_timeout(mutex.lock()?, Duration::from_millis(20))?;
    assert!(result.timed_out());
    Ok(())
}

fn ping_pong(context: Context) -> Outcome {
    let count = rounds().max(200);
    let (ball, moved) = (Mutex::new(0u64)?, Condvar::new()?);
    let shared = (ball.clone(), moved.clone(), count);
    let child =
        context.process().start(shared, |(ball, moved, count): (Mutex<u64>, Condvar, u64)| {
            play(&ball, &moved, 1, count).map_err(|error| error.to_string())
        })?;
    play(&ball, &moved, 0, count)?;
    child.join()??;
    assert_eq!(*ball.lock()?, 2 * count);
    Ok(())
}

/// Moves the ball whenever it is this one's turn, so many times.
fn play(ball: &Mutex<u64>, moved: &Condvar, turn: u64, count: u64) -> offspring::Result<()> {
    for round in 0..count {
        let guard = ball.lock()?;
        let (mut guard, result) =
            moved.wait_timeout_while(guard, LONG, |ball| *ball % 2 != turn)?;
        assert!(!result.timed_out(), "round {round}: the ball is {}", *guard);
        assert_eq!(*guard, 2 * round + turn);
        *guard += 1;
        drop(guard);
        moved.notify_one();
    }
    Ok(())
}

fn all_are_woken(context: Context) -> Outcome {
    const MANY: u64 = 5;
    let count = rounds().div_ceil(5);
    // The round, and how many have seen it.
    let (state, changed) = (Mutex::new([0u64; 2])?, Condvar::new()?);
    let arguments = vec![(state.clone(), changed.clone(), count); MANY as usize];
    let group = context.process().start_group(
        arguments,
        |(state, changed, count): (Mutex<[u64; 2]>, Condvar, u64)| {
            let work = || {
                for round in 1..=count {
                    let guard = state.lock()?;
                    let mut guard = changed.wait_while(guard, |[now, _]| *now < round)?;
                    guard[1] += 1;
                    drop(guard);
                    changed.notify_all();
                }
                Ok::<_, offspring::Error>(())
            };
            work().map_err(|error| error.to_string())
        },
    )?;
    for round in 1..=count {
        *state.lock()? = [round, 0];
        changed.notify_all();
        let guard = state.lock()?;
        let (guard, result) = changed.wait_timeout_while(guard, LONG, |[_, seen]| *seen < MANY)?;
        assert!(!result.timed_out(), "round {round}: {} have seen it", guard[1]);
    }
    assert!(group.join()?.into_iter().all(|done| done == Ok(())));
    Ok(())
}

#[derive(Clone, Serialize, Deserialize)]
struct Shop {
    /// How many wait to be taken, how many were taken, and whether it closes.
    items: Mutex<[u64; 3]>,
    changed: Condvar,
}

impl Shop {
    /// Whoever is killed in the shop leaves all as it was, or as it was to be.
    fn enter(&self) -> offspring::Result<MutexGuard<'_, [u64; 3]>> {
        self.items.recover(LONG)
    }

    fn take_all(&self) -> offspring::Result<()> {
        loop {
            let mut guard = self.enter()?;
            while guard[0] == 0 && guard[2] == 0 {
                guard = match self.changed.wait(guard) {
                    Err(error) if error.kind() == ErrorKind::Poisoned => self.enter()?,
                    other => other?,
                };
            }
            if guard[0] == 0 {
                return Ok(());
            }
            let [waiting, taken, closes] = *guard;
            *guard = [waiting - 1, taken + 1, closes];
        }
    }
}

/// One notification for each item, and nobody looks without one: those who wait would do so for ever.
fn each_is_woken_by_one_while_others_are_killed(context: Context) -> Outcome {
    const MANY: usize = 4;
    let mut random = Random::new();
    let shop = Shop { items: Mutex::new([0; 3])?, changed: Condvar::new()? };
    let start = || -> offspring::Result<Process<Result<(), String>>> {
        context
            .process()
            .start(shop.clone(), |shop: Shop| shop.take_all().map_err(|error| error.to_string()))
    };
    let mut takers = (0..MANY).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    let (mut given, mut longest) = (0u64, Duration::ZERO);
    for round in 0..rounds() {
        for _ in 0..random.below(6) {
            shop.enter()?[0] += 1;
            given += 1;
            shop.changed.notify_one();
        }
        std::thread::sleep(random.time_below(Duration::from_millis(3)));
        let victim = random.below(MANY as u64) as usize;
        takers[victim].kill()?;
        let last = Instant::now();
        crate::harness::eventually("all items are taken by those who are left", || {
            shop.enter().is_ok_and(|items| items[0] == 0)
        });
        longest = longest.max(last.elapsed());
        assert_eq!(shop.enter()?[1], given, "round {round}");
        let dead = std::mem::replace(&mut takers[victim], start()?);
        assert_eq!(dead.join().map(|_| ()).unwrap_err().kind(), ErrorKind::Died);
    }
    shop.enter()?[2] = 1;
    shop.changed.notify_all();
    for taker in takers {
        taker.join()??;
    }
    torture::report(format_args!(
        "conditions {context}: {given} items, {} killed, longest wait {longest:.1?}",
        rounds()
    ));
    Ok(())
}
