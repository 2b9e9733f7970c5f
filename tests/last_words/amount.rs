//! However much is written: the end is told, and it takes little memory.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use offspring::{Context, Error, Stdio};

use super::speech::{End, end, write_like_c, write_lines};
use crate::cases;
use crate::harness::{self, Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    ten_mebibytes_and_the_end_of_them,
    one_long_line,
    killed_while_it_writes,
    the_backtrace_of_a_panic_hides_nothing,
    what_was_written_long_ago_takes_no_memory,
    nor_does_it_in_a_pool,
];

/// Checks that the error has the last lines of those that [`write_lines`] writes. Returns how much was written.
#[track_caller]
fn check_lines(error: &Error) -> u64 {
    let words = error.stderr().expect("it is captured");
    assert!(words.len() <= Stdio::CAPTURED, "{} bytes", words.len());
    assert!(words.len() > Stdio::CAPTURED - 100, "{} bytes", words.len());
    let numbers: Vec<usize> = words
        .lines()
        .map(|line| line.strip_prefix("line ").and_then(|number| number.parse().ok()))
        .collect::<Option<_>>()
        .unwrap_or_else(|| panic!("a line is not whole: {words}"));
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{words}");
    let left_out = error.stderr_left_out();
    let text = error.to_string();
    assert!(text.contains(&format!("({left_out} bytes before them are left out):")), "{text}");
    left_out + words.len() as u64
}

fn ten_mebibytes_and_the_end_of_them(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    for how in [End::Abort, End::Panic] {
        let child = builder.start(how, |how| {
            write_lines(10 << 20);
            end(how);
        })?;
        let error = child.join().expect_err("it does not return");
        let written = check_lines(&error);
        assert!((10 << 20..11 << 20).contains(&written), "{how:?}: {written} bytes");
    }
    Ok(())
}

fn one_long_line(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let child = builder.start((), |()| {
        write_like_c("é".repeat(100_000).as_bytes());
        end(End::Abort);
    })?;
    let error = child.join().expect_err("it aborts");
    let words = error.stderr().expect("it is captured");
    assert!(words.chars().all(|letter| letter == 'é'), "{words}");
    assert!(words.len() > Stdio::CAPTURED - 4, "{} bytes", words.len());
    assert_eq!(error.stderr_left_out() + words.len() as u64, 200_000);
    Ok(())
}

fn killed_while_it_writes(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    let (told, hears) = offspring::channel::queue::<()>(1)?;
    let child = builder.start(told, |told: offspring::channel::Sender<()>| {
        write_lines(1 << 20);
        told.send(()).expect("the parent listens");
        write_lines(usize::MAX);
    })?;
    hears.recv()?;
    child.kill()?;
    let error = child.join().expect_err("it is killed");
    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
    // It may have been killed within a write, or between the two rows of lines.
    let words = error.stderr().expect("it is captured");
    assert!((3000..=Stdio::CAPTURED).contains(&words.len()), "{} bytes", words.len());
    assert!(words.starts_with("line "), "{words}");
    assert!(error.stderr_left_out() > 1 << 19, "{error}");
    Ok(())
}

/// With `RUST_BACKTRACE` std prints more than an error has room for.
fn the_backtrace_of_a_panic_hides_nothing(context: Context) -> Outcome {
    fn deep(depth: u32) {
        if std::hint::black_box(depth) > 0 {
            deep(depth - 1);
        } else {
            panic!("at the bottom");
        }
        std::hint::black_box(());
    }
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            eprintln!("after");
        }
    }
    let builder = context.process().stderr(Stdio::captured()).env("RUST_BACKTRACE", "full");
    let child = builder.start((), |()| {
        let _last = Last;
        write_lines(1 << 10);
        deep(200);
    })?;
    let error = child.join().expect_err("it panics");
    let backtrace = error.panic().and_then(offspring::Panic::backtrace).unwrap_or_default();
    assert!(backtrace.len() > Stdio::CAPTURED, "{error:?}");
    let words = error.stderr().expect("it is captured");
    let (lines, after) = words.split_at(words.len() - "after\n".len());
    assert_eq!(after, "after\n", "{words}");
    assert!(lines.starts_with("line 0\n") && lines.len() >= 1 << 10, "{words}");
    assert!(lines.lines().all(|line| line.starts_with("line ")), "{words}");
    Ok(())
}

/// Writes without end, and returns when most of it was given back.
fn write_until_it_is_given_back() {
    let mut written = 0;
    harness::eventually("what was written is given back", || {
        written += write_lines(1 << 20) as u64;
        let file = std::fs::metadata("/dev/fd/2").expect("the stream can be asked");
        written > 32 << 20 && file.blocks() * 512 < written / 4
    });
}

/// The parent only waits.
fn what_was_written_long_ago_takes_no_memory(context: Context) -> Outcome {
    let builder = context.process().stderr(Stdio::captured());
    builder.start((), |()| write_until_it_is_given_back())?.join()?;
    Ok(())
}

/// The parent need not even wait: it is the supervisor that looks.
fn nor_does_it_in_a_pool(context: Context) -> Outcome {
    let pool = context.pool().workers(1).stderr(Stdio::captured()).build()?;
    let (told, hears) = offspring::channel::queue::<()>(1)?;
    // Whoever waits for a message drives no pool: the task has to be on its way before.
    pool.ready(Duration::from_secs(60))?;
    let task = pool.submit(told, |_: &mut (), told: offspring::channel::Sender<()>| {
        let came = std::panic::catch_unwind(write_until_it_is_given_back);
        told.send(()).expect("the parent listens");
        assert!(came.is_ok(), "it took ever more memory");
    })?;
    hears.recv()?;
    task.join()?;
    Ok(())
}
