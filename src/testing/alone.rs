//! A test in its own process: it runs the function, and looks for what it left behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, Termination};

use offspring_platform::entry::{Entered, Handed};
use offspring_platform::fd::PrivateFd;
use offspring_platform::{fork, lifeline, signal};

use super::entry::fail;
use super::leaks::LeakCheck;
use super::line::{self, Said};
use super::run::Test;
use crate::context::Context;
use crate::function::panic::caught;

/// Whether what a test function returned means success. An error is printed, as `main` would print it.
pub fn succeeded(returned: impl Termination) -> bool {
    // An `ExitCode` has nothing else to tell it by.
    format!("{:?}", returned.report()) == format!("{:?}", ExitCode::SUCCESS)
}

/// Runs a test, and ends this process. `started` by a test program, or else by hand.
pub(super) fn run(test: &Test, context: Option<Context>, started: Option<&Entered>) -> ! {
    let line = started.map(|entered| {
        let taken = entered.claim(Handed::Channel).and_then(|line| {
            tie(entered.claim(Handed::Lifeline)?, test)?;
            Ok(line)
        });
        taken.unwrap_or_else(|error| fail(&format!("the test program left no line: {error}")))
    });
    signal::unblock_terminal();
    if let Some(promise) = test.promise {
        promise();
    }
    // The template of the fork server lives as long as the program, so it is no leak.
    if matches!(context, None | Some(Context::ForkServer)) {
        let warm = Context::ForkServer.process().start((), |()| ()).and_then(crate::Process::join);
        if let Err(error) = warm {
            fail(&format!("the fork server does not start: {error}"));
        }
    }
    let leaks = LeakCheck::start();
    // A function without a context does not look at it.
    let context = context.unwrap_or_default();
    let result = caught(|| {
        catch_unwind(AssertUnwindSafe(|| __rust_begin_short_backtrace(test.body, context)))
    });
    let came_out = match result {
        Err(panic) => Said::Panicked(panic.message().to_owned()),
        Ok(false) => Said::Refused,
        Ok(true) => Said::Passed,
    };
    let as_wanted = matches!(came_out, Said::Panicked(_)) == test.should_panic
        && !matches!(came_out, Said::Refused);
    // One that failed has told why; what it could not put away is a consequence.
    let left = if test.leak_check && as_wanted { leaks.finish() } else { Ok(()) };
    let said = left.err().map_or(came_out, |leaks| Said::Leaked(leaks.to_string()));
    finish(line.as_ref(), &said)
}

/// By this name std knows where a short backtrace ends.
#[inline(never)]
fn __rust_begin_short_backtrace(body: fn(Context) -> bool, context: Context) -> bool {
    std::hint::black_box(body(context))
}

/// Ends this process with the test program. Not by the thread that this takes on some systems, which would
/// forbid every fork.
fn tie(end: PrivateFd, test: &Test) -> std::io::Result<()> {
    if lifeline::IS_A_THREAD {
        signal::end_after(test.limit()?);
        std::mem::forget(end);
        return Ok(());
    }
    lifeline::arm(end)
}

/// Tells the test program, or whoever started it by hand, and leaves by `exit`: what measures coverage writes
/// it then.
#[expect(clippy::exit, reason = "this is the end of the process, before `main`")]
#[expect(clippy::print_stderr, reason = "for who started it by hand")]
fn finish(line: Option<&PrivateFd>, said: &Said) -> ! {
    fork::flush_standard();
    let told = match line {
        Some(line) => line::say(line, said),
        None => {
            eprintln!("offspring: {said:?}");
            Ok(())
        }
    };
    if let Err(error) = told {
        fail(&format!("the test program cannot be told: {error}"));
    }
    std::process::exit(i32::from(*said != Said::Passed))
}
