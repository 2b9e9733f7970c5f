//! The last words of a worker: those of the task that failed, and of no other.

use std::time::Duration;

use offspring::{Context, Error, ErrorKind, Reuse, Stdio};

use super::speech::{End, assert_shows, end, say, write_like_c};
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    a_task_that_ends_its_worker_tells_its_own,
    panics_tell_their_own_whatever_comes_after,
    workers_do_not_mix,
    a_task_that_takes_too_long_tells_them,
    a_task_that_failed_after_retries_tells_those_of_the_last_time,
    tasks_in_copies_tell_their_own,
    a_worker_that_was_killed_from_outside_tells_them,
    a_pool_that_cannot_be_initialised_tells_why,
    what_a_worker_does_at_its_end,
    both_streams,
    a_large_result_and_large_words,
];

fn task(_: &mut (), (number, how): (u32, End)) -> u32 {
    say(&format!("task {number}"), how);
    number
}

/// Runs tasks that say their number, some of which fail, and checks what each error tells.
fn check(pool: &offspring::Pool<()>, how: End) -> Outcome {
    let inputs = (0..30).map(|n| (n, if n % 7 == 3 { how } else { End::Return }));
    for (n, outcome) in (0..30).zip(pool.map(inputs, task)) {
        match outcome {
            Ok(number) => assert_eq!((number, n % 7 != 3), (n, true), "{how:?}"),
            Err(error) => {
                let own = format!("task {n}");
                assert_eq!(n % 7, 3, "{how:?}: {error}");
                assert_eq!(error.stderr(), Some(&*format!("{own}\n")), "{how:?}: {error}");
                assert_eq!(error.stderr_left_out(), 0, "{how:?}: {error}");
                let text = error.to_string();
                assert!(text.ends_with(&format!("\nits last words:\n    {own}")), "{text}");
            }
        }
    }
    Ok(())
}

fn a_task_that_ends_its_worker_tells_its_own(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).build()?;
    for how in [End::Abort, End::Exit, End::Fault, End::Kill] {
        check(&pool, how)?;
    }
    Ok(())
}

fn panics_tell_their_own_whatever_comes_after(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).build()?;
    check(&pool, End::Panic)?;
    let task = pool.submit((1, End::Panic), task)?;
    let error = task.join().expect_err("it panics");
    assert_eq!(error.to_string().matches("the message of the panic").count(), 1, "{error}");
    assert_shows(&error, &["task 1"]);
    Ok(())
}

fn workers_do_not_mix(context: Context) -> Outcome {
    let pool = context.pool().workers(3).stderr(Stdio::captured()).build()?;
    check(&pool, End::Panic)?;
    check(&pool, End::Abort)
}

fn a_task_that_takes_too_long_tells_them(context: Context) -> Outcome {
    let limit = Duration::from_secs(2);
    let pool = context.pool().workers(1).stderr(Stdio::captured()).task_timeout(limit).build()?;
    let error = pool.submit((5, End::Sleep), task)?.join().expect_err("it takes too long");
    assert_eq!((error.kind(), error.stderr()), (ErrorKind::TimedOut, Some("task 5\n")), "{error}");
    assert_shows(&error, &["task 5"]);
    Ok(())
}

fn a_task_that_failed_after_retries_tells_those_of_the_last_time(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).retries(2).build()?;
    let error = pool.submit((5, End::Abort), task)?.join().expect_err("it aborts each time");
    assert_eq!((error.kind(), error.stderr()), (ErrorKind::Died, Some("task 5\n")), "{error}");
    Ok(())
}

fn tasks_in_copies_tell_their_own(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).reuse(Reuse::PerTask).build()?;
    for how in [End::Abort, End::Exit, End::Kill, End::Panic] {
        check(&pool, how)?;
    }
    Ok(())
}

