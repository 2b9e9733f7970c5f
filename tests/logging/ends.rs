//! What a child said before its end arrives, whatever the end.

use std::time::Duration;

use log::{error, info};
use offspring::sync::Event;
use offspring::{Context, ErrorKind};

use crate::harness::{Case, Outcome, PROCESSES};
use crate::{cases, collect, messages};

pub(super) const CASES: &[Case] = cases![on PROCESSES =>
    before_an_abort,
    before_a_kill,
    before_an_exit_and_a_panic,
    of_an_initialiser_that_fails,
    of_tasks_when_the_pool_is_dropped,
    of_a_process_that_is_dropped_or_stopped,
    of_each_worker_that_dies,
    of_a_copy_of_the_program,
];

fn last_words(count: i32) {
    for n in 0..count {
        error!("word {n}");
    }
}

fn words(count: i32) -> Vec<String> {
    (0..count).map(|n| format!("word {n}")).collect()
}

fn before_an_abort(context: Context) -> Outcome {
    collect();
    let child = context.process().start((), |()| -> () {
        last_words(50);
        std::process::abort();
    })?;
    let error = child.join().expect_err("it aborts");
    assert_eq!(error.kind(), ErrorKind::Died);
    assert_eq!(messages(), words(50));

    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| -> () {
        last_words(50);
        std::process::abort();
    };
    let error = pool.submit((), task)?.join().expect_err("it aborts");
    assert_eq!(error.kind(), ErrorKind::Died);
    assert_eq!(messages(), words(50));
    // The one in its place.
    pool.submit((), |_: &mut (), ()| info!("next"))?.join()?;
    assert_eq!(messages(), ["next"]);
    Ok(())
}

/// A signal that nobody sees coming.
fn kill_self() -> ! {
    // SAFETY: a signal to this very process, which ends it; no memory is involved.
    unsafe { libc::raise(libc::SIGKILL) };
    unreachable!("it is dead");
}

fn before_a_kill(context: Context) -> Outcome {
    collect();
    let child = context.process().start((), |()| -> () {
        last_words(10);
        kill_self();
    })?;
    let error = child.join().expect_err("it is killed");
    assert_eq!(error.kind(), ErrorKind::Died);
    assert_eq!(messages(), words(10));
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| -> () {
        last_words(10);
        kill_self();
    };
    pool.submit((), task)?.join().expect_err("it is killed");
    assert_eq!(messages(), words(10));
    Ok(())
}

fn before_an_exit_and_a_panic(context: Context) -> Outcome {
    collect();
    let child = context.process().start((), |()| -> () {
        last_words(3);
        // SAFETY: ends this process without a word.
        unsafe { libc::_exit(3) };
    })?;
    child.join().expect_err("it exits");
    assert_eq!(messages(), words(3));
    let child = context.process().start((), |()| -> () {
        last_words(3);
        panic!("on purpose");
    })?;
    child.join().expect_err("it panics");
    assert_eq!(messages(), words(3));
    Ok(())
}

fn of_an_initialiser_that_fails(context: Context) -> Outcome {
    collect();
    let made = context
        .pool()
        .workers(1)
        .restart_budget(0)
        .try_init((), |()| {
            last_words(2);
            Err::<(), String>("on purpose".into())
        })
        .build();
    let error = match made {
        Ok(pool) => pool.ready(Duration::MAX).expect_err("nobody comes up"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Init);
    assert_eq!(messages(), words(2));
    Ok(())
}

fn of_tasks_when_the_pool_is_dropped(context: Context) -> Outcome {
    collect();
    for drops in [false, true] {
        let said = Event::new()?;
        let pool = context.pool().workers(1).init(said.clone(), |said| said).build()?;
        // From then on a task needs nobody who waits for it.
        pool.ready(Duration::MAX)?;
        let task = |said: &mut Event, ()| -> () {
            last_words(4);
            said.set();
            crate::harness::sleep_for_ever();
        };
        let task = pool.submit((), task)?;
        said.wait();
        if !drops {
            pool.terminate();
            assert_eq!(messages(), words(4));
        }
        drop(pool);
        assert_eq!(messages(), words(if drops { 4 } else { 0 }));
        task.join().expect_err("the pool has ended");
    }
    Ok(())
}

fn of_a_process_that_is_dropped_or_stopped(context: Context) -> Outcome {
    collect();
    for stop in [false, true] {
        let said = Event::new()?;
        let mut child = context.process().start(said.clone(), |said: Event| -> () {
            last_words(4);
            said.set();
            crate::harness::sleep_for_ever();
        })?;
        said.wait();
        if stop {
            child.stop(Duration::ZERO)?;
            assert_eq!(messages(), words(4));
        }
        drop(child);
        assert_eq!(messages(), words(if stop { 0 } else { 4 }));
    }
    Ok(())
}

/// Many die, while others go on.
fn of_each_worker_that_dies(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(2).build()?;
    let task = |_: &mut (), n: u32| {
        info!("begins {n}");
        if n % 5 == 0 {
            std::process::abort();
        }
        info!("ends {n}");
    };
    for (n, done) in (0..40u32).zip(pool.map(0..40u32, task)) {
        assert_eq!(done.is_err(), n % 5 == 0, "input {n}");
    }
    let mut found = messages();
    let mut wanted: Vec<_> = (0..40).map(|n| format!("begins {n}")).collect();
    wanted.extend((0..40).filter(|n| n % 5 != 0).map(|n| format!("ends {n}")));
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    Ok(())
}

/// The program forks by itself: its logger is its own there, too.
#[expect(clippy::disallowed_methods, reason = "it is about that")]
fn of_a_copy_of_the_program(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    // SAFETY: the process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        info!("copied");
        let status = i32::from(messages() != ["copied"]);
        // SAFETY: it ends the process, and runs nothing.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: `status` is a place for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0, "the copy has logged");
    pool.submit((), |_: &mut (), ()| info!("worker"))?.join()?;
    assert_eq!(messages(), ["worker"]);
    Ok(())
}
