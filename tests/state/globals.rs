//! Globals: set once, found in every child.

use std::path::PathBuf;

use offspring::{Context, ErrorKind, Global};
use serde::{Deserialize, Serialize};

use crate::harness::{self, Case, Outcome};
use crate::{Recipe, Table, Told, cases, encoded, made, made_in_child, told};

pub(super) const CASES: &[Case] = cases![
    a_process_finds_what_was_set,
    workers_find_what_was_set,
    it_is_made_when_it_is_asked_for,
    it_is_set_once,
    what_was_never_set_is_an_error_that_names_it,
    an_implementation_is_chosen_at_run_time,
    two_globals_of_the_same_type_are_two,
    a_builder_that_fails_sets_nothing,
    grandchildren_find_it_too,
    a_builder_that_asks_for_itself_is_told,
];
pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    set_too_late_is_an_error_and_not_an_old_value,
    a_specification_that_cannot_be_encoded,
    a_builder_that_panics_in_the_child,
];

static TABLE: Global<Table> = Global::new();
static OTHER: Global<Table> = Global::new();

fn apply(n: u64) -> Told<(u64, u32)> {
    let table = told(TABLE.get())?;
    Ok((table.apply(n), made()))
}

/// AC1, AC2, AC8, AC10, AC15, AC19.
fn a_process_finds_what_was_set(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 3 }, Table::make)?;
    assert_eq!(encoded(), 0, "nobody needs it encoded");
    for n in 0..3 {
        let child = context.process().start(n, apply)?;
        assert_eq!(child.join()?, Ok((3 * n, made_in_child(context))));
    }
    let wanted = u32::from(!context.inherits_memory() && context.is_isolated());
    assert_eq!(encoded(), wanted, "encoded once, and only where it is sent");
    Ok(())
}

/// AC8, AC14: once in each worker, not for each task.
fn workers_find_what_was_set(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 5 }, Table::make)?;
    let pool = context.pool().workers(2).build()?;
    for (n, answer) in (0..500u64).zip(pool.map(0..500u64, |(), n| apply(n))) {
        assert_eq!(answer??, (5 * n, made_in_child(context)), "task {n}");
    }
    // One that replaces another knows it, too.
    pool.recycle();
    for answer in pool.broadcast(7, |(), n| apply(n))? {
        assert_eq!(answer??, (35, made_in_child(context)));
    }
    pool.shutdown()?;
    let wanted = u32::from(!context.inherits_memory() && context.is_isolated());
    assert_eq!(encoded(), wanted);
    Ok(())
}

/// AC23: by spawn each process makes it, and not before; else it was there.
fn it_is_made_when_it_is_asked_for(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 3 }, Table::make)?;
    let before = if context == Context::Spawn { 0 } else { made_in_child(context) };
    let child = context.process().start(7, |n| (made(), apply(n)))?;
    assert_eq!(child.join()?, (before, Ok((21, made_in_child(context)))));
    let pool = context.pool().workers(1).build()?;
    assert_eq!(pool.submit((), |(), ()| made())?.join()?, before, "nobody has asked for it");
    assert_eq!(pool.submit(7, |(), n| apply(n))?.join()?, Ok((21, made_in_child(context))));
    assert_eq!(pool.submit((), |(), ()| made())?.join()?, made_in_child(context), "once");
    Ok(())
}

/// AC6, AC18.
fn it_is_set_once(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 1 }, Table::make)?;
    let error = TABLE.set(Recipe { factor: 2 }, Table::make).expect_err("set twice");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("tests/state/globals.rs"), "{error}");
    assert_eq!(made(), 1, "the builder of the second did not run");
    let child = context.process().start((), |()| {
        TABLE.set(Recipe { factor: 2 }, Table::make).map_err(|error| error.to_string())
    })?;
    let error = child.join()?.expect_err("set in the child, too");
    assert!(error.contains("set already"), "{error}");
    Ok(())
}

