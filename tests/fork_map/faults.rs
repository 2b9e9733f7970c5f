//! Items that end their worker, workers and supervisors that are killed, results that cannot travel, and
//! maps that are dropped early.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use offspring::{Context, Error, ErrorKind, Exit, Phase, fork};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::leaks::children_of;
use crate::harness::{self, Case, Outcome, eventually};

pub(crate) const CASES: &[Case] = crate::cases![on &[Context::Fork] =>
    a_process_fails_like_any_other,
    one_bad_item_among_many,
    every_item_ends_its_worker,
    all_workers_killed_at_once,
    a_lost_supervisor,
    results_that_cannot_be_encoded,
    results_that_cannot_be_decoded,
    an_early_drop_ends_the_workers,
    a_drop_before_the_first_result,
    a_drop_while_unwinding,
];

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum End {
    Panic,
    ExitWell,
    ExitBadly,
    Abort,
    Kill,
}

const ENDS: [End; 5] = [End::Panic, End::ExitWell, End::ExitBadly, End::Abort, End::Kill];

fn kill(pid: u32) {
    let pid = i32::try_from(pid).expect("a pid");
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[expect(clippy::exit, reason = "it is one of the ways")]
fn come_to(end: End) {
    match end {
        End::Panic => panic!("a panic on purpose"),
        End::ExitWell => std::process::exit(0),
        End::ExitBadly => std::process::exit(7),
        End::Abort => std::process::abort(),
        End::Kill => kill(std::process::id()),
    }
}

#[track_caller]
fn assert_ended(error: &Error, end: End) {
    assert_eq!((error.phase(), error.context()), (Phase::Started, Some(Context::Fork)), "{error}");
    let kind = if end == End::Panic { ErrorKind::Panicked } else { ErrorKind::Died };
    assert_eq!(error.kind(), kind, "{end:?}: {error}");
    match end {
        End::Panic => {
            let panic = error.panic().expect("there was one");
            assert_eq!(panic.message(), "a panic on purpose");
            assert!(panic.location().unwrap_or_default().contains("faults.rs"), "{panic}");
        }
        End::ExitWell => assert_eq!(error.exit(), Some(Exit::Code(0))),
        End::ExitBadly => assert_eq!(error.exit(), Some(Exit::Code(7))),
        End::Abort => assert_eq!(error.signal(), Some(libc::SIGABRT)),
        End::Kill => assert_eq!(error.signal(), Some(libc::SIGKILL)),
    }
    assert!(error.pid().is_some_and(|pid| pid != std::process::id()), "{error}");
}

fn a_process_fails_like_any_other(_: Context) -> Outcome {
    for end in ENDS {
        let process = fork::start(|| come_to(end))?;
        let (pid, name) = (process.id(), process.name().to_owned());
        let error = process.join().expect_err("it does not return");
        assert_ended(&error, end);
        assert_eq!((error.pid(), error.task_name()), (pid.into(), Some(name.as_str())));
        assert!(name.contains("a_process_fails"), "{name}");
        let usual = Context::Fork.process().name(name).start(end, come_to)?.join().unwrap_err();
        let text = |error: &Error| {
            let pid = format!("pid {}", error.pid().unwrap_or_default());
            error.to_string().replace(&pid, "pid")
        };
        assert_eq!(text(&error), text(&usual));
    }
    Ok(())
}

fn one_bad_item_among_many(_: Context) -> Outcome {
    let items: Vec<u64> = (0..400).collect();
    for end in ENDS {
        for bad in [0, 57, 399] {
            let results = fork::workers(2).map(&items, |item| {
                if *item == bad {
                    come_to(end);
                }
                item * 3
            })?;
            assert_eq!(results.len(), 400);
            let mut count = 0;
            for (index, result) in (0u64..).zip(results) {
                count += 1;
                match result {
                    Ok(result) => assert_eq!(result, index * 3),
                    Err(error) => {
                        assert_eq!((error.index(), index), (bad, bad), "{error}");
                        assert_ended(&error, end);
                        assert!(error.name().contains("one_bad_item"), "{error}");
                        assert!(error.worker().is_some_and(|worker| worker < 2), "{error}");
                        count += 1000;
                    }
                }
            }
            assert_eq!(count, 1400, "{end:?} of {bad}");
        }
    }
    Ok(())
}

fn every_item_ends_its_worker(_: Context) -> Outcome {
    let items: Vec<End> = ENDS.iter().copied().cycle().take(40).collect();
    let results = fork::workers(3).map(&items, |end| come_to(*end))?;
    let mut count = 0;
    for (index, result) in results.enumerate() {
        let error = result.expect_err("none returns");
        assert_eq!(error.index(), index as u64);
        assert_ended(&error, items[index]);
        count += 1;
    }
    assert_eq!(count, 40);
    Ok(())
}

/// The processes that are this one's children and were not before.
fn supervisor_of<T>(make: impl FnOnce() -> T) -> (T, u32) {
    let before = children_of(std::process::id());
    let made = make();
    let new: Vec<u32> = children_of(std::process::id()).difference(&before).copied().collect();
    assert_eq!(new.len(), 1, "one supervisor: {new:?}");
    (made, new[0])
}

fn all_workers_killed_at_once(_: Context) -> Outcome {
    const WORKERS: usize = 3;
    let items: Vec<u64> = (0..2000).collect();
    let slow = |item: &u64| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(item % 200) {}
        item + 1
    };
    let (results, supervisor) = supervisor_of(|| fork::workers(WORKERS).map(&items, slow));
    let (mut died, mut killed) = (0, 0);
    for (index, result) in (0u64..).zip(results?) {
        match result {
            Ok(result) => assert_eq!(result, index + 1),
            Err(error) => {
                assert_eq!((error.index(), error.kind()), (index, ErrorKind::Died), "{error}");
                assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
                died += 1;
            }
        }
        if index % 400 == 10 {
            let workers = children_of(supervisor);
            killed += workers.len();
            workers.into_iter().for_each(kill);
        }
    }
    assert!(killed >= WORKERS, "only {killed} were killed");
    assert!(died <= killed, "{died} items died of {killed} kills");
    Ok(())
}

