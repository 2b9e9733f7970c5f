//! Children that belong together.

use offspring::{Context, ErrorKind, Process, ProcessGroup};
use serde::{Deserialize, Serialize};

use super::stage::{assert_gone, is_readable, listen, with_line};
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES, sleep_for_ever};

pub(crate) const ON_ALL: &[Case] =
    cases![results_in_order, empty_group, first_panic_in_order, values_that_are_errors];
pub(crate) const ON_PROCESSES: &[Case] = cases![on PROCESSES =>
    results_in_order_when_the_first_is_last,
    first_panic_stops_the_rest,
    first_kill_stops_the_rest,
    failure_to_start_stops_the_rest,
    drop_stops_all,
];

fn pids<R>(group: &ProcessGroup<R>) -> Vec<u32> {
    group.processes().iter().map(Process::id).collect()
}

fn results_in_order(context: Context) -> Outcome {
    let group = context.process().start_group(0..6u32, |n| n * n)?;
    assert_eq!(group.processes().len(), 6);
    assert_eq!(group.join()?, [0, 1, 4, 9, 16, 25]);
    Ok(())
}

fn empty_group(context: Context) -> Outcome {
    let group = context.process().start_group(Vec::<u8>::new(), |n| n)?;
    assert!(group.processes().is_empty());
    assert_eq!(group.join()?, Vec::<u8>::new());
    Ok(())
}

fn values_that_are_errors(context: Context) -> Outcome {
    let group = context
        .process()
        .start_group([1, 2], |n| if n == 1 { Err("no".to_owned()) } else { Ok(n) })?;
    assert_eq!(group.join()?, [Err("no".to_owned()), Ok(2)]);
    Ok(())
}

fn first_panic_in_order(context: Context) -> Outcome {
    let group = context.process().name("member").start_group(0..3, |n| {
        assert!(n != 1, "not {n}");
        n
    })?;
    let error = group.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.worker(), Some(1), "{error}");
    assert!(error.to_string().contains("worker 1"), "{error}");
    assert!(error.to_string().contains("not 1"), "{error}");
    Ok(())
}

fn results_in_order_when_the_first_is_last(context: Context) -> Outcome {
    let (builder, mut line) = with_line(context);
    let group = builder.start_group(0..4, |n| {
        if n == 0 {
            listen();
        }
        n
    })?;
    for process in &group.processes()[1..] {
        assert!(is_readable(process, -1));
    }
    assert!(!is_readable(&group.processes()[0], 0), "the first one waits");
    line.say();
    assert_eq!(group.join()?, [0, 1, 2, 3]);
    Ok(())
}

fn first_panic_stops_the_rest(context: Context) -> Outcome {
    let group = context.process().start_group(0..4, |n| -> u8 {
        assert!(n != 2, "number {n} fails");
        sleep_for_ever()
    })?;
    let pids = pids(&group);
    let error = group.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!((error.worker(), error.pid()), (Some(2), Some(pids[2])), "{error}");
    assert_eq!(error.panic().map(offspring::Panic::message), Some("number 2 fails"));
    pids.into_iter().for_each(assert_gone);
    Ok(())
}

fn first_kill_stops_the_rest(context: Context) -> Outcome {
    let group = context.process().start_group(0..4, |_| -> u8 { sleep_for_ever() })?;
    let pids = pids(&group);
    group.processes()[3].kill()?;
    let error = group.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!((error.worker(), error.pid()), (Some(3), Some(pids[3])), "{error}");
    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
    pids.into_iter().for_each(assert_gone);
    Ok(())
}

/// Encodes only below 2.
#[derive(Debug, Deserialize)]
struct Picky(u8);

impl Serialize for Picky {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 | 1 => serializer.serialize_newtype_struct("Picky", &self.0),
            _ => Err(serde::ser::Error::custom("too large")),
        }
    }
}

fn failure_to_start_stops_the_rest(context: Context) -> Outcome {
    let arguments = (0..4).map(Picky);
    let error = context
        .process()
        .start_group(arguments, |_| -> u8 { sleep_for_ever() })
        .expect_err("the third cannot be encoded");
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert_eq!(error.worker(), Some(2), "{error}");
    let left = crate::harness::leaks::children_of(std::process::id());
    assert!(left.len() <= usize::from(context == Context::ForkServer), "left: {left:?}");
    Ok(())
}

fn drop_stops_all(context: Context) -> Outcome {
    let group = context.process().start_group(0..4, |_| -> u8 { sleep_for_ever() })?;
    let pids = pids(&group);
    drop(group);
    pids.into_iter().for_each(assert_gone);
    Ok(())
}