fn what_was_never_set_is_an_error_that_names_it(context: Context) -> Outcome {
    let error = TABLE.get().err().ok_or("it was never set")?;
    assert_eq!(error.kind(), ErrorKind::Unset);
    let child = context.process().start((), |()| told(TABLE.get().map(|_| ())))?;
    for text in [error.to_string(), child.join()?.expect_err("it was never set")] {
        assert!(text.contains("Table") && text.contains("globals.rs"), "{text}");
        assert!(text.contains("set it before"), "{text}");
    }
    Ok(())
}

/// AC6, AC17: the worker is older.
fn set_too_late_is_an_error_and_not_an_old_value(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    pool.submit((), |(), ()| ())?.join()?;
    TABLE.set(Recipe { factor: 3 }, Table::make)?;
    for _ in 0..2 {
        let text = pool.submit(1, |(), n| apply(n))?.join()?.expect_err("set too late");
        assert!(text.contains("Table") && text.contains("before"), "{text}");
        // One that replaces it is as old as the pool.
        pool.recycle();
    }
    pool.shutdown()?;
    let child = context.process().start(1, apply)?;
    assert_eq!(child.join()?, Ok((3, made_in_child(context))), "a process that is younger");
    Ok(())
}

trait Classifier: Send + Sync {
    fn classify(&self, text: &str) -> String;
}

struct ByLength(usize);
struct ByStart(PathBuf);

impl Classifier for ByLength {
    fn classify(&self, text: &str) -> String {
        if text.len() > self.0 { "long".into() } else { "short".into() }
    }
}

impl Classifier for ByStart {
    fn classify(&self, text: &str) -> String {
        text.starts_with(&*self.0.to_string_lossy()).to_string()
    }
}

#[derive(Clone, Serialize, Deserialize)]
enum Choice {
    Length(usize),
    Start(PathBuf),
}

/// One for each choice, because a global is set once.
static FIRST: Global<Box<dyn Classifier>> = Global::new();
static SECOND: Global<Box<dyn Classifier>> = Global::new();

fn choose(choice: Choice) -> Box<dyn Classifier> {
    match choice {
        Choice::Length(length) => Box::new(ByLength(length)),
        Choice::Start(start) => Box::new(ByStart(start)),
    }
}

/// AC12, AC13.
fn an_implementation_is_chosen_at_run_time(context: Context) -> Outcome {
    FIRST.set(Choice::Length(4), choose)?;
    SECOND.set(Choice::Start("/usr".into()), choose)?;
    // The same task for both.
    let classify = |(first, text): (bool, String)| {
        let classifier = told(if first { FIRST.get() } else { SECOND.get() })?;
        Ok::<_, String>(classifier.classify(&text))
    };
    for (first, text, expected) in [
        (true, "/usr/lib", "long"),
        (true, "/usr", "short"),
        (false, "/usr/lib", "true"),
        (false, "/etc", "false"),
    ] {
        for answer in context.map(vec![(first, text.to_owned()); 3], classify)? {
            assert_eq!(answer??, expected, "{text}, by the first: {first}");
        }
    }
    Ok(())
}

/// AC12.
fn two_globals_of_the_same_type_are_two(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 10 }, Table::make)?;
    OTHER.set(Recipe { factor: 100 }, Table::make)?;
    let child = context.process().start(1, |n| {
        let both = (TABLE.get(), OTHER.get());
        match both {
            (Ok(one), Ok(other)) => Ok((one.apply(n), other.apply(n))),
            (one, other) => Err(format!("{:?} {:?}", one.err(), other.err())),
        }
    })?;
    assert_eq!(child.join()?, Ok((10, 100)));
    Ok(())
}

