//! The terminal goes away: so do the program and all that it started, unless the program wants to stay.

use std::process::Command;

use offspring::Context;

use super::programs::{GATE, IN_ORDER, LOG, PIDS, READY};
use super::screen::{Terminal, assert_killed};
use crate::harness::props::{Scratch, state_of};
use crate::harness::{Case, Outcome, PROCESSES, eventually, programs};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    of_a_program_without_a_shell,
    of_a_shell_and_its_program,
    a_program_that_stays_keeps_its_workers,
];

fn of_a_program_without_a_shell(context: Context) -> Outcome {
    let _files = (Scratch::new(LOG), Scratch::new(GATE));
    let mut terminal = Terminal::new();
    let job = terminal.run_first(&mut programs::command("live"), context);
    terminal.wait_for(READY, 1);
    terminal.hang_up();
    assert_killed(terminal.wait(&job), libc::SIGHUP);
    terminal.check_left();
    Ok(())
}

/// A shell that runs this test program as another of its programs, and has more to do afterwards.
fn shell(program: &str) -> Command {
    let mut command = programs::command(program);
    let path = command.get_program().to_owned();
    let variables: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(Into::into))).collect();
    command = Command::new("sh");
    command.args(["-c", "\"$0\"; :"]).arg(path);
    for (name, value) in variables {
        let value: std::ffi::OsString = value.expect("it is set");
        command.env(name, value);
    }
    command
}

fn of_a_shell_and_its_program(context: Context) -> Outcome {
    let _files = (Scratch::new(LOG), Scratch::new(GATE));
    let mut terminal = Terminal::new();
    let job = terminal.run_first(&mut shell("live"), context);
    terminal.wait_for(READY, 1);
    terminal.hang_up();
    assert_killed(terminal.wait(&job), libc::SIGHUP);
    terminal.check_left();
    Ok(())
}

/// When the shell ends, all in the foreground are told, also those that are none of the program's business.
fn a_program_that_stays_keeps_its_workers(context: Context) -> Outcome {
    let (_log, gate, pids) = (Scratch::new(LOG), Scratch::new(GATE), Scratch::new(PIDS));
    let mut terminal = Terminal::new();
    let job = terminal.run_first(&mut shell("deaf_to_hangups"), context);
    terminal.wait_for(READY, 1);
    terminal.hang_up();
    assert_killed(terminal.wait(&job), libc::SIGHUP);
    gate.open();
    eventually("it ends in order", || pids.lines().iter().any(|line| line == IN_ORDER));
    let workers = pids.lines();
    assert_eq!(workers.len(), 5, "{workers:?}");
    for worker in &workers[..4] {
        let worker = worker.parse()?;
        eventually("the worker ends", || matches!(state_of(worker), None | Some('Z')));
    }
    terminal.check_left();
    Ok(())
}
