//! What workers do and leave at their end: one value for each that ends in an orderly way, whatever the
//! reason, and none for the others.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, ErrorKind, Report, Reuse, SharedSlice};
use offspring_platform::lifeline;
use serde::{Deserialize, Serialize, Serializer};

use crate::harness::Outcome;
use crate::{Death, Scratch, note, told};

/// A worker's index, and how many tasks it ran.
type Left = (usize, u64);

/// What each worker leaves, of those that left something.
fn left(report: &Report<Left>) -> Vec<Left> {
    let values = report.exit_values().iter();
    values.map(|value| *value.as_ref().unwrap_or_else(|error| panic!("{error:?}"))).collect()
}

/// To be known at the end, when no task runs.
struct Tally(Left);

fn tally((): ()) -> Tally {
    Tally((offspring::worker().expect("this is a worker").index(), 0))
}

fn work(tally: &mut Tally, n: u64) -> u64 {
    tally.0.1 += 1;
    n * 2
}

fn leave(tally: Tally) -> Left {
    tally.0
}

#[offspring::test]
fn a_value_of_each_worker(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), tally).exit(leave).build()?;
    pool.ready(Duration::from_secs(60))?;
    for (n, result) in (0..).zip(pool.map(0..200u64, work)) {
        assert_eq!(result?, 2 * n);
    }
    let report = pool.shutdown()?;
    let left = left(&report);
    let indexes: BTreeSet<usize> = left.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (0..if context.is_isolated() { 3 } else { 1 }).collect(), "{left:?}");
    assert_eq!(left.len(), indexes.len(), "each once: {left:?}");
    assert_eq!(left.iter().map(|(_, count)| count).sum::<u64>(), 200, "{left:?}");
    assert_eq!(report.into_exit_values().len(), left.len());
    Ok(())
}

#[offspring::test]
fn values_of_those_that_were_replaced(context: Context) -> Outcome {
    for setting in 0..4 {
        let builder = context.pool().workers(2);
        let builder = match setting {
            0 => builder.tasks_per_worker(1),
            1 => builder.tasks_per_worker(7),
            2 => builder.reuse(Reuse::PerTask),
            _ => builder.reuse(Reuse::PerMap),
        };
        let pool = builder.init((), tally).exit(leave).build()?;
        pool.ready(Duration::from_secs(60))?;
        for _ in 0..4 {
            for (n, result) in (0..).zip(pool.map(0..10u64, work)) {
                assert_eq!(result?, 2 * n);
            }
        }
        let report = pool.shutdown()?;
        let left = left(&report);
        let sum: u64 = left.iter().map(|(_, count)| count).sum();
        // Where each task runs in a copy of a worker, nothing is left of it in the worker.
        let copies = setting == 2 && !lifeline::IS_A_THREAD && context.is_isolated();
        assert_eq!(sum, if copies { 0 } else { 40 }, "setting {setting}: {left:?}");
        if context.is_isolated() {
            let expected = report.replaced() + 2;
            assert_eq!(left.len() as u64, expected, "setting {setting}: {report:?}");
        }
        match setting {
            2 if copies => assert_eq!(left.len(), 2, "{left:?}"),
            0 | 2 => {
                let ran = left.iter().filter(|(_, count)| *count > 0).count();
                assert_eq!(ran, 40, "setting {setting}: {left:?}");
            }
            1 => assert!(left.iter().all(|(_, count)| *count <= 7), "{left:?}"),
            // In each map at least one worker, and no more than two, all of them fresh.
            _ => {
                let ran = left.iter().filter(|(_, count)| *count > 0).count();
                assert!((4..=8).contains(&ran), "{left:?}");
            }
        }
        assert_eq!(report.abnormal_exits(), [], "setting {setting}");
    }
    Ok(())
}