fn a_builder_that_fails_sets_nothing(context: Context) -> Outcome {
    let fail = |_: Recipe| Err::<Table, _>("no such table");
    let error = TABLE.try_set(Recipe { factor: 1 }, fail).expect_err("it fails");
    assert_eq!(error.kind(), ErrorKind::Init);
    assert!(error.to_string().contains("no such table"), "{error}");
    TABLE.try_set(Recipe { factor: 2 }, |recipe| Ok::<_, String>(Table::make(recipe)))?;
    let child = context.process().start(4, apply)?;
    assert_eq!(child.join()?, Ok((8, made_in_child(context))));
    Ok(())
}

/// What a child was told it passes on, whether it has made the object or not.
fn grandchildren_find_it_too(context: Context) -> Outcome {
    TABLE.set(Recipe { factor: 6 }, Table::make)?;
    for first in [false, true] {
        let child = context.process().start((context, first), |(context, first)| {
            if first {
                apply(1)?;
            }
            let context = harness::in_a_child(context);
            let inner = told(context.process().start(7, apply))?;
            let outer = told(inner.join())?;
            let pool = told(context.pool().workers(1).build())?;
            let inner = told(pool.submit(8, |(), n| apply(n)))?.join();
            Ok::<_, String>((outer?.0, inner.map_err(|error| error.to_string())??.0))
        })?;
        assert_eq!(child.join()?, Ok((42, 48)), "made in between: {first}");
    }
    Ok(())
}

#[derive(Clone, Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it does not want to"))
    }
}

fn a_specification_that_cannot_be_encoded(context: Context) -> Outcome {
    TABLE.set(Stubborn, |_| Table::make(Recipe { factor: 2 }))?;
    let started = context.process().start(1, apply);
    if context == Context::Fork {
        assert_eq!(started?.join()?, Ok((2, 1)), "nothing has to be encoded");
        return Ok(());
    }
    let error = started.err().ok_or("it cannot be encoded")?;
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    let text = error.to_string();
    assert!(text.contains("Table") && text.contains("does not want"), "{text}");
    let error = context.pool().build().err().ok_or("it cannot be encoded")?;
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    Ok(())
}

fn a_builder_that_panics_in_the_child(context: Context) -> Outcome {
    let parent = std::process::id();
    let build = |parent: u32| {
        assert_eq!(parent, std::process::id(), "only in the parent");
        Table::make(Recipe { factor: 2 })
    };
    TABLE.set(parent, build)?;
    let pool = context.pool().workers(1).build()?;
    for n in 0..2 {
        let task = pool.submit(n, |(), n| apply(n));
        if context == Context::ForkServer {
            // The template panics, from which workers were to inherit it.
            let text = match task {
                Ok(task) => task.join().expect_err("it panics").to_string(),
                Err(error) => error.to_string(),
            };
            assert!(text.contains("only in the parent") && text.contains("Table"), "{text}");
            continue;
        }
        let answer = task?.join()?;
        if context == Context::Fork {
            assert_eq!(answer, Ok((2 * n, 1)), "nothing has to be made");
        } else {
            let text = answer.expect_err("it panics");
            assert!(text.contains("only in the parent") && text.contains("Table"), "{text}");
        }
    }
    assert_eq!(pool.shutdown().is_ok(), context != Context::ForkServer);
    // A process makes it itself.
    let answer = context.process().start(1, apply)?.join()?;
    assert_eq!(answer.is_ok(), context == Context::Fork, "{answer:?}");
    Ok(())
}

static KNOT: Global<String> = Global::new();

fn a_builder_that_asks_for_itself_is_told(context: Context) -> Outcome {
    KNOT.set(0, |_: u8| match KNOT.get() {
        Ok(text) => text.clone(),
        Err(error) => error.to_string(),
    })?;
    assert!(KNOT.get()?.contains("was not set"), "{:?}", KNOT.get());
    let child = context.process().start((), |()| told(KNOT.get()).cloned())?;
    let text = child.join()??;
    let wanted = if context.inherits_memory() || !context.is_isolated() {
        "was not set"
    } else {
        "asks for it"
    };
    assert!(text.contains(wanted), "{text}");
    Ok(())
}