fn a_lost_supervisor(_: Context) -> Outcome {
    let items: Vec<u64> = (0..50).collect();
    let (results, supervisor) = supervisor_of(|| {
        fork::workers(2).map(&items, |item| {
            if *item >= 20 {
                harness::sleep_for_ever();
            }
            *item
        })
    });
    let mut results = results?;
    for n in 0..20 {
        assert_eq!(results.next().unwrap()?, n);
    }
    kill(supervisor);
    let mut failed = BTreeSet::new();
    for result in results {
        let error = result.expect_err("nobody is left");
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        failed.insert(error.index());
    }
    assert!(failed.into_iter().eq(20..50));
    Ok(())
}

/// Cannot be encoded when it is 3, and panics when it is 5; the same when it is decoded, with 13 and 15.
#[derive(Debug, PartialEq)]
struct Touchy(u64);

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            3 => return Err(serde::ser::Error::custom("no threes")),
            5 => panic!("no fives"),
            _ => {}
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            13 => Err(serde::de::Error::custom("no thirteens")),
            15 => panic!("no fifteens"),
            n => Ok(Self(n)),
        }
    }
}

fn results_that_cannot_be_encoded(_: Context) -> Outcome {
    let items: Vec<u64> = (0..10).collect();
    for (index, result) in (0u64..).zip(fork::workers(2).map(&items, |n| Touchy(*n))?) {
        match (index, result) {
            (3, Err(error)) => {
                assert_eq!((error.index(), error.kind()), (3, ErrorKind::EncodeResult));
                assert!(error.to_string().contains("no threes"), "{error}");
            }
            (5, Err(error)) => {
                assert_eq!((error.index(), error.kind()), (5, ErrorKind::Panicked));
            }
            (_, result) => assert_eq!(result?, Touchy(index)),
        }
    }
    let error = fork::start(|| Touchy(3))?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeResult);
    Ok(())
}

fn results_that_cannot_be_decoded(_: Context) -> Outcome {
    let items: Vec<u64> = (10..20).collect();
    let mut results = fork::workers(2).map(&items, |n| Touchy(*n))?;
    for n in 10..20 {
        let next = catch_unwind(AssertUnwindSafe(|| results.next().expect("there are ten")));
        match (n, next) {
            (13, Ok(Err(error))) => {
                assert_eq!((error.index(), error.kind()), (3, ErrorKind::DecodeResult));
                assert!(error.name().contains("results_that"), "{error}");
                assert!(error.pid().is_some() && error.worker().is_some(), "{error}");
            }
            (15, Err(panic)) => assert_eq!(panic.downcast_ref(), Some(&"no fifteens")),
            (_, Ok(result)) => assert_eq!(result?, Touchy(n)),
            (_, Err(_)) => panic!("{n} panicked"),
        }
    }
    assert!(results.next().is_none());
    Ok(())
}

#[track_caller]
fn assert_gone(pids: impl IntoIterator<Item = u32>) {
    for pid in pids {
        eventually("a worker ends", || !harness::leaks::is_alive(pid));
    }
}

fn an_early_drop_ends_the_workers(_: Context) -> Outcome {
    let items: Vec<u64> = (0..100).collect();
    let stuck = |item: &u64| match item % 10 {
        0 => *item,
        n if n % 2 == 1 => harness::spin_for_ever(),
        _ => harness::sleep_for_ever(),
    };
    for _ in 0..5 {
        let (results, supervisor) = supervisor_of(|| fork::workers(3).map(&items, stuck));
        let mut results = results?;
        assert_eq!(results.next().unwrap()?, 0);
        let workers = children_of(supervisor);
        assert!(!workers.is_empty());
        let begun = Instant::now();
        drop(results);
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
        assert_gone(workers);
    }
    Ok(())
}

fn a_drop_before_the_first_result(_: Context) -> Outcome {
    let items = [1u8, 2, 3];
    let calls = Cell::new(0);
    for _ in 0..10 {
        drop(fork::workers(2).map(&items, |item| {
            calls.set(1);
            *item
        })?);
    }
    assert_eq!(calls.get(), 0);
    Ok(())
}

fn a_drop_while_unwinding(_: Context) -> Outcome {
    let items: Vec<u64> = (0..50).collect();
    let unwound = catch_unwind(|| {
        for result in fork::workers(2).map(&items, |item| *item).unwrap() {
            assert!(result.unwrap() < 7, "enough");
        }
    });
    assert!(unwound.is_err());
    Ok(())
}
