//! Ctrl-C and Ctrl-\: the end of a program that does not handle them, and of all it started; a message to one
//! that does, and to nobody else.

use std::time::Duration;

use offspring::Context;

use super::programs::{GATE, IN_ORDER, LOG, READY};
use super::screen::{CTRL_BACKSLASH, CTRL_C, Terminal, assert_ended, assert_killed, rounds};
use crate::harness::props::{Random, Scratch};
use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    ctrl_c_ends_all,
    ctrl_backslash_ends_all,
    a_program_that_handles_them_ends_in_order,
    what_a_task_executes_is_interrupted,
    interrupts_while_children_start,
    what_is_typed_is_the_programs,
];

fn ends_all(context: Context, key: u8, signal: i32) -> Outcome {
    let _files = (Scratch::new(LOG), Scratch::new(GATE));
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("live", context);
    terminal.wait_for(READY, 1);
    assert_eq!(terminal.foreground(), i32::try_from(job.pid)?, "nobody else came forward");
    terminal.press(key);
    assert_killed(terminal.wait(&job), signal);
    terminal.check_left();
    assert_eq!(terminal.shown(), READY, "nobody says anything about it");
    Ok(())
}

fn ctrl_c_ends_all(context: Context) -> Outcome {
    ends_all(context, CTRL_C, libc::SIGINT)
}

fn ctrl_backslash_ends_all(context: Context) -> Outcome {
    ends_all(context, CTRL_BACKSLASH, libc::SIGQUIT)
}

fn a_program_that_handles_them_ends_in_order(context: Context) -> Outcome {
    let _files = (Scratch::new(LOG), Scratch::new(GATE));
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("orderly", context);
    terminal.wait_for("[idle]", 1);
    terminal.press(CTRL_C);
    terminal.wait_for("[working]", 1);
    terminal.press(CTRL_C);
    terminal.press(CTRL_BACKSLASH);
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown().matches(IN_ORDER).count(), 1);
    terminal.check_left();
    Ok(())
}

fn what_a_task_executes_is_interrupted(context: Context) -> Outcome {
    let _log = Scratch::new(LOG);
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("executing", context);
    terminal.wait_for(READY, 1);
    terminal.press(CTRL_C);
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown(), format!("{READY}{IN_ORDER}"));
    terminal.check_left();
    Ok(())
}

fn interrupts_while_children_start(context: Context) -> Outcome {
    let gate = Scratch::new(GATE);
    let mut random = Random::new();
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("starting", context);
    terminal.wait_for(READY, 1);
    for _ in 0..rounds(200) {
        // At any moment of what it does.
        std::thread::sleep(Duration::from_micros(random.below(5000)));
        terminal.press(CTRL_C);
    }
    gate.open();
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown().matches(IN_ORDER).count(), 1);
    terminal.check_left();
    Ok(())
}

fn what_is_typed_is_the_programs(context: Context) -> Outcome {
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("reading", context);
    terminal.wait_for(READY, 1);
    terminal.type_text(b"some words\n");
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown(), format!("{READY}{IN_ORDER}"));
    terminal.check_left();
    Ok(())
}
