//! The exact words of errors, with the numbers of processes masked.

use std::process::ExitCode;

use offspring::{Context, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::settings::run_program;
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES, sleep_for_ever};

pub(crate) const ON_INLINE: &[Case] = cases![on &[Context::Inline] => words_inline];
pub(crate) const ON_PROCESSES: &[Case] = cases![on PROCESSES =>
    words_of_ends,
    words_of_starts,
    words_of_tasks,
    words_without_init,
    words_without_promise,
];

/// The text with `pid 123` as `pid N`.
fn masked(error: &Error) -> String {
    let text = error.to_string();
    let Some((before, after)) = text.split_once("pid ") else { return text };
    let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
    assert!(rest.len() < after.len(), "no number in: {text}");
    format!("{before}pid N{rest}")
}

/// Compares, with `{c}` standing for the context.
#[track_caller]
fn says(error: &Error, context: Context, wanted: &str) {
    assert_eq!(masked(error), wanted.replace("{c}", &context.to_string()));
}

#[derive(Debug, Deserialize)]
struct Secret;

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it stays here"))
    }
}

const PANIC: u32 = line!() + 2;
fn panics((): ()) {
    panic!("no luck");
}

#[expect(clippy::exit, reason = "to see what becomes of it")]
fn exits(status: i32) {
    std::process::exit(status)
}

fn place() -> String {
    format!("{}:{PANIC}:5", file!())
}

fn words_inline(context: Context) -> Outcome {
    let error = context.process().name("golden").start((), panics)?.join().unwrap_err();
    let wanted =
        "could not get the result of a child process ({c}): panicked at PLACE: no luck (`golden`)";
    says(&error, context, &wanted.replace("PLACE", &place()));
    let mut child = context.process().name("golden").start((), |()| 1)?;
    child.join_timeout(std::time::Duration::ZERO)?;
    let wanted = "could not get the result of a child process ({c}): its result was returned before (`golden`)";
    says(&child.join().unwrap_err(), context, wanted);
    Ok(())
}

fn words_of_ends(context: Context) -> Outcome {
    let golden = context.process().name("golden");
    let error = golden.start((), panics)?.join().unwrap_err();
    let wanted = "could not get the result of a child process ({c}): panicked at PLACE: no luck (`golden`, pid N)";
    says(&error, context, &wanted.replace("PLACE", &place()));

    let error = golden.start(3, exits)?.join().unwrap_err();
    let wanted = "could not get the result of a child process ({c}): the process ended without an answer: exit status 3 (`golden`, pid N); capture its standard error to see its last words";
    says(&error, context, wanted);

    let error = golden.start(0, exits)?.join().unwrap_err();
    let wanted = "could not get the result of a child process ({c}): the process ended without an answer: exit status 0 (`golden`, pid N); the function must return, not exit";
    says(&error, context, wanted);

    let child = golden.start((), |()| -> () { sleep_for_ever() })?;
    child.kill()?;
    let wanted = "could not get the result of a child process ({c}): the process ended without an answer: signal 9 (SIGKILL) (`golden`, pid N); capture its standard error to see its last words";
    says(&child.join().unwrap_err(), context, wanted);
    Ok(())
}

fn words_of_starts(context: Context) -> Outcome {
    let golden = context.process().name("golden");
    let error = golden.start(Secret, |_| ()).unwrap_err();
    let wanted = "could not start a child process ({c}): a value of type `TYPE` cannot be encoded: it stays here (`golden`); send what serde can encode, or make it in the child";
    says(&error, context, &wanted.replace("TYPE", std::any::type_name::<Secret>()));

    let error = golden.clone().env("A=B", "1").start((), |()| ()).unwrap_err();
    let wanted = "could not start a child process ({c}): \"A=B\" cannot be the name of an environment variable (`golden`)";
    says(&error, context, wanted);

    let error = golden.clone().current_dir("/nowhere").start((), |()| ()).unwrap_err();
    let text = masked(&error);
    let wanted = format!(
        "could not start a child process ({context}): its working directory `/nowhere` does not exist or cannot be entered (`golden`"
    );
    assert!(text.starts_with(&wanted), "{text}");
    Ok(())
}

fn words_of_tasks(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), n: i32| -> i32 {
        if n == 1 {
            exits(3);
        }
        n
    };
    let mut outcomes = pool.map(0..3, task);
    assert_eq!(outcomes.next().ok_or("an outcome")??, 0);
    let error: Error = outcomes.next().ok_or("an outcome")?.unwrap_err().into();
    let wanted = "could not run a task ({c}): the process ended without an answer: exit status 3 (task 1, `NAME`, worker 0, pid N); capture its standard error to see its last words";
    let name = std::any::type_name_of_val(&task);
    says(&error, context, &wanted.replace("NAME", name));
    assert_eq!(outcomes.next().ok_or("an outcome")??, 2);
    drop(outcomes);
    pool.shutdown()?;
    Ok(())
}

/// A program that forgot `init`. It forks all the same: that needs none.
pub(crate) fn program_without_init() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    let outcome = context.process().name("golden").start((), |()| 1);
    if context == Context::Fork {
        assert_eq!(outcome.and_then(offspring::Process::join).expect("it is forked"), 1);
        return ExitCode::SUCCESS;
    }
    let error = outcome.expect_err("children would run the whole program");
    assert_eq!(error.kind(), ErrorKind::NotInitialized, "{error}");
    let wanted = "could not start a child process ({c}): this program never called `offspring::init()` (`golden`); call `offspring::init()` first in `main`, in tests write `#[offspring::test]` or `offspring::testing::enable!()`";
    says(&error, context, wanted);
    ExitCode::SUCCESS
}

/// A program that did not promise that it may be forked. Only Fork minds.
pub(crate) fn program_without_promise() -> ExitCode {
    offspring::init();
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    let outcome = context.process().name("golden").start((), |()| 1);
    if context != Context::Fork {
        assert_eq!(outcome.and_then(offspring::Process::join).expect("it needs no promise"), 1);
        return ExitCode::SUCCESS;
    }
    let error = outcome.expect_err("it may not be forked");
    assert_eq!(error.kind(), ErrorKind::ForkNotAllowed, "{error}");
    let wanted = "could not start a child process (fork): this program never promised that it may be forked (`golden`); call `unsafe { offspring::allow_fork() }` once in `main`, in a test name Fork in `#[offspring::test]`, or use spawn or forkserver";
    says(&error, context, wanted);
    ExitCode::SUCCESS
}

fn words_without_init(context: Context) -> Outcome {
    run_program("without-init", context)
}

fn words_without_promise(context: Context) -> Outcome {
    run_program("without-promise", context)
}
