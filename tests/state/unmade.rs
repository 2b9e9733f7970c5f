//! Globals that the template of single processes cannot make: nobody is worse off.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, Global, Process, ProcessBuilder};

use super::prepared::{NUMBER, forget, look, makers, number};
use crate::harness::props::{Scratch, note, wait_for};
use crate::harness::{self, Case, Outcome};
use crate::{Told, cases, told};

pub(super) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    one_that_panics_in_the_template,
    one_that_leaves_a_thread,
    one_that_ends_the_template,
    one_that_never_ends,
];

/// A builder that only its maker and single children can run. It writes down that it is not there.
fn in_template() -> bool {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    let is_template = name.trim_end() == "offspring-state";
    if is_template {
        note(&std::env::temp_dir().join("failures"), std::process::id());
    }
    is_template
}

/// Others start before, at the time, and after; children make what the template could not, and each global
/// that it can make it does. Returns what keeps the note of its attempts until the end of the case.
fn nobody_is_worse_off(
    context: Context,
    process: fn(Context) -> ProcessBuilder,
    bad: &'static Global<u8>,
    build: impl Fn(u32) -> u8 + Copy + 'static,
) -> Result<Scratch, Box<dyn Error>> {
    let (failures, own) = (Scratch::new("failures"), std::process::id().to_string());
    NUMBER.set(7, number)?;
    let gate = Scratch::new("gate");
    let early: Process<Told<u64>> = context.process().start(gate.path(), |gate: PathBuf| {
        wait_for(&gate);
        told(NUMBER.get()).copied()
    })?;
    bad.set(0, build)?;
    for round in 0..3 {
        let (found, _) = process(context).start((), look)?.join()??;
        assert_eq!(found, 7, "round {round}");
    }
    // Once in the template of the early one, at most twice more: with the other, and without it again.
    let (makers, failed) = (makers(), failures.lines());
    assert!(!failed.is_empty() && !failed.contains(&own), "in a template: {failed:?}");
    assert!((2..=3).contains(&makers.len()), "{makers:?}");
    gate.open();
    assert_eq!(early.join()??, 7);
    forget()?;
    Ok(failures)
}

static PANICS: Global<u8> = Global::new();

fn one_that_panics_in_the_template(context: Context) -> Outcome {
    let build = |_: u32| {
        assert!(!in_template(), "not here");
        9
    };
    let _failures = nobody_is_worse_off(context, Context::process, &PANICS, build)?;
    let child = context.process().start((), |()| told(PANICS.get()).copied())?;
    assert_eq!(child.join()??, 9, "a child makes it itself");
    Ok(())
}

static THREADED: Global<u8> = Global::new();

fn one_that_leaves_a_thread(context: Context) -> Outcome {
    let build = |_: u32| {
        if in_template() {
            std::thread::spawn(|| harness::sleep_for_ever());
        }
        9
    };
    let _failures = nobody_is_worse_off(context, Context::process, &THREADED, build)?;
    let child = context.process().start((), |()| told(THREADED.get()).copied())?;
    assert_eq!(child.join()??, 9, "a child makes it itself");
    Ok(())
}

static DEADLY: Global<u8> = Global::new();

fn one_that_ends_the_template(context: Context) -> Outcome {
    let build = |_: u32| {
        if in_template() {
            std::process::abort();
        }
        9
    };
    let _failures = nobody_is_worse_off(context, Context::process, &DEADLY, build)?;
    let child = context.process().start((), |()| told(DEADLY.get()).copied())?;
    assert_eq!(child.join()??, 9, "a child makes it itself");
    Ok(())
}

static ENDLESS: Global<u8> = Global::new();

fn one_that_never_ends(context: Context) -> Outcome {
    let build = |_: u32| {
        if in_template() {
            harness::spin_for_ever();
        }
        9
    };
    // Long enough for everything else.
    let process = |context: Context| context.process().start_timeout(Duration::from_secs(4));
    let _failures = nobody_is_worse_off(context, process, &ENDLESS, build)?;
    let child = context.process().start((), |()| told(ENDLESS.get()).copied())?;
    assert_eq!(child.join()??, 9, "a child makes it itself");
    Ok(())
}
