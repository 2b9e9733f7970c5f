//! Workers killed at any moment, and many of them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind, Phase};

use crate::harness::leaks::{children_of, is_alive};
use crate::harness::{Outcome, eventually};
use crate::{Scratch, kill, with_supervisor};

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("OFFSPRING_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
        });
        println!("OFFSPRING_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % limit
    }
}

const KILLS: u64 = 200;

/// What a task returns, `length` bytes long.
fn answer(n: u64, length: usize) -> Vec<u8> {
    let mut bytes = n.to_ne_bytes().to_vec();
    bytes.resize(length, (n % 251) as u8);
    bytes
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn kills_with_small_results(context: Context) -> Outcome {
    kills_while_working(context, 8)
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn kills_with_large_results(context: Context) -> Outcome {
    kills_while_working(context, 300_000)
}

fn kills_while_working(context: Context, length: usize) -> Outcome {
    let mut random = Random::new();
    let log = Scratch::new("log");
    let build = || {
        let open = |path: PathBuf| -> File {
            OpenOptions::new().create(true).append(true).open(path).unwrap()
        };
        context.pool().workers(4).init(log.path(), open).build()
    };
    let (pool, supervisor) = with_supervisor(build);
    let pool = pool?;
    // Set at the end, also when the case fails.
    let over = AtomicBool::new(false);
    let (killed, progress) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut outcomes = BTreeMap::new();
    std::thread::scope(|scope| -> Outcome {
        scope.spawn(|| {
            for _ in 0..KILLS {
                std::thread::sleep(Duration::from_micros(random.below(5000)));
                // Whoever it hits may be starting. If that happens again and again and nothing is done
                // in between, the pool rightly gives up.
                let before = progress.load(Ordering::Relaxed);
                let workers: Vec<u32> = children_of(supervisor).into_iter().collect();
                if !workers.is_empty() {
                    kill(workers[random.below(workers.len() as u64) as usize], libc::SIGKILL);
                }
                while progress.load(Ordering::Relaxed) == before && !over.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            }
            killed.store(true, Ordering::Relaxed);
        });
        let _over = SetAtEnd(&over);
        let inputs = (0..).take_while(|_| !killed.load(Ordering::Relaxed)).map(|n| (n, length));
        let results = pool.map_unordered(inputs, |log, (n, length): (u64, usize)| {
            log.write_all(format!("{n}\n").as_bytes()).unwrap();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(n % 300) {}
            answer(n, length)
        });
        for (index, result) in results.enumerated() {
            let died = match result {
                Ok(bytes) => {
                    assert!(bytes == answer(index, length), "task {index} has a wrong answer");
                    false
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Died, "{error:?}");
                    assert_eq!((error.index(), error.phase()), (index, Phase::Started));
                    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
                    true
                }
            };
            progress.fetch_add(1, Ordering::Relaxed);
            assert!(outcomes.insert(index, died).is_none(), "task {index} has two outcomes");
        }
        Ok(())
    })?;
    let died = outcomes.values().filter(|died| **died).count() as u64;
    let count = outcomes.len() as u64;
    println!("{count} tasks, {died} died");
    assert!(outcomes.keys().copied().eq(0..count), "every task has an outcome");
    assert!(died <= KILLS, "{died} tasks died of {KILLS} kills");

    let mut effects = BTreeMap::<u64, u32>::new();
    for line in log.lines() {
        *effects.entry(line.parse()?).or_default() += 1;
    }
    let twice: Vec<_> = effects.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "these had their effect more than once: {twice:?}");
    let without: Vec<_> =
        outcomes.iter().filter(|(n, died)| !**died && !effects.contains_key(n)).collect();
    assert!(without.is_empty(), "these succeeded without an effect: {without:?}");
    let report = pool.shutdown()?;
    assert_eq!(report.tasks(), count);
    assert!(report.replaced() >= died && report.replaced() <= KILLS, "{}", report.replaced());
    Ok(())
}

struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn kills_of_idle_workers(context: Context) -> Outcome {
    let mut random = Random::new();
    let (pool, supervisor) =
        with_supervisor(|| context.pool().workers(2).init(1u64, |one| one).build());
    let pool = pool?;
    for round in 0..20 {
        // All of them are idle, now and when they are killed: nobody has given them anything.
        let workers: Vec<u32> = children_of(supervisor).into_iter().collect();
        for _ in 0..random.below(3).min(workers.len() as u64) {
            let worker = workers[random.below(workers.len() as u64) as usize];
            kill(worker, libc::SIGKILL);
            // Until then it may begin a task. The pool does not look meanwhile.
            eventually("it is gone", || !is_alive(worker));
        }
        for (n, result) in (0..).zip(pool.map(0..20u64, |one, n| *one + n)) {
            match result {
                Ok(value) => assert_eq!(value, n + 1, "round {round}"),
                // It was dead and we did not know, or it was killed in the middle of its start.
                Err(error) => panic!("round {round}: {error:?}"),
            }
        }
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn two_hundred_workers(context: Context) -> Outcome {
    let pool = context.pool().workers(200).init(3u64, |three| three).build()?;
    assert_eq!(pool.workers(), 200);
    let mut count = 0;
    for (n, result) in (0..).zip(pool.map(0..2000u64, |three, n| *three * n)) {
        assert_eq!(result?, 3 * n);
        count += 1;
    }
    assert_eq!(count, 2000);
    assert_eq!(pool.shutdown()?.tasks(), 2000);
    Ok(())
}
