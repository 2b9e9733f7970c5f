//! The last words of a single process.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use offspring::{Context, Error, ErrorKind, Exit, Stdio};

use super::speech::{End, assert_shows, end, say, write_like_c};
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    every_end_tells_them,
    a_panic_is_told_once,
    a_panic_that_was_caught_is_in_them,
    an_overflow_of_the_stack_is_told_as_std_tells_it,
    one_that_was_killed_from_outside_tells_them,
    one_that_was_stopped_says_nothing_of_a_result,
    c_code_and_other_programs_are_heard,
    bytes_that_are_no_text_are_replaced,
    control_characters_are_escaped_where_they_are_shown,
    nothing_written_is_an_empty_text,
    a_stream_that_the_child_closed_or_replaced_has_what_was_written_before,
    a_child_that_cuts_the_file_off_is_told_from_there,
    both_streams_are_one_text,
    only_standard_output,
    children_of_the_child_speak_for_themselves,
    a_group_tells_those_of_the_one_that_failed,
    a_result_that_cannot_be_encoded,
    a_detached_one_leaves_nothing,
];

pub(crate) const ON_ALL: &[Case] = cases![without_capture_there_are_none, input_cannot_be_captured];

fn failure(context: Context, how: End) -> Result<Error, Error> {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start(how, |how| say("some words", how))?;
    Ok(child.join().expect_err("it does not return"))
}

fn every_end_tells_them(context: Context) -> Outcome {
    for (how, signal) in [
        (End::Abort, Some(libc::SIGABRT)),
        (End::Fault, Some(libc::SIGSEGV)),
        (End::Kill, Some(libc::SIGKILL)),
        (End::Exit, None),
    ] {
        let error = failure(context, how)?;
        assert_eq!(error.kind(), ErrorKind::Died, "{how:?}: {error}");
        assert_eq!(error.signal(), signal, "{how:?}: {error}");
        assert_eq!(error.stderr(), Some("some words\n"), "{how:?}: {error}");
        assert_eq!(error.stderr_left_out(), 0, "{how:?}: {error}");
        assert_shows(&error, &["some words"]);
    }
    Ok(())
}

/// Its message, place and backtrace are in the error anyway.
fn a_panic_is_told_once(context: Context) -> Outcome {
    let error = failure(context, End::Panic)?;
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.stderr(), Some("some words\n"), "{error}");
    assert_shows(&error, &["some words"]);
    for text in [error.to_string(), format!("{error:?}")] {
        assert_eq!(text.matches("the message of the panic").count(), 1, "{text}");
    }
    assert!(error.panic().is_some_and(|panic| panic.backtrace().is_some()), "{error:?}");
    Ok(())
}

fn a_panic_that_was_caught_is_in_them(context: Context) -> Outcome {
    // All of what std prints is in them, and its backtrace alone may be more than there is room for.
    let builder = context.process().stderr(Stdio::captured()).env("RUST_BACKTRACE", "0");
    let child = builder.start((), |()| -> () {
        let _ = std::panic::catch_unwind(|| panic!("the first panic"));
        eprintln!("between");
        std::panic::resume_unwind(Box::new("resumed"));
    })?;
    let error = child.join().expect_err("it panics");
    assert_eq!(error.panic().map(offspring::Panic::message), Some("resumed"), "{error}");
    let words = error.stderr().unwrap_or_default();
    assert!(words.contains("the first panic") && words.ends_with("between\n"), "{error}");
    Ok(())
}

fn an_overflow_of_the_stack_is_told_as_std_tells_it(context: Context) -> Outcome {
    fn overflow(depth: u64) -> u64 {
        let page = std::hint::black_box([depth; 512]);
        if page[7] == u64::MAX { 0 } else { overflow(depth + 1) + page[9] }
    }
    let builder = context.process().stderr(Stdio::captured());
    let error = builder.start(1, overflow)?.join().expect_err("there is no such stack");
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    let words = error.stderr().unwrap_or_default();
    assert!(words.contains("has overflowed its stack"), "{error}");
    Ok(())
}

