//! Standard input, output and error that are closed in the parent.

use std::fs;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use offspring::{Context, SharedSlice};

use crate::cases;
use crate::harness::programs::command;
use crate::harness::{Case, Outcome};
use crate::tools::{argument, context_argument, temporary};

pub(crate) const CASES: &[Case] = cases![closed_before_main, closed_in_main];

/// The standard descriptors of one of the eight combinations.
fn chosen(combination: u32) -> impl Iterator<Item = i32> {
    (0..3).filter(move |fd| combination & (1 << fd) != 0)
}

/// Where a program without standard error says why it failed.
fn report_failure_to(path: &Path, body: impl FnOnce()) -> ExitCode {
    let path = path.to_owned();
    std::panic::set_hook(Box::new(move |panic| {
        // There is nowhere else to say it.
        let _ = fs::write(&path, panic.to_string());
    }));
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A task that prints a lot, wherever that leads, and then answers.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is about what is printed")]
fn chatter(bytes: Vec<u8>) -> Vec<u8> {
    for n in 0..100 {
        println!("{n} on standard output {}", "x".repeat(100));
        eprintln!("{n} on standard error {}", "x".repeat(100));
    }
    print!("no newline at the end");
    let mut text = String::new();
    // Closed or not, it is at its end or an error; it does not take from a channel.
    let _ = std::io::stdin().read_line(&mut text);
    bytes.into_iter().map(|byte| byte.wrapping_add(1)).collect()
}

/// Program: runs children with some standard descriptors closed.
pub(crate) fn closed() -> ExitCode {
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let (context, combination) = (context_argument(1), argument(2).parse().expect("a number"));
    let now = argument(3) == "now";
    report_failure_to(&temporary("failure"), || {
        for fd in chosen(combination).filter(|_| now) {
            // SAFETY: std never owns the standard descriptors, and this test does not use them.
            unsafe { libc::close(fd) };
        }
        for length in [0usize, 1000, 1 << 20] {
            let sent: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let expected: Vec<u8> = sent.iter().map(|byte| byte.wrapping_add(1)).collect();
            let child = context.process().start(sent, chatter).expect("it starts");
            assert!(child.join().expect("it answers") == expected, "{length} bytes");
        }
        let table = SharedSlice::from_iter(0..1000u32).expect("there is memory");
        let pool = context.pool().workers(2).init(table, |table| table).build().expect("it starts");
        for (n, result) in
            (0u32..).zip(pool.map(0..50u32, |table, n| (chatter(vec![7]), table[n as usize])))
        {
            assert_eq!(result.expect("it runs"), (vec![8], n));
        }
        pool.shutdown().expect("it ends");
        // They are as closed as they were: nothing of ours took their places.
        for fd in chosen(combination).filter(|_| now) {
            // SAFETY: F_GETFD on any number is harmless.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            assert_eq!(
                flags,
                -1,
                "descriptor {fd} is open: {:?}",
                crate::harness::leaks::descriptors()
            );
        }
    })
}

fn run_closed(context: Context, combination: u32, when: &str, command: &mut Command) {
    command.arg(context.to_string()).arg(combination.to_string()).arg(when);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().expect("it starts");
    let failure = fs::read_to_string(temporary("failure")).unwrap_or_default();
    let closed: Vec<i32> = chosen(combination).collect();
    assert!(status.success(), "closed {closed:?} {when}: {status}: {failure}");
}

fn closed_before_main(context: Context) -> Outcome {
    for combination in 0..8 {
        let mut program = command("closed");
        let close = move || {
            for fd in 0..3 {
                if combination & (1 << fd) != 0 {
                    // SAFETY: an integer.
                    unsafe { libc::close(fd) };
                }
            }
            Ok(())
        };
        // SAFETY: `close` may be called between fork and exec.
        unsafe { program.pre_exec(close) };
        run_closed(context, combination, "before", &mut program);
    }
    Ok(())
}

fn closed_in_main(context: Context) -> Outcome {
    for combination in 0..8 {
        run_closed(context, combination, "now", &mut command("closed"));
    }
    Ok(())
}
