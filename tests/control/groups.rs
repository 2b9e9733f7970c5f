//! Children that belong together.

use std::sync::atomic::{AtomicU32, Ordering};

use offspring::sync::Barrier;
use offspring::{Context, ErrorKind, Process, ProcessGroup, SharedArray};
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
    members_can_be_asked,
    members_are_stopped_at_once,
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

fn members_can_be_asked(context: Context) -> Outcome {
    let (builder, mut line) = with_line(context);
    let mut group = builder.start_group(0..3, |n| {
        if n == 1 {
            listen();
        }
        n
    })?;
    for n in [0, 2] {
        crate::harness::eventually("it has ended", || !group.processes_mut()[n].is_alive());
    }
    let waits = &mut group.processes_mut()[1];
    assert!(waits.is_alive() && waits.exit_status().is_none());
    line.say();
    assert_eq!(waits.join_timeout(std::time::Duration::MAX)?, Some(1));
    let error = group.join().expect_err("a result was taken");
    assert_eq!((error.kind(), error.worker()), (ErrorKind::Closed, Some(1)), "{error}");
    Ok(())
}

const MEMBERS: u32 = 64;

/// What the members of a group have in common.
#[derive(Clone, Serialize, Deserialize)]
struct Common {
    /// They are deaf to SIGTERM now.
    deaf: Barrier,
    /// They were sent it.
    asked: Barrier,
    /// How many lived when all had been sent it.
    together: SharedArray<AtomicU32>,
}

/// Does not end at SIGTERM, but waits until all others were sent it, too.
fn persist(common: &Common) -> ! {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the place is valid.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: as above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM) };
    // SAFETY: initialised by the calls above.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is valid.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    common.deaf.wait().expect("nobody breaks it");
    let mut taken = 0;
    // SAFETY: both places are valid.
    unsafe { libc::sigwait(&raw const set, &raw mut taken) };
    common.asked.wait().expect("nobody breaks it");
    common.together[0].fetch_add(1, Ordering::SeqCst);
    sleep_for_ever()
}

/// Each is asked before the first is killed. On a busy machine some may be killed before they have come to take note of it;
/// but if they were stopped one after the other, they would never all live when all have been asked.
fn members_are_stopped_at_once(context: Context) -> Outcome {
    for fails in [false, true] {
        let mut rounds = 0;
        loop {
            let common = Common {
                deaf: Barrier::new(MEMBERS as usize + 1)?,
                asked: Barrier::new(MEMBERS as usize)?,
                together: SharedArray::new(1)?,
            };
            let more = u32::from(fails);
            let arguments = (0..MEMBERS + more).map(|n| (n < MEMBERS, common.clone()));
            let group = context.process().start_group(arguments, |(stays, common)| -> () {
                if stays {
                    persist(&common);
                }
                common.deaf.wait().expect("nobody breaks it");
                panic!("this one fails");
            })?;
            let pids = pids(&group);
            if fails {
                let error = group.join().expect_err("one fails");
                assert_eq!(error.worker(), Some(MEMBERS as usize), "{error}");
            } else {
                common.deaf.wait()?;
                drop(group);
            }
            pids.into_iter().for_each(assert_gone);
            if common.together[0].load(Ordering::SeqCst) == MEMBERS {
                break;
            }
            rounds += 1;
            eprintln!("not in round {rounds}");
            assert!(rounds < 100, "they are never all asked before the first is killed");
        }
    }
    Ok(())
}
