//! Ctrl-Z and `fg`: the program and its workers stop and go on, and nothing is lost or done twice.

use std::time::Duration;

use offspring::Context;

use super::programs::{GATE, IN_ORDER, LOG, PIDS, READY};
use super::screen::{CTRL_Z, Seen, Terminal, assert_ended, rounds};
use crate::harness::props::{Random, Scratch, state_of};
use crate::harness::{Case, Outcome, PROCESSES, eventually};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    stopped_while_working,
    stopped_while_children_start,
];

fn stopped_while_working(context: Context) -> Outcome {
    let (_log, gate, pids) = (Scratch::new(LOG), Scratch::new(GATE), Scratch::new(PIDS));
    let mut random = Random::new();
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("working", context);
    terminal.wait_for(READY, 1);
    let workers: Vec<u32> = pids.lines().iter().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(workers.len(), 4);
    for round in 0..rounds(20) {
        std::thread::sleep(Duration::from_micros(random.below(10_000)));
        terminal.press(CTRL_Z);
        assert_eq!(terminal.wait(&job), Seen::Stopped(libc::SIGTSTP), "round {round}");
        for worker in &workers {
            eventually("the worker stops", || state_of(*worker) == Some('T'));
        }
        job.go_on(&terminal);
        for worker in &workers {
            eventually("the worker goes on", || state_of(*worker).is_some_and(|is| is != 'T'));
        }
    }
    gate.open();
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown().matches(IN_ORDER).count(), 1);
    terminal.check_left();
    Ok(())
}

fn stopped_while_children_start(context: Context) -> Outcome {
    let gate = Scratch::new(GATE);
    let mut random = Random::new();
    let mut terminal = Terminal::with_shell();
    let job = terminal.run("starting", context);
    terminal.wait_for(READY, 1);
    for round in 0..rounds(100) {
        std::thread::sleep(Duration::from_micros(random.below(5000)));
        terminal.press(CTRL_Z);
        // Also where it waits for a child that begins.
        assert_eq!(terminal.wait(&job), Seen::Stopped(libc::SIGTSTP), "round {round}");
        job.go_on(&terminal);
    }
    gate.open();
    let seen = terminal.wait(&job);
    assert_ended(&mut terminal, seen, 0);
    assert_eq!(terminal.shown().matches(IN_ORDER).count(), 1);
    terminal.check_left();
    Ok(())
}
