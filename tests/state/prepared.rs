//! The template of single processes by fork server makes globals once, and nobody is worse off when it cannot.

use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::time::Duration;

use offspring::{Context, Global, Process};

use crate::harness::props::{Scratch, wait_for};
use crate::harness::{self, Case, Outcome, eventually, leaks};
use crate::{Told, cases, told};

pub(super) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    five_children_inherit_what_was_made_once,
    what_is_set_later_is_made_in_another_template,
    the_child_that_waits_has_it_too,
    children_with_surroundings_of_their_own_make_their_own,
    one_that_panics_in_the_template,
    one_that_leaves_a_thread,
    one_that_ends_the_template,
    one_that_never_ends,
    a_template_that_is_killed,
];

/// Where builders write down in which process they ran: all processes of a case have one such place.
fn log() -> PathBuf {
    std::env::temp_dir().join("made")
}

fn note() {
    let mut file = std::fs::File::options().create(true).append(true).open(log()).expect("a log");
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).expect("there is room");
}

/// The processes in which builders ran, but this one.
fn makers() -> Vec<u32> {
    let text = std::fs::read_to_string(log()).unwrap_or_default();
    let all = text.lines().map(|line| line.parse().expect("a number"));
    all.filter(|pid| *pid != std::process::id()).collect()
}

fn forget() -> Outcome {
    Ok(std::fs::remove_file(log())?)
}

static NUMBER: Global<u64> = Global::new();
static LATER: Global<u64> = Global::new();

fn number(n: u64) -> u64 {
    note();
    n
}

/// What the child finds, and whose child it is.
fn look(_: ()) -> Told<(u64, u32)> {
    Ok((*told(NUMBER.get())?, parent_id()))
}

fn five_children_inherit_what_was_made_once(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    let mut templates = Vec::new();
    for _ in 0..5 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        templates.push(template);
    }
    assert_eq!(makers(), [templates[0]], "made once, in the template");
    assert!(templates.iter().all(|template| *template == templates[0]), "{templates:?}");
    forget()
}

fn what_is_set_later_is_made_in_another_template(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    let gate = Scratch::new("gate");
    let early = context.process().start(gate.path(), |gate: PathBuf| {
        wait_for(&gate);
        // This one is older than the other global.
        (parent_id(), told(NUMBER.get()).copied(), told(LATER.get()).is_err())
    })?;
    LATER.set(8, number)?;
    let both = |()| -> Told<_> { Ok((*told(NUMBER.get())?, *told(LATER.get())?, parent_id())) };
    let mut templates = Vec::new();
    for _ in 0..3 {
        let (one, other, template) = context.process().start((), both)?.join()??;
        assert_eq!((one, other), (7, 8));
        templates.push(template);
    }
    templates.dedup();
    gate.open();
    let (first, found, unset) = early.join()?;
    assert_eq!((found, unset), (Ok(7), true), "its template is the one it came from");
    let [second] = templates[..] else { panic!("{templates:?}") };
    assert_ne!(first, second);
    assert_eq!(makers(), [first, second, second], "once for each template");
    eventually("the first ends with its last child", || !leaks::is_alive(first));
    forget()
}

/// One that was forked ahead, before there was a global, is not given to somebody who needs it.
fn the_child_that_waits_has_it_too(context: Context) -> Outcome {
    let plain = context.process().start((), |()| parent_id())?.join()?;
    NUMBER.set(7, number)?;
    for round in 0..3 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        assert_ne!(template, plain, "round {round}");
    }
    assert_eq!(makers().len(), 1);
    forget()
}

static VARIABLE: Global<String> = Global::new();

fn variable((): ()) -> String {
    note();
    std::env::var("OFFSPRING_TEST_VARIABLE").unwrap_or_default()
}

fn children_with_surroundings_of_their_own_make_their_own(context: Context) -> Outcome {
    VARIABLE.set((), variable)?;
    let find = |()| told(VARIABLE.get()).cloned();
    assert_eq!(context.process().start((), find)?.join()??, "");
    for value in ["one", "two"] {
        let process = context.process().env("OFFSPRING_TEST_VARIABLE", value);
        assert_eq!(process.start((), find)?.join()??, value);
    }
    let process = context.process().current_dir("/");
    assert_eq!(process.start((), find)?.join()??, "");
    assert_eq!(makers().len(), 4, "the template and three children");
    forget()
}

/// A builder that only its maker and single children can run.
fn in_template() -> bool {
    let name = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
    name.trim_end() == "offspring-state"
}

/// Others start before, at the time, and after; children make what the template could not, and each global
/// that it can make it does.
fn nobody_is_worse_off(
    context: Context,
    process: fn(Context) -> offspring::ProcessBuilder,
    bad: &'static Global<u8>,
    build: impl Fn(u32) -> u8 + Copy + 'static,
) -> Outcome {
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
    let makers = makers();
    assert!((2..=3).contains(&makers.len()), "{makers:?}");
    gate.open();
    assert_eq!(early.join()??, 7);
    forget()
}

static PANICS: Global<u8> = Global::new();

fn one_that_panics_in_the_template(context: Context) -> Outcome {
    let build = |_: u32| {
        assert!(!in_template(), "not here");
        9
    };
    nobody_is_worse_off(context, Context::process, &PANICS, build)?;
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
    nobody_is_worse_off(context, Context::process, &THREADED, build)?;
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
    nobody_is_worse_off(context, Context::process, &DEADLY, build)?;
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
    nobody_is_worse_off(context, process, &ENDLESS, build)?;
    let child = context.process().start((), |()| told(ENDLESS.get()).copied())?;
    assert_eq!(child.join()??, 9, "a child makes it itself");
    Ok(())
}

fn a_template_that_is_killed(context: Context) -> Outcome {
    NUMBER.set(7, number)?;
    for round in 1..=3 {
        let (found, template) = context.process().start((), look)?.join()??;
        assert_eq!(found, 7);
        let last = makers();
        assert_eq!((last.len(), last.last()), (round, Some(&template)), "a new one made it");
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(i32::try_from(template)?, libc::SIGKILL) }, 0);
        eventually("it is gone", || !leaks::is_alive(template));
    }
    assert!(Path::new(&log()).exists());
    forget()
}
