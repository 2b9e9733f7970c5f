//! Waiting for a child, and the ways to end it.

use std::time::Duration;

use offspring::{Context, ErrorKind, Exit, Phase, Process};

use super::stage::{assert_gone, is_readable, start_deaf, start_waiting};
use crate::cases;
use crate::harness::props::stop;
use crate::harness::{Case, Outcome, PROCESSES, sleep_for_ever};

pub(crate) const ON_ALL: &[Case] = cases![
    delivers_once,
    limits_without_end,
    limits_without_end_of_pools,
    limits_without_end_of_templates,
    ended_child,
];
pub(crate) const ON_PROCESSES: &[Case] = cases![on PROCESSES =>
    join_timeout_can_be_repeated,
    terminate,
    kill,
    kill_a_stopped_child,
    stop_with_sigterm,
    stop_one_that_ignores_sigterm,
    stop_a_stopped_child,
    stop_a_stopped_child_that_ignores_sigterm,
    stop_at_once,
    stop_one_that_returns_meanwhile,
    sentinel,
    sentinel_of_a_killed_child,
    join_from_another_thread,
];

/// Far beyond the deadline of a case.
const LONG: Duration = Duration::from_secs(3600);

fn died<T: std::fmt::Debug>(outcome: offspring::Result<T>, signal: i32) {
    let error = outcome.expect_err("a killed process has no result");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!(error.signal(), Some(signal), "{error}");
    assert_eq!(error.phase(), Phase::Started, "{error}");
}

fn signal_of<R>(child: &mut Process<R>) -> Option<i32> {
    match child.exit_status() {
        Some(Exit::Signal { signal, .. }) => Some(signal),
        _ => None,
    }
}

fn start_endless(context: Context) -> offspring::Result<Process<()>> {
    context.process().start((), |()| -> () { sleep_for_ever() })
}

fn delivers_once(context: Context) -> Outcome {
    let mut child = context.process().name("once").start(20, |n| n + 1)?;
    assert_eq!(child.join_timeout(LONG)?, Some(21));
    assert!(!child.is_alive());
    assert_eq!(child.exit_status(), Some(Exit::Code(0)));
    for _ in 0..2 {
        let error = child.join_timeout(LONG).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert_eq!(error.task_name(), Some("once"), "{error}");
    }
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

/// What has an end beyond all clocks; and what has none yet, but with anything more it would.
const BEYOND: [Duration; 3] = [
    Duration::MAX,
    Duration::from_secs(i64::MAX.unsigned_abs()),
    Duration::from_secs(i64::MAX.unsigned_abs() - 10 * 365 * 24 * 60 * 60),
];

fn limits_without_end(context: Context) -> Outcome {
    for limit in BEYOND {
        let builder = context.process().start_timeout(limit);
        let mut child = builder.start(20, |n| n + 1)?;
        assert_eq!(child.join_timeout(limit)?, Some(21));
        let mut child = builder.start((), |()| ())?;
        child.stop(limit)?;
    }
    Ok(())
}

fn limits_without_end_of_pools(context: Context) -> Outcome {
    for limit in BEYOND {
        let pool = context
            .pool()
            .workers(2)
            .start_timeout(limit)
            .init_timeout(limit)
            .task_timeout(limit)
            .init(1, |one: i32| one)
            .build()?;
        pool.ready(limit)?;
        let mut task = pool.submit_timeout(limit, 20, |one, n| n + *one)?;
        assert_eq!(task.join_timeout(limit)?, Some(21));
        for (n, result) in (0..).zip(pool.map(0..100, |one, n| n + *one)) {
            assert_eq!(result?, n + 1);
        }
        if context.is_isolated() {
            // Another takes the place of one that ends.
            let task = pool.submit((), |_, ()| -> () { std::process::abort() })?;
            died(task.join().map_err(Into::into), libc::SIGABRT);
        }
        pool.recycle();
        pool.ready(limit)?;
        pool.shutdown()?;
    }
    Ok(())
}

/// Workers that wait until their template has made a global have the time for that, and then their own.
fn limits_without_end_of_templates(context: Context) -> Outcome {
    static TABLE: offspring::Global<u64> = offspring::Global::new();
    TABLE.set(7u64, |n| n)?;
    for limit in BEYOND {
        let limited = || context.pool().workers(2).start_timeout(limit);
        for pool in [limited().build()?, limited().init_timeout(limit).build()?] {
            pool.ready(limit)?;
            for result in pool.broadcast((), |(), ()| *TABLE.get().expect("it was set"))? {
                assert_eq!(result?, 7);
            }
            pool.shutdown()?;
        }
    }
    Ok(())
}

/// Nothing can be done to a child that has ended, and trying is no error.
fn ended_child(context: Context) -> Outcome {
    let mut child = context.process().start((), |()| 7)?;
    assert!(is_readable(&child, -1));
    crate::harness::eventually("the child has ended", || !child.is_alive());
    child.terminate()?;
    child.kill()?;
    assert_eq!(child.stop(LONG)?, Exit::Code(0));
    assert_eq!(child.stop(Duration::ZERO)?, Exit::Code(0));
    // What it said before it was stopped counts.
    assert_eq!(child.join()?, 7);
    Ok(())
}

fn join_timeout_can_be_repeated(context: Context) -> Outcome {
    let (mut child, mut line) = start_waiting(context)?;
    for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(20)] {
        assert_eq!(child.join_timeout(limit)?, None);
        assert!(child.is_alive());
        assert_eq!(child.exit_status(), None);
    }
    line.say();
    assert_eq!(child.join_timeout(LONG)?, Some(42));
    assert_eq!(child.exit_status(), Some(Exit::Code(0)));
    Ok(())
}

