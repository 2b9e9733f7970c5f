//! A worker that the system ends because memory ran out: what its task, the report and the other tasks say of it.

use offspring::{Context, EndReason, Error, ErrorKind, Exit};

use crate::Death;
use crate::harness::Outcome;
use crate::harness::scarcity::{self, Group};

/// What all of a case have together. A program of tests and its workers take a fraction of it.
const GROUP: u64 = 256 << 20;

/// In the words of its error, and of the report.
const SAID: &str = "memory ran out";

/// Takes memory until there is no more.
fn take_all() -> u64 {
    scarcity::to_be_killed();
    let mut taken = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1u8; 1 << 20]));
        assert!(taken.len() as u64 <= 2 * (GROUP >> 20), "nothing keeps it from taking more");
    }
}

/// Whoever killed it.
fn assert_killed(error: &Error) {
    let seen = (error.kind(), error.signal());
    assert_eq!(seen, (ErrorKind::Died, Some(libc::SIGKILL)), "{error}");
}

#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn memory_that_runs_out_is_told_from_a_kill(context: Context) -> Outcome {
    let Some(group) = Group::enter_or_say(GROUP) else { return Ok(()) };
    let pool = context.pool().workers(2).build()?;
    // One before the memory runs out, and one after it.
    let killed = || -> Result<_, Error> {
        let task = pool.submit((), |(), ()| -> u64 { Death::Kill.die() })?;
        Ok(task.join().expect_err("it killed itself"))
    };
    let mut kills = vec![killed()?];
    let mut failures = Vec::new();
    let task = |_: &mut (), n: u64| if n == 13 { take_all() } else { n * n };
    for (n, result) in (0..).zip(pool.map(0..40, task)) {
        match result {
            Ok(square) => assert_eq!(square, n * n),
            Err(error) => failures.push((n, error)),
        }
    }
    kills.push(killed()?);
    let [(13, error)] = &failures[..] else { panic!("not that task alone: {failures:?}") };
    assert_killed(error);
    assert!(error.is_out_of_memory(), "{error}");
    let text = error.to_string();
    let said = format!("the system ended the process because {SAID}: ");
    assert!(text.contains(&said), "{text}");
    assert!(text.ends_with("; give it less to do at once, or allow more memory"), "{text}");
    for error in &kills {
        assert_killed(error);
        assert!(!error.is_out_of_memory() && !error.to_string().contains(SAID), "{error}");
    }

    let report = pool.report();
    let end = |error: &Error| {
        let worker = report.workers().iter().find(|worker| Some(worker.pid) == error.pid());
        worker.unwrap_or_else(|| panic!("no worker of {error}: {report:?}")).end
    };
    let died = EndReason::Died;
    let all = [(&**error, EndReason::OutOfMemory), (&*kills[0], died), (&*kills[1], died)];
    for (error, reason) in all {
        let end = end(error).unwrap_or_else(|| panic!("it lives: {error}"));
        assert!(matches!(end.exit, Exit::Signal { signal: libc::SIGKILL, .. }), "{end:?}");
        assert_eq!(end.reason, reason, "{error}");
    }
    assert_eq!(pool.shutdown()?.tasks(), 42);
    drop(group);
    Ok(())
}

/// Nobody has asked for the count before it started: the answer would take as long as a small start.
#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn a_process_without_memory_tells_the_signal_alone(context: Context) -> Outcome {
    let Some(group) = Group::enter_or_say(GROUP) else { return Ok(()) };
    // The template of the fork server was there before the group.
    let child = context.process().start(group.members(), |members| {
        std::fs::write(members, std::process::id().to_string()).expect("it may enter");
        take_all()
    })?;
    let error = child.join().expect_err("it takes more than there is");
    assert_killed(&error);
    assert!(!error.is_out_of_memory() && !error.to_string().contains(SAID), "{error}");
    drop(group);
    Ok(())
}
