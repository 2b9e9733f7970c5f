//! Values that do not travel, and tasks that end their worker: one task fails, its neighbours do not.

use offspring::{Context, ErrorKind, Exit, Phase, Pool, SharedSlice, TaskError};
use serde::{Deserialize, Serialize};

use crate::harness::Outcome;

/// In which direction a value does not make it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fate {
    Fine,
    NotEncoded,
    NotDecoded,
    EncodePanics,
    DecodePanics,
}

/// A value that meets its fate on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Traveller(Fate, u64);

impl Serialize for Traveller {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Fate::NotEncoded => Err(serde::ser::Error::custom("it will not leave")),
            Fate::EncodePanics => panic!("it panics when it leaves"),
            _ => (self.0, self.1).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Traveller {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (fate, number) = <(Fate, u64)>::deserialize(deserializer)?;
        match fate {
            Fate::NotDecoded => Err(serde::de::Error::custom("it will not arrive")),
            Fate::DecodePanics => panic!("it panics when it arrives"),
            _ => Ok(Self(fate, number)),
        }
    }
}

const COUNT: u64 = 60;

/// Every seventh from 3 on meets the fate.
fn fate_of(n: u64, bad: Fate) -> Fate {
    if n % 7 == 3 { bad } else { Fate::Fine }
}

fn pool(context: Context) -> offspring::Result<Pool<u64>> {
    context.pool().workers(2).init(10u64, |ten| ten).build()
}

/// Exactly the bad ones fail, as `check` says, and the pool is as good as before.
fn only_bad_ones_fail(
    pool: &Pool<u64>,
    results: Vec<Result<u64, TaskError>>,
    check: impl Fn(&TaskError),
) -> Outcome {
    assert_eq!(results.len() as u64, COUNT);
    for (n, result) in (0..).zip(results) {
        match (fate_of(n, Fate::NotEncoded), result) {
            (Fate::Fine, result) => assert_eq!(result?, n + 10),
            (_, Ok(value)) => panic!("task {n} returned {value}, expected a failure"),
            (_, Err(error)) => {
                assert_eq!(error.index(), n, "{error}");
                assert_eq!(error.context(), Some(pool.context()), "{error}");
                check(&error);
            }
        }
    }
    for answer in pool.broadcast(1, |ten, n: u64| *ten + n)? {
        assert_eq!(answer?, 11);
    }
    assert_eq!(pool.report().replaced(), 0);
    Ok(())
}

fn send(pool: &Pool<u64>, bad: Fate) -> Vec<Result<u64, TaskError>> {
    let inputs = (0..COUNT).map(|n| Traveller(fate_of(n, bad), n));
    pool.map(inputs, |ten, traveller| *ten + traveller.1).collect()
}

#[offspring::test]
fn an_argument_that_does_not_encode(context: Context) -> Outcome {
    let pool = pool(context)?;
    only_bad_ones_fail(&pool, send(&pool, Fate::NotEncoded), |error| {
        assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
        assert_eq!(error.phase(), Phase::NotStarted);
        assert!(error.to_string().contains("it will not leave"), "{error}");
        assert!(error.to_string().contains("Traveller"), "{error}");
    })
}

#[offspring::test]
fn an_argument_that_does_not_decode(context: Context) -> Outcome {
    let pool = pool(context)?;
    only_bad_ones_fail(&pool, send(&pool, Fate::NotDecoded), |error| {
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
        assert_eq!(error.phase(), Phase::NotStarted);
        assert!(error.to_string().contains("it will not arrive"), "{error}");
        assert!(error.to_string().contains("Traveller"), "{error}");
    })
}

fn fetch(pool: &Pool<u64>, bad: Fate) -> Vec<Result<u64, TaskError>> {
    let inputs = (0..COUNT).map(|n| (fate_of(n, bad), n));
    let results = pool.map(inputs, |ten, (fate, n)| Traveller(fate, *ten + n));
    results.map(|result| result.map(|traveller| traveller.1)).collect()
}