fn one_that_was_killed_from_outside_tells_them(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let (told, hears) = offspring::channel::queue::<()>(1)?;
    let mut child = builder.start(told, |told: offspring::channel::Sender<()>| {
        eprint!("working on it");
        told.send(()).expect("the parent listens");
        end(End::Sleep);
    })?;
    hears.recv()?;
    let exit = child.stop(Duration::ZERO)?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGKILL, .. }), "{exit}");
    let error = child.join().expect_err("it was killed");
    assert_eq!(error.stderr(), Some("working on it"), "{error}");
    assert_shows(&error, &["working on it"]);
    Ok(())
}

fn one_that_was_stopped_says_nothing_of_a_result(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let mut child = builder.start(7, |n: i32| {
        eprintln!("a warning");
        n
    })?;
    let limit = Duration::from_secs(60);
    assert_eq!(child.join_timeout(limit)?, Some(7));
    let error = child.join().expect_err("its result was returned");
    assert_eq!((error.kind(), error.stderr()), (ErrorKind::Closed, None), "{error}");
    Ok(())
}

fn c_code_and_other_programs_are_heard(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start((), |()| {
        write_like_c(b"from C\n");
        let shell = Command::new("sh").args(["-c", "echo from a shell >&2"]).status();
        assert!(shell.expect("there is a shell").success());
        // A way that opens the file anew, where the system has it.
        let shell = Command::new("sh").args(["-c", "echo anew 2>/dev/null >>/dev/stderr"]).status();
        let _ = shell.expect("there is a shell");
        write_like_c(b"from C again\n");
        end(End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    let words = error.stderr().unwrap_or_default();
    assert!(words.starts_with("from C\nfrom a shell\n"), "{error}");
    assert!(words.ends_with("from C again\n"), "{error}");
    Ok(())
}

fn bytes_that_are_no_text_are_replaced(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start((), |()| {
        write_like_c(b"a \xff\xfe b \xc3");
        end(End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    assert_eq!(error.stderr(), Some("a \u{fffd}\u{fffd} b \u{fffd}"), "{error}");
    Ok(())
}

fn control_characters_are_escaped_where_they_are_shown(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child =
        builder.start((), |()| say("\u{1b}[31mred\u{1b}[0m\ttab\r50%\r\nnext\0", End::Abort))?;
    let error = child.join().expect_err("it aborts");
    let words = "\u{1b}[31mred\u{1b}[0m\ttab\r50%\r\nnext\0\n";
    assert_eq!(error.stderr(), Some(words), "{error}");
    assert_shows(&error, &["\\u{1b}[31mred\\u{1b}[0m\ttab\\r50%", "next\\u{0}"]);
    Ok(())
}

fn nothing_written_is_an_empty_text(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let error = builder.start(End::Abort, end)?.join().expect_err("it aborts");
    assert_eq!((error.stderr(), error.stderr_left_out()), (Some(""), 0), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    Ok(())
}

fn a_stream_that_the_child_closed_or_replaced_has_what_was_written_before(
    context: Context,
) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    for (replace, how) in
        [(false, End::Abort), (true, End::Abort), (false, End::Panic), (true, End::Panic)]
    {
        let child = builder.start((replace, how), |(replace, how)| {
            eprintln!("before");
            let null = std::fs::File::options().write(true).open("/dev/null").expect("it is there");
            if replace {
                // SAFETY: both are open, and nothing owns the number 2.
                unsafe { libc::dup2(null.as_raw_fd(), 2) };
            } else {
                // SAFETY: nothing owns the number 2.
                unsafe { libc::close(2) };
            }
            say("to nobody", how);
        })?;
        let error = child.join().expect_err("it does not return");
        assert_eq!(error.stderr(), Some("before\n"), "replaced: {replace}, {how:?}: {error}");
    }
    Ok(())
}

fn a_child_that_cuts_the_file_off_is_told_from_there(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start((), |()| {
        eprintln!("{}", "x".repeat(10_000));
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::ftruncate(2, 0) }, 0);
        say("anew", End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    assert_eq!((error.stderr(), error.stderr_left_out()), (Some("anew\n"), 0), "{error}");
    Ok(())
}

fn both_streams_are_one_text(context: Context) -> Outcome {
    let builder = context.process().stdout(Stdio::captured()).stderr(Stdio::captured());
    let child = builder.start((), |()| {
        println!("out");
        eprintln!("err");
        println!("out again");
        std::io::stdout().flush().expect("a file takes all");
        end(End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    assert_eq!(error.stderr(), Some("out\nerr\nout again\n"), "{error}");
    Ok(())
}

fn only_standard_output(context: Context) -> Outcome {
    let builder = context.process().stdout(Stdio::captured()).stderr(Stdio::null());
    let child = builder.start((), |()| {
        println!("out");
        say("to nobody", End::Panic);
    })?;
    let error = child.join().expect_err("it panics");
    assert_eq!(error.stderr(), Some("out\n"), "{error}");
    Ok(())
}

/// They inherit the stream; what is said about them is said by their own parent.
fn children_of_the_child_speak_for_themselves(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let inner = crate::harness::in_a_child(context);
    let child = builder.start(inner, |inner: Context| {
        eprintln!("outer");
        let plain = inner.process().start((), |()| say("inner", End::Abort));
        let plain = plain.and_then(offspring::Process::join).expect_err("it aborts");
        let own = inner.process().stderr(Stdio::captured());
        let own = own.start((), |()| say("to its parent", End::Panic));
        let own = own.and_then(offspring::Process::join).expect_err("it panics");
        let words = (plain.stderr().map(str::to_owned), own.stderr().map(str::to_owned));
        assert_eq!(words, (None, Some("to its parent\n".to_owned())), "{plain} {own}");
        end(End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    assert_eq!(
        (error.kind(), error.stderr()),
        (ErrorKind::Died, Some("outer\ninner\n")),
        "{error}"
    );
    Ok(())
}

fn a_group_tells_those_of_the_one_that_failed(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let group = builder.start_group([End::Sleep, End::Abort, End::Sleep], |how| {
        say(&format!("{how:?}"), how);
    })?;
    let error = group.join().expect_err("one aborts");
    assert_eq!((error.worker(), error.stderr()), (Some(1), Some("Abort\n")), "{error}");
    Ok(())
}

#[derive(serde::Deserialize)]
struct Stubborn;

impl serde::Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        eprintln!("I will not");
        Err(serde::ser::Error::custom("never"))
    }
}

fn a_result_that_cannot_be_encoded(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start((), |()| Stubborn)?;
    let error = child.join().map(|_| ()).expect_err("it cannot be encoded");
    let found = (error.kind(), error.stderr());
    assert_eq!(found, (ErrorKind::EncodeResult, Some("I will not\n")), "{error}");
    Ok(())
}

fn a_detached_one_leaves_nothing(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let mut child = builder.start((), |()| say("to nobody", End::Return))?;
    crate::harness::eventually("it ends", || !child.is_alive());
    child.detach();
    let child = builder.start((), |()| say("to nobody", End::Sleep))?;
    drop(child);
    Ok(())
}

fn without_capture_there_are_none(context: Context) -> Outcome {
    let child = context.process().start((), |()| say("shown", End::Panic))?;
    let error = child.join().expect_err("it panics");
    assert_eq!((error.stderr(), error.stderr_left_out()), (None, 0), "{error}");
    if context == Context::Inline {
        let error = failure(context, End::Panic)?;
        assert_eq!(error.stderr(), None, "{error}");
    }
    Ok(())
}

fn input_cannot_be_captured(context: Context) -> Outcome {
    let builder = context.process().stdin(Stdio::captured());
    match builder.start(7, |n: i32| n) {
        Ok(child) => assert_eq!((context, child.join()?), (Context::Inline, 7)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains("standard input cannot be captured"), "{error}");
        }
    }
    Ok(())
}
