//! Who may not: programs without the promise, and those with threads.

use std::process::ExitCode;
use std::sync::mpsc;

use offspring::{Context, Error, ErrorKind, Phase, fork};

use crate::harness::{Case, Outcome, programs};
use crate::tools;

pub(crate) const CASES: &[Case] = crate::cases![on &[Context::Fork] =>
    refused_beside_threads,
    refused_without_the_promise,
];

/// Each way to fork, with the closure that it was given.
fn attempts() -> [(&'static str, Result<(), Error>); 4] {
    let captured = vec![1u8, 2, 3];
    let start = fork::start(|| captured.len()).and_then(|process| process.join().map(drop));
    [
        ("start", start),
        ("map", fork::map(&captured, |n| n + 1).map(drop)),
        ("map of nothing", fork::map(&captured[3..], |n| n + 1).map(drop)),
        ("workers", fork::workers(2).map(&captured, |n| n + 1).map(drop)),
    ]
}

fn refused_beside_threads(_: Context) -> Outcome {
    let (release, wait) = mpsc::channel::<()>();
    let idle = std::thread::spawn(move || wait.recv());
    for (way, attempt) in attempts() {
        let error = attempt.expect_err(way);
        let ErrorKind::Multithreaded { threads } = error.kind() else { panic!("{way}: {error}") };
        assert!(threads.is_none_or(|count| count == 2), "{way}: {error}");
        assert_eq!((error.context(), error.phase()), (Some(Context::Fork), Phase::NotStarted));
        assert!(error.task_name().unwrap_or("?").contains("attempts"), "{way}: {error}");
        assert!(error.to_string().contains("forkserver"), "{way}: {error}");
    }
    drop(release);
    idle.join().unwrap().unwrap_err();
    for (way, attempt) in attempts() {
        attempt.expect(way);
    }
    Ok(())
}

/// A program that neither promised that it may be forked, nor called `init`.
pub(crate) fn without_promise() -> ExitCode {
    for (way, attempt) in attempts() {
        let error = attempt.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::ForkNotAllowed, "{way}: {error}");
        assert_eq!((error.context(), error.phase()), (Some(Context::Fork), Phase::NotStarted));
        assert!(error.to_string().contains("allow_fork"), "{way}: {error}");
    }
    // `init` is for children that are started by exec.
    // SAFETY: this program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    for (way, attempt) in attempts() {
        attempt.expect(way);
    }
    println!("as expected");
    ExitCode::SUCCESS
}

fn refused_without_the_promise(_: Context) -> Outcome {
    let ended = tools::run(&mut programs::command("without_promise"));
    assert_eq!(ended.expect_success("without_promise").trim(), "as expected");
    Ok(())
}