#[offspring::test]
fn a_result_that_does_not_encode(context: Context) -> Outcome {
    let pool = pool(context)?;
    only_bad_ones_fail(&pool, fetch(&pool, Fate::NotEncoded), |error| {
        assert_eq!(error.kind(), ErrorKind::EncodeResult, "{error}");
        assert_eq!(error.phase(), Phase::Started);
        assert!(error.to_string().contains("it will not leave"), "{error}");
        assert!(error.to_string().contains("Traveller"), "{error}");
    })
}

#[offspring::test]
fn a_result_that_does_not_decode(context: Context) -> Outcome {
    let pool = pool(context)?;
    only_bad_ones_fail(&pool, fetch(&pool, Fate::NotDecoded), |error| {
        assert_eq!(error.kind(), ErrorKind::DecodeResult, "{error}");
        assert_eq!(error.phase(), Phase::Started);
        assert!(error.to_string().contains("it will not arrive"), "{error}");
        assert!(error.to_string().contains("Traveller"), "{error}");
    })
}

#[offspring::test]
fn serde_that_panics(context: Context) -> Outcome {
    let pool = pool(context)?;
    only_bad_ones_fail(&pool, send(&pool, Fate::DecodePanics), |error| {
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        assert_eq!(error.panic().unwrap().message(), "it panics when it arrives");
    })?;
    only_bad_ones_fail(&pool, fetch(&pool, Fate::EncodePanics), |error| {
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        assert_eq!(error.panic().unwrap().message(), "it panics when it leaves");
    })
}

#[offspring::test]
fn an_error_as_a_value(context: Context) -> Outcome {
    let pool = pool(context)?;
    let results = pool.map(0..4u64, |_, n| if n == 2 { Err(format!("not {n}")) } else { Ok(n) });
    let results = results.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(results, [Ok(0), Ok(1), Err("not 2".to_owned()), Ok(3)]);
    Ok(())
}

#[offspring::test]
fn tables_in_arguments_and_results(context: Context) -> Outcome {
    let pool = pool(context)?;
    let tables = (0..40u64).map(|n| SharedSlice::from_iter(n..n + 1000).map(|table| (n, table)));
    let tables = tables.collect::<offspring::Result<Vec<_>>>()?;
    let results = pool.map(tables, |ten, (n, table): (u64, SharedSlice<u64>)| {
        assert_eq!(table[0], n);
        let more = SharedSlice::from_iter(table.iter().map(|m| m + *ten)).unwrap();
        (table, more)
    });
    for (n, result) in (0..).zip(results) {
        let (table, more) = result?;
        assert!(table.iter().copied().eq(n..n + 1000), "the argument, back from task {n}");
        assert!(more.iter().copied().eq(n + 10..n + 1010), "made by task {n}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn tasks_that_end_their_worker(context: Context) -> Outcome {
    let pool = pool(context)?;
    let results = pool.map(0..COUNT, |ten, n| {
        match n {
            7 => std::process::exit(0),
            14 => std::process::exit(5),
            21 => std::process::abort(),
            28 => crate::kill(std::process::id(), libc::SIGKILL),
            // Twice: the first one meets std's handler for stack overflows, which gives way.
            35 => (0..2).for_each(|_| crate::kill(std::process::id(), libc::SIGSEGV)),
            _ => {}
        }
        *ten + n
    });
    let mut ends = Vec::new();
    for (n, result) in (0..).zip(results) {
        let error = match result {
            Ok(value) => {
                assert_eq!(value, n + 10);
                continue;
            }
            Err(error) => error,
        };
        assert_eq!((error.kind(), error.index()), (ErrorKind::Died, n), "{error}");
        assert_eq!(error.phase(), Phase::Started, "{error}");
        assert!(error.pid().is_some() && error.worker().is_some(), "{error}");
        ends.push((n, error.exit().unwrap()));
    }
    let found = ends.iter().map(|(n, exit)| match exit {
        Exit::Code(code) => (*n, *code),
        Exit::Signal { signal, .. } => (*n, -signal),
        other => panic!("task {n}: {other:?}"),
    });
    let found: Vec<_> = found.collect();
    assert_eq!(
        found,
        [(7, 0), (14, 5), (21, -6), (28, -9), (35, -11)],
        "codes, signals as negative"
    );
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (COUNT, 5));
    assert_eq!(report.abnormal_exits().len(), 5, "{report:?}");
    Ok(())
}
