//! Programs that end by themselves while a map of theirs is under way.

use std::process::ExitCode;

use offspring::Context;

use super::programs::{self, READY};
use super::screen::{Terminal, assert_ended};
use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    exit_between_the_results_of_a_map,
    exit_in_an_input_iterator,
    panic_between_the_results_of_a_map,
    panic_in_an_input_iterator,
    panic_with_a_pool_that_nobody_drops,
];

/// Tells the program how to end.
const HOW: &str = "TERMINAL_END";
const EXIT: i32 = 3;
/// The status of any program whose `main` panics.
const PANIC: i32 = 101;

#[expect(clippy::exit, reason = "it is what is tested")]
fn end(exits: bool) -> ! {
    programs::show(READY);
    if exits {
        std::process::exit(EXIT);
    }
    panic!("on purpose");
}

pub(crate) fn program() -> ExitCode {
    let context = programs::enter();
    let how = std::env::var(HOW).expect("the case says how");
    let exits = how.contains("exit");
    let pool = context.pool().workers(4).build().expect("a pool starts");
    // Two of the workers are in tasks that never end.
    for _ in 0..2 {
        drop(pool.submit((), |(), ()| programs::spin()).expect("it is taken"));
    }
    if how.contains("nobody") {
        Box::leak(Box::new(pool));
        end(exits);
    }
    let inside = how.contains("input");
    let inputs = (0u64..).inspect(|n| {
        if inside && *n == 1000 {
            end(exits);
        }
    });
    for (n, result) in (0u64..).zip(pool.map(inputs, |(), n| n)) {
        assert_eq!(result.expect("it is not ended"), n);
        if !inside && n == 100 {
            end(exits);
        }
    }
    ExitCode::FAILURE
}

fn ends(context: Context, how: &str, status: i32) -> Outcome {
    let mut terminal = Terminal::with_shell();
    let mut command = crate::harness::programs::command("ending");
    command.env(HOW, how);
    let job = terminal.run_command(&mut command, context);
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, status);
    let shown = terminal.shown();
    assert_eq!(shown.matches(READY).count(), 1, "{shown}");
    let panics = usize::from(status == PANIC);
    assert_eq!(shown.matches("on purpose").count(), panics, "{shown}");
    terminal.check_left();
    Ok(())
}

fn exit_between_the_results_of_a_map(context: Context) -> Outcome {
    ends(context, "exit between results", EXIT)
}

fn exit_in_an_input_iterator(context: Context) -> Outcome {
    ends(context, "exit in the input", EXIT)
}

fn panic_between_the_results_of_a_map(context: Context) -> Outcome {
    ends(context, "panic between results", PANIC)
}

fn panic_in_an_input_iterator(context: Context) -> Outcome {
    ends(context, "panic in the input", PANIC)
}

fn panic_with_a_pool_that_nobody_drops(context: Context) -> Outcome {
    ends(context, "panic, and nobody drops the pool", PANIC)
}