#[offspring::test]
fn values_after_recycling(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), tally).exit(leave).build()?;
    for _ in 0..3 {
        pool.ready(Duration::from_secs(60))?;
        assert_eq!(pool.map(0..10u64, work).filter(Result::is_ok).count(), 10);
        pool.recycle();
    }
    let report = pool.shutdown()?;
    let left = left(&report);
    assert_eq!(left.iter().map(|(_, count)| count).sum::<u64>(), 30, "{left:?}");
    // On Inline a worker without a task has no state.
    let expected = if context.is_isolated() { report.replaced() + 2 } else { 3 };
    assert_eq!(left.len() as u64, expected, "{report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn values_after_shrinking(context: Context) -> Outcome {
    let pool = context.pool().workers(4).init((), tally).exit(leave).build()?;
    pool.ready(Duration::from_secs(60))?;
    assert_eq!(pool.map(0..50u64, work).filter(Result::is_ok).count(), 50);
    pool.resize(1)?;
    assert_eq!(pool.map(0..50u64, work).filter(Result::is_ok).count(), 50);
    pool.resize(2)?;
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    let left = left(&report);
    assert_eq!(left.iter().map(|(_, count)| count).sum::<u64>(), 100, "{left:?}");
    assert_eq!(left.len(), 5, "four at first, and one more: {report:?}");
    assert_eq!(report.abnormal_exits(), []);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn shrinking_before_workers_are_up(context: Context) -> Outcome {
    let pool = context.pool().workers(4).init((), tally).exit(leave).build()?;
    pool.resize(1)?;
    assert_eq!(pool.workers(), 1);
    pool.ready(Duration::from_secs(60))?;
    let by = |tally: &mut Tally, n: u64| {
        // Long enough for others to take a part.
        std::thread::sleep(Duration::from_millis(2));
        work(tally, n);
        tally.0.0
    };
    for result in pool.map(0..100u64, by) {
        assert_eq!(result?, 0, "a worker of a place that is gone");
    }
    let report = pool.shutdown()?;
    assert_eq!(left(&report).len(), 4, "{report:?}");
    assert_eq!(report.abnormal_exits(), []);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_value_of_those_that_died(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), tally).exit(leave).build()?;
    let mut died = 0;
    for result in pool.map(0..40u64, |tally, n| match n % 8 {
        7 => Death::ALL[usize::try_from(n / 8 % 4).unwrap()].die(),
        _ => work(tally, n),
    }) {
        died += u64::from(result.is_err());
    }
    assert_eq!(died, 5);
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (40, 5));
    assert_eq!(report.abnormal_exits().len(), 5, "{report:?}");
    let left = left(&report);
    assert_eq!(left.len(), 2, "those at the end, and nobody else: {report:?}");
    assert!(left.iter().map(|(_, count)| count).sum::<u64>() <= 35, "{left:?}");
    Ok(())
}

#[offspring::test]
fn a_panic_at_the_end(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(3)
        .init((), tally)
        .exit(|tally| {
            assert!(tally.0.0 % 2 == 1, "no farewell from {}", tally.0.0);
            tally.0.0
        })
        .build()?;
    pool.ready(Duration::from_secs(60))?;
    assert_eq!(pool.map(0..50u64, work).filter(Result::is_ok).count(), 50);
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), []);
    let mut seen = BTreeSet::new();
    for value in report.exit_values() {
        match value {
            Ok(index) => {
                assert_eq!(index % 2, 1);
                seen.insert(*index);
            }
            Err(error) => {
                assert_eq!((error.kind(), error.context()), (ErrorKind::Panicked, Some(context)));
                let index = error.worker().expect("the worker that panicked");
                let panic = error.panic().expect("its panic");
                assert_eq!(panic.message(), format!("no farewell from {index}"));
                assert!(panic.location().unwrap().contains("ends.rs"), "{panic}");
                seen.insert(index);
            }
        }
    }
    assert_eq!(seen, (0..if context.is_isolated() { 3 } else { 1 }).collect(), "{report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn deaths_at_the_end(context: Context) -> Outcome {
    for death in [Death::Abort, Death::Kill, Death::Exit(3)] {
        let pool = context
            .pool()
            .workers(3)
            .init(death, |death| (death, tally(())))
            .exit(|(death, tally)| match tally.0.0 {
                1 => death.die(),
                _ => leave(tally),
            })
            .build()?;
        pool.ready(Duration::from_secs(60))?;
        let report = pool.shutdown()?;
        let exits = report.abnormal_exits().iter().map(|exit| told(Some(*exit)));
        assert_eq!(exits.collect::<Vec<_>>(), [death.exit()]);
        let indexes: BTreeSet<usize> = left(&report).iter().map(|(index, _)| *index).collect();
        assert_eq!((indexes, report.exit_values().len()), ([0, 2].into(), 2), "{report:?}");
    }
    Ok(())
}

