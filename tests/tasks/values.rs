//! What tasks take and return: large, shared, refused; and how they fail, by number and name.

use offspring::{Context, ErrorKind, Exit, Phase, SharedSlice};
use serde::{Deserialize, Serialize};

use crate::harness::Outcome;
use crate::harness::props::kill;

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n + seed).wrapping_mul(31) >> 3) as u8).collect()
}

#[offspring::test]
fn large_arguments_and_results(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let sizes = [10, 300_000, 8 << 20, 0, 32 << 10, (32 << 10) - 8, (64 << 10) + 1];
    let mut tasks = Vec::new();
    for (n, size) in sizes.iter().copied().cycle().take(3 * sizes.len()).enumerate() {
        let task = pool.submit((n, pattern(size, n)), |(), (n, mut bytes): (usize, Vec<u8>)| {
            bytes.reverse();
            if n % 2 == 0 { bytes } else { Vec::new() }
        })?;
        tasks.push((n, size, task));
    }
    for (n, size, task) in tasks.into_iter().rev() {
        let mut bytes = task.join()?;
        bytes.reverse();
        let expected = if n % 2 == 0 { pattern(size, n) } else { Vec::new() };
        assert!(bytes == expected, "task {n}: {size} bytes sent, {} back", bytes.len());
    }
    Ok(())
}

#[offspring::test]
fn tables_travel(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let table: SharedSlice<u64> = SharedSlice::from_iter(0..100_000u64)?;
    let tasks = (0..40u64).map(|n| {
        pool.submit((table.clone(), n), |(), (table, n): (SharedSlice<u64>, u64)| {
            let start = usize::try_from(n).unwrap() * 10;
            let part = SharedSlice::from_iter(table[start..start + 10].iter().copied()).unwrap();
            (table[99_999], part)
        })
    });
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    // Some are never joined: what comes back with them is closed.
    for (n, task) in (0..40u64).zip(tasks) {
        if n % 3 == 0 {
            continue;
        }
        let (last, part) = task.join()?;
        assert_eq!(last, 99_999);
        assert!(part.iter().copied().eq(n * 10..n * 10 + 10), "task {n}");
    }
    Ok(())
}

#[offspring::test]
fn panics_are_told_with_number_and_name(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..12u64).map(|n| {
        pool.submit(n, |(), n| {
            assert!(n % 3 != 1, "not {n}");
            n
        })
    });
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    for (n, task) in (0..).zip(tasks) {
        let name = task.name().to_owned();
        match task.join() {
            Ok(value) => assert_eq!(value, n),
            Err(error) => {
                assert_eq!(n % 3, 1, "{error}");
                assert_eq!((error.kind(), error.index()), (ErrorKind::Panicked, n), "{error}");
                assert_eq!((error.phase(), error.name()), (Phase::Started, name.as_str()));
                assert!(name.contains("panics_are_told"), "{name}");
                assert_eq!(error.panic().unwrap().message(), format!("not {n}"));
                assert!(error.worker().is_some() && error.context() == Some(context), "{error}");
            }
        }
    }
    Ok(())
}

#[offspring::test]
fn an_error_is_a_value(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let half = |n: u64| if n % 2 == 0 { Ok(n / 2) } else { Err(format!("{n} is odd")) };
    let even = pool.submit(4u64, move |(), n| half(n))?;
    let odd = pool.submit(5u64, move |(), n| half(n))?;
    assert_eq!(odd.join()?, Err("5 is odd".to_owned()));
    assert_eq!(even.join()?, Ok(2));
    Ok(())
}

/// Refuses to be encoded, or decoded.
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            return Err(serde::ser::Error::custom("it will not leave"));
        }
        serializer.serialize_bool(self.0)
    }
}

impl<'de> Deserialize<'de> for Stubborn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer)?;
        Err(serde::de::Error::custom("it will not arrive"))
    }
}

#[offspring::test]
fn values_that_do_not_travel(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let error = pool.submit(Stubborn(true), |(), _| 1u8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert!(error.to_string().contains("it will not leave"), "{error}");
    assert!(error.task_name().unwrap().contains("values_that_do_not_travel"), "{error}");
    let error = pool.broadcast(Stubborn(true), |(), _| 1u8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");

    // What was refused has no number.
    let arrives = pool.submit(Stubborn(false), |(), _| 1u8)?.join().unwrap_err();
    let found = (arrives.kind(), arrives.index(), arrives.phase());
    assert_eq!(found, (ErrorKind::DecodeArguments, 0, Phase::NotStarted), "{arrives}");
    let leaves = pool.submit((), |(), ()| Stubborn(true))?.join().map(drop).unwrap_err();
    let found = (leaves.kind(), leaves.index(), leaves.phase());
    assert_eq!(found, (ErrorKind::EncodeResult, 1, Phase::Started), "{leaves}");
    let returns = pool.submit((), |(), ()| Stubborn(false))?.join().map(drop).unwrap_err();
    let found = (returns.kind(), returns.index(), returns.phase());
    assert_eq!(found, (ErrorKind::DecodeResult, 2, Phase::Started), "{returns}");
    assert!(returns.to_string().contains("it will not arrive"), "{returns}");
    let all = pool.broadcast((), |(), ()| Stubborn(false))?;
    assert_eq!(all.len(), 1);
    for result in all {
        assert_eq!(result.map(drop).unwrap_err().kind(), ErrorKind::DecodeResult);
    }
    assert_eq!(pool.submit(5u8, |(), n| n)?.join()?, 5);
    assert_eq!(pool.shutdown()?.replaced(), 0);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_end_their_worker(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let tasks = (0..20u64).map(|n| {
        pool.submit(n, |(), n| {
            match n {
                3 => std::process::exit(0),
                7 => std::process::exit(5),
                11 => std::process::abort(),
                15 => kill(std::process::id(), libc::SIGKILL),
                _ => {}
            }
            n
        })
    });
    let tasks = tasks.collect::<offspring::Result<Vec<_>>>()?;
    for (n, task) in (0..).zip(tasks) {
        if n % 4 != 3 || n == 19 {
            assert_eq!(task.join()?, n);
            continue;
        }
        let error = task.join().unwrap_err();
        let found = (error.kind(), error.index(), error.phase());
        assert_eq!(found, (ErrorKind::Died, n, Phase::Started), "{error}");
        match n {
            3 => assert_eq!(error.exit(), Some(Exit::Code(0)), "{error}"),
            7 => assert_eq!(error.exit(), Some(Exit::Code(5)), "{error}"),
            11 => assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}"),
            _ => assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}"),
        }
        assert!(error.pid().is_some() && error.worker().is_some(), "{error}");
    }
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (20, 4));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn numbers_count_what_was_submitted(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let fails = || pool.submit((), |(), ()| -> u8 { panic!("on purpose") });
    assert_eq!(fails()?.join().unwrap_err().index(), 0);
    drop(fails()?);
    // Maps and broadcasts have numbers of their own.
    assert_eq!(pool.map(0..10u8, |(), n| n).filter(Result::is_ok).count(), 10);
    let all = pool.broadcast((), |(), ()| -> u8 { panic!("on purpose") })?;
    assert_eq!(all.into_iter().next().unwrap().unwrap_err().index(), 0);
    let error = pool.map([1u8], |(), _| -> u8 { panic!("on purpose") }).next().unwrap();
    assert_eq!(error.unwrap_err().index(), 0);
    assert_eq!(fails()?.join().unwrap_err().index(), 2);
    let task = fails()?;
    pool.terminate();
    assert_eq!(task.join().unwrap_err().index(), 3);
    Ok(())
}
