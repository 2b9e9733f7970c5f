//! Hooks that run in what is forked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use offspring::{Context, ErrorKind, Reuse};
use offspring_platform::lifeline;

use crate::cases;
use crate::harness::{self, Case, Outcome};

pub(super) const CASES: &[Case] = cases![
    they_run_in_order_in_what_is_forked,
    the_same_again_is_nothing_and_another_of_the_name_an_error,
];
pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    they_run_once_in_each_worker_before_its_initialiser,
    one_that_panics_is_a_start_error,
    copies_of_a_worker_run_them,
    grandchildren_run_them,
];

/// What ran in this process, in order.
static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The process in which the last hook ran.
static PID: AtomicU32 = AtomicU32::new(0);

fn note(text: &str) {
    RAN.lock().expect("nobody panics with it").push(text.to_owned());
    PID.store(std::process::id(), Ordering::SeqCst);
}

fn ran() -> Vec<String> {
    RAN.lock().expect("nobody panics with it").clone()
}

fn is_forked(context: Context) -> bool {
    matches!(context, Context::Fork | Context::ForkServer)
}

fn register() -> offspring::Result<()> {
    // Not in the order of their names.
    offspring::after_fork("the first", || note("the first"))?;
    // It needs the first.
    offspring::after_fork("a second", || note(&format!("after {:?}", ran().last())))
}

const BOTH: [&str; 2] = ["the first", "after Some(\"the first\")"];

/// AC5.
fn they_run_in_order_in_what_is_forked(context: Context) -> Outcome {
    register()?;
    let expected = if is_forked(context) { BOTH.to_vec() } else { Vec::new() };
    for _ in 0..2 {
        let child = context.process().start((), |()| ran())?;
        assert_eq!(child.join()?, expected);
    }
    assert_eq!(ran(), Vec::<String>::new(), "nothing runs here");
    Ok(())
}

fn the_same_again_is_nothing_and_another_of_the_name_an_error(context: Context) -> Outcome {
    for _ in 0..2 {
        register()?;
    }
    let error = offspring::after_fork("the first", || note("another"));
    let error = error.expect_err("the name is taken");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("the first"), "{error}");
    let child = context.process().start((), |()| ran().len())?;
    assert_eq!(child.join()?, if is_forked(context) { 2 } else { 0 });
    Ok(())
}

fn they_run_once_in_each_worker_before_its_initialiser(context: Context) -> Outcome {
    register()?;
    let pool = context.pool().workers(2).init((), |()| ran()).build()?;
    let expected = if is_forked(context) { BOTH.to_vec() } else { Vec::new() };
    for _ in 0..2 {
        for state in pool.map(0..50, |state, _: u32| (state.clone(), ran())) {
            let (before, now) = state?;
            assert_eq!(
                (&before, &now),
                (&expected.iter().map(ToString::to_string).collect(), &before)
            );
        }
        pool.recycle();
    }
    pool.shutdown()?;
    Ok(())
}

fn one_that_panics_is_a_start_error(context: Context) -> Outcome {
    offspring::after_fork("unlucky", || panic!("not in a child"))?;
    let started = context.process().start((), |()| 5);
    if !is_forked(context) {
        assert_eq!(started?.join()?, 5);
        return Ok(());
    }
    let error = started.err().ok_or("it panics")?;
    assert_eq!(error.kind(), ErrorKind::Start, "{error}");
    let text = error.to_string();
    assert!(text.contains("unlucky") && text.contains("not in a child"), "{text}");
    let pool = context.pool().workers(1).restart_budget(0).build()?;
    // It may be broken already.
    let error = match pool.submit((), |(), ()| 5) {
        Ok(task) => task.join().expect_err("no worker comes up").into(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Start, "{error}");
    assert!(error.to_string().contains("unlucky"), "{error}");
    Ok(())
}

/// One task each: a copy on systems that have those, else a fresh worker.
fn copies_of_a_worker_run_them(context: Context) -> Outcome {
    offspring::after_fork("pid", || note("pid"))?;
    let pool = context.pool().workers(1).reuse(Reuse::PerTask).build()?;
    for answer in pool.map(0..3, |(), _: u32| (PID.load(Ordering::SeqCst), std::process::id())) {
        let (noted, own) = answer?;
        if is_forked(context) || !lifeline::IS_A_THREAD {
            assert_eq!(noted, own, "in this very process");
        }
    }
    pool.shutdown()?;
    Ok(())
}

/// Of this process's hooks a child by exec is told, too.
fn grandchildren_run_them(context: Context) -> Outcome {
    register()?;
    let child = context.process().start((), |()| {
        let child = Context::ForkServer.process().start((), |()| ran());
        child.and_then(offspring::Process::join).map_err(|error| error.to_string())
    })?;
    // A template is a fresh process: they ran once there, whatever ran in the child.
    assert_eq!(child.join()??, BOTH);
    Ok(())
}