fn a_worker_that_was_killed_from_outside_tells_them(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).build()?;
    let (told, hears) = offspring::channel::queue::<u32>(1)?;
    // Whoever waits for a message drives no pool: the task has to be on its way before.
    pool.ready(Duration::from_secs(60))?;
    let task = pool.submit(told, |_: &mut (), told: offspring::channel::Sender<u32>| {
        eprint!("half a li");
        told.send(std::process::id()).expect("the parent listens");
        end(End::Sleep);
    })?;
    let pid = i32::try_from(hears.recv()?)?;
    // SAFETY: no memory is involved. The process waits in its task, so the number is its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let error = task.join().expect_err("it was killed");
    assert_eq!(error.stderr(), Some("half a li"), "{error}");
    Ok(())
}

fn a_pool_that_cannot_be_initialised_tells_why(context: Context) -> Outcome {
    fn initialise(how: End) -> Result<(), String> {
        write_like_c(b"no such device\n");
        end(how);
        Err("the initialiser's own error".into())
    }
    let check = |error: &Error, how| {
        assert_eq!(error.stderr(), Some("no such device\n"), "{how:?}: {error}");
        let wanted = if how == End::Sleep { ErrorKind::TimedOut } else { ErrorKind::Init };
        assert_eq!(error.kind(), wanted, "{how:?}: {error}");
        assert_shows(error, &["no such device"]);
    };
    for how in [End::Return, End::Abort, End::Panic, End::Sleep] {
        let pool = context
            .pool()
            .workers(1)
            .stderr(Stdio::captured())
            .restart_budget(0)
            .init_timeout(Duration::from_millis(if how == End::Sleep { 5_000 } else { 60_000 }))
            .try_init(how, initialise)
            .build()?;
        let tasks = pool.map(0..2, |_: &mut (), n: u32| n);
        let errors: Vec<_> =
            tasks.map(|outcome| outcome.expect_err("there is no worker")).collect();
        assert_eq!(errors.len(), 2, "{how:?}");
        for error in &errors {
            check(error, how);
        }
        check(&pool.shutdown().expect_err("it never worked"), how);
    }
    Ok(())
}

fn what_a_worker_does_at_its_end(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(1)
        .stderr(Stdio::captured())
        .exit(|()| say("at the end", End::Panic))
        .build()?;
    assert_eq!(pool.submit((1, End::Return), task)?.join()?, 1);
    let report = pool.shutdown()?;
    let error = report.exit_values().iter().find_map(|value| value.as_ref().err());
    let error = error.ok_or("no value, and no error")?;
    assert_eq!(error.stderr(), Some("at the end\n"), "{error}");
    Ok(())
}

fn both_streams(context: Context) -> Outcome {
    let builder = context.pool().workers(1);
    let pool = builder.stdout(Stdio::captured()).stderr(Stdio::captured()).build()?;
    let task = pool.submit((), |_: &mut (), ()| {
        println!("out");
        say("err", End::Abort);
    })?;
    let error = task.join().expect_err("it aborts");
    assert_eq!(error.stderr(), Some("out\nerr\n"), "{error}");
    Ok(())
}

/// The excerpt of a failure is as large as the whole message of others.
fn a_large_result_and_large_words(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).build()?;
    let task = |_: &mut (), n: usize| {
        eprint!("{}", "x".repeat(1 << 20));
        assert!(n % 2 == 0, "{}", "y".repeat(60_000));
        vec![7u8; 1 << 20]
    };
    for (n, outcome) in (0..8).zip(pool.map(0..8, task)) {
        match outcome {
            Ok(result) => assert_eq!((n % 2, result.len()), (0, 1 << 20)),
            Err(error) => {
                assert_eq!(error.panic().map(|panic| panic.message().len()), Some(60_000));
                assert_eq!(error.stderr(), Some(&*"x".repeat(Stdio::CAPTURED)), "task {n}");
                assert_eq!(error.stderr_left_out(), (1 << 20) - Stdio::CAPTURED as u64);
            }
        }
    }
    Ok(())
}