fn terminate(context: Context) -> Outcome {
    let child = start_endless(context)?;
    child.terminate()?;
    died(child.join(), libc::SIGTERM);
    Ok(())
}

fn kill(context: Context) -> Outcome {
    let mut child = start_deaf(context)?;
    child.terminate()?;
    assert_eq!(child.join_timeout(Duration::from_millis(20))?, None);
    let pid = child.id();
    child.kill()?;
    died(child.join_timeout(LONG), libc::SIGKILL);
    assert_gone(pid);
    assert_eq!(signal_of(&mut child), Some(libc::SIGKILL));
    child.kill()?;
    Ok(())
}

fn kill_a_stopped_child(context: Context) -> Outcome {
    let mut child = start_endless(context)?;
    stop(child.id());
    assert!(child.is_alive(), "stopped is not ended");
    assert_eq!(child.join_timeout(Duration::from_millis(1))?, None);
    child.kill()?;
    died(child.join(), libc::SIGKILL);
    Ok(())
}

fn stop_with_sigterm(context: Context) -> Outcome {
    let mut child = start_endless(context)?;
    let exit = child.stop(LONG)?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGTERM, .. }), "{exit}");
    assert_gone(child.id());
    assert_eq!(child.exit_status(), Some(exit));
    assert_eq!(child.stop(LONG)?, exit);
    died(child.join(), libc::SIGTERM);
    Ok(())
}

fn stop_one_that_ignores_sigterm(context: Context) -> Outcome {
    let mut child = start_deaf(context)?;
    let exit = child.stop(Duration::from_millis(50))?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. }), "{exit}");
    assert_gone(child.id());
    Ok(())
}

/// It is continued, so that SIGTERM reaches it.
fn stop_a_stopped_child(context: Context) -> Outcome {
    let mut child = start_endless(context)?;
    stop(child.id());
    let exit = child.stop(LONG)?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGTERM, .. }), "{exit}");
    Ok(())
}

fn stop_a_stopped_child_that_ignores_sigterm(context: Context) -> Outcome {
    let mut child = start_deaf(context)?;
    stop(child.id());
    let exit = child.stop(Duration::from_millis(50))?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. }), "{exit}");
    Ok(())
}

fn stop_at_once(context: Context) -> Outcome {
    let mut child = start_endless(context)?;
    let exit = child.stop(Duration::ZERO)?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. }), "{exit}");
    died(child.join(), libc::SIGKILL);
    Ok(())
}

/// A child that handles the request and returns has a result.
fn stop_one_that_returns_meanwhile(context: Context) -> Outcome {
    extern "C" fn note(_: i32) {
        NOTED.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    static NOTED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let (builder, mut line) = super::stage::with_line(context);
    let mut child = builder.start((), |()| {
        let handler = note as *const () as libc::sighandler_t;
        // SAFETY: the handler stores to an atomic and does nothing else.
        unsafe { libc::signal(libc::SIGTERM, handler) };
        super::stage::speak();
        while !NOTED.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::yield_now();
        }
        "in good order".to_owned()
    })?;
    line.hear();
    assert_eq!(child.stop(LONG)?, Exit::Code(0));
    assert_eq!(child.join()?, "in good order");
    Ok(())
}

fn sentinel(context: Context) -> Outcome {
    let (mut child, mut line) = start_waiting(context)?;
    assert!(!is_readable(&child, 0), "it runs");
    assert!(!is_readable(&child, 20), "it still runs");
    line.say();
    assert!(is_readable(&child, -1));
    // Whoever was woken by it need not wait again.
    assert_eq!(child.join_timeout(Duration::ZERO)?, Some(42));
    assert!(is_readable(&child, 0), "it stays readable");
    Ok(())
}

fn sentinel_of_a_killed_child(context: Context) -> Outcome {
    let mut child = start_endless(context)?;
    assert!(!is_readable(&child, 0), "it runs");
    child.kill()?;
    assert!(is_readable(&child, -1));
    assert!(!child.is_alive());
    died(child.join_timeout(Duration::ZERO), libc::SIGKILL);
    Ok(())
}

/// A handle may move to another thread. The fork happened before there was one.
fn join_from_another_thread(context: Context) -> Outcome {
    let (child, mut line) = start_waiting(context)?;
    let joiner = std::thread::spawn(move || child.join());
    line.say();
    assert_eq!(joiner.join().expect("joining does not panic")?, 42);
    Ok(())
}
