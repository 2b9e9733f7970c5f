//! SIGTERM to a whole group of processes, the program and all that it has started.

use std::process::ExitCode;
use std::time::Duration;

use offspring::{Context, ErrorKind};

use super::settings::run_program;
use crate::cases;
use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{Case, Outcome, PROCESSES, sleep_for_ever};

pub(crate) const CASES: &[Case] = cases![on PROCESSES => tasks_end_and_the_pool_goes_on];

/// Sends the signal to itself, too, and ignores it.
fn use_a_pool(context: Context) -> Outcome {
    let begun = [Scratch::new("first"), Scratch::new("second")];
    let pool = context.pool().workers(2).build()?;
    pool.ready(Duration::from_secs(100))?;
    let tasks = begun.each_ref().map(|file| {
        pool.submit(file.path(), |(), path| -> () {
            note(&path, std::process::id());
            sleep_for_ever()
        })
    });
    begun.iter().for_each(|file| wait_for(&file.path()));
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(0, libc::SIGTERM) }, 0);
    for task in tasks {
        let error = task?.join().expect_err("its worker was terminated");
        assert_eq!(
            (error.kind(), error.signal()),
            (ErrorKind::Died, Some(libc::SIGTERM)),
            "{error}"
        );
    }
    for n in 0..10 {
        assert_eq!(pool.submit(n, |(), n| n + 1)?.join()?, n + 1);
    }
    pool.shutdown()?;
    assert_eq!(context.process().start(7, |n| n + 1)?.join()?, 8);
    Ok(())
}

pub(crate) fn program() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    // SAFETY: no memory is involved. The case itself is not to be terminated.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    // SAFETY: "ignore" runs nothing.
    let before = unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    match use_a_pool(context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn tasks_end_and_the_pool_goes_on(context: Context) -> Outcome {
    run_program("ignores-that-its-group-is-terminated", context)
}