#[offspring::test]
fn a_shared_slice_at_the_end(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(2)
        .init((), |()| offspring::worker().expect("this is a worker").index() as u64)
        .exit(|index| SharedSlice::from_iter((0..10_000u64).map(|n| n * 10 + index)).unwrap())
        .build()?;
    pool.ready(Duration::from_secs(60))?;
    assert_eq!(pool.map(0..10u64, |index, n| *index + n).filter(Result::is_ok).count(), 10);
    let values = pool.shutdown()?.into_exit_values();
    let mut indexes = BTreeSet::new();
    for slice in values {
        let slice = slice?;
        let index = slice[0];
        assert_eq!(slice.len(), 10_000);
        assert!((0..).zip(slice.iter()).all(|(n, value)| *value == n * 10 + index));
        indexes.insert(index);
    }
    assert_eq!(indexes, (0..if context.is_isolated() { 2 } else { 1 }).collect());
    Ok(())
}

/// A MiB that can be told from others.
fn much(index: u64) -> Vec<u64> {
    (0..128 << 10).map(|n| n ^ (index << 32)).collect()
}

fn index(_: ()) -> u64 {
    offspring::worker().expect("this is a worker").index() as u64
}

#[offspring::test]
fn large_values(context: Context) -> Outcome {
    let pool = context.pool().workers(3).init((), index).exit(much).build()?;
    pool.ready(Duration::from_secs(60))?;
    assert_eq!(pool.map(0..10u64, |index, n| *index + n).filter(Result::is_ok).count(), 10);
    let mut indexes = BTreeSet::new();
    for value in pool.shutdown()?.into_exit_values() {
        let value = value?;
        assert!(value == much(value[0] >> 32), "another value arrived");
        indexes.insert(value[0] >> 32);
    }
    assert_eq!(indexes, (0..if context.is_isolated() { 3 } else { 1 }).collect());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn large_values_of_those_that_were_replaced(context: Context) -> Outcome {
    let pool = context.pool().workers(2).tasks_per_worker(3).init((), index).exit(much).build()?;
    for (n, result) in (0..).zip(pool.map(0..30u64, |_, n| n)) {
        assert_eq!(result?, n);
    }
    pool.recycle();
    for (n, result) in (0..).zip(pool.map(0..30u64, |_, n| n)) {
        assert_eq!(result?, n);
    }
    let report = pool.shutdown()?;
    assert_eq!(report.exit_values().len() as u64, report.replaced() + 2);
    for value in report.exit_values() {
        let value = value.as_ref().unwrap_or_else(|error| panic!("{error:?}"));
        assert!(*value == much(value[0] >> 32), "another value arrived");
    }
    Ok(())
}

#[offspring::test]
fn results_before_values(context: Context) -> Outcome {
    // The last outcome of each worker is large, and so is what follows it.
    let pool = context.pool().workers(2).tasks_per_worker(1).init((), index).exit(much).build()?;
    for (n, result) in (0..).zip(pool.map(0..8u64, |_, n| much(n))) {
        assert!(result? == much(n), "another result arrived for {n}");
    }
    let report = pool.shutdown()?;
    assert!(report.exit_values().len() >= 8, "{}", report.exit_values().len());
    assert!(report.exit_values().iter().all(Result::is_ok));
    Ok(())
}

/// Does not encode, or does not decode.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stubborn {
    #[serde(default)]
    _never: u8,
}

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self._never == 0 {
            return Err(serde::ser::Error::custom("not today"));
        }
        serializer.serialize_str("no such thing")
    }
}

#[offspring::test]
fn values_that_do_not_travel(context: Context) -> Outcome {
    for (never, kind) in [(0, ErrorKind::EncodeResult), (1, ErrorKind::DecodeResult)] {
        let pool = context
            .pool()
            .workers(1)
            .init(never, |never: u8| never)
            .exit(|never| Stubborn { _never: never })
            .build()?;
        assert_eq!(pool.map(0..10u64, |_, n| n).filter(Result::is_ok).count(), 10);
        let report = pool.shutdown()?;
        let [Err(error)] = report.exit_values() else { panic!("{report:?}") };
        assert_eq!((error.kind(), error.worker()), (kind, Some(0)), "{error}");
        assert!(error.to_string().contains("Stubborn"), "{error}");
        assert_eq!(report.abnormal_exits(), []);
    }
    Ok(())
}

#[offspring::test]
fn no_values_when_dropped_or_terminated(context: Context) -> Outcome {
    for terminate in [false, true] {
        let log = Scratch::new("log");
        let pool = context
            .pool()
            .workers(2)
            .init(log.path(), |log: PathBuf| log)
            .exit(|log| note(&log, "exit"))
            .build()?;
        assert_eq!(pool.map(0..10u64, |_, n| n).filter(Result::is_ok).count(), 10);
        if terminate {
            pool.terminate();
        }
        drop(pool);
        assert_eq!(log.lines(), Vec::<String>::new());
    }
    Ok(())
}
