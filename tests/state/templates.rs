//! The template of a pool makes what its workers inherit.

use std::collections::BTreeSet;
use std::time::Duration;

use offspring::{Context, ErrorKind, Global, Shared};

use crate::harness::{self, Case, Outcome};
use crate::{cases, told};

pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    made_once_and_inherited,
    made_in_the_surroundings_of_the_workers,
];
pub(super) const TEMPLATES: &[Case] = cases![on &[Context::ForkServer] =>
    a_builder_that_leaves_a_thread,
    a_builder_that_ends_the_template,
    a_builder_that_takes_longer_than_a_start,
];

/// Who made it.
static MAKER: Global<u32> = Global::new();

fn maker(_: ()) -> u32 {
    std::process::id()
}

fn made_once_and_inherited(context: Context) -> Outcome {
    MAKER.set((), maker)?;
    let object = Shared::new((), maker)?;
    let pool = context.pool().workers(2).init(object, |object: Shared<u32>| object).build()?;
    let (mut makers, mut workers) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2 {
        let all = pool.broadcast((), |object, ()| {
            Ok::<_, String>((*told(MAKER.get())?, *told(object.get())?, std::process::id()))
        })?;
        for one in all {
            let (global, shared, own) = one??;
            match context {
                Context::Spawn => assert_eq!((global, shared), (own, own), "each for itself"),
                Context::Fork => assert_eq!(global, std::process::id(), "here"),
                _ => assert!(global != own && global != std::process::id(), "in the template"),
            }
            assert_eq!(global, shared);
            makers.insert(global);
            assert!(workers.insert(own), "one of the first is still there");
        }
        // Those that replace others inherit the same.
        pool.recycle();
    }
    assert_eq!(workers.len(), 4);
    assert_eq!(makers.len(), if context == Context::Spawn { 4 } else { 1 }, "{makers:?}");
    pool.shutdown()?;
    Ok(())
}

static VARIABLE: Global<String> = Global::new();

fn variable(parent: u32) -> String {
    let here = if parent == std::process::id() { "parent" } else { "child" };
    format!("{here}: {}", std::env::var("OFFSPRING_TEST_VARIABLE").unwrap_or_default())
}

fn made_in_the_surroundings_of_the_workers(context: Context) -> Outcome {
    VARIABLE.set(std::process::id(), variable)?;
    let pool = context.pool().workers(1).env("OFFSPRING_TEST_VARIABLE", "set").build()?;
    let found = pool.submit((), |(), ()| told(VARIABLE.get()).cloned())?.join()??;
    assert_eq!(found, if context == Context::Fork { "parent: " } else { "child: set" });
    pool.shutdown()?;
    Ok(())
}

static THREADED: Global<u8> = Global::new();

fn leave_a_thread(parent: u32) -> u8 {
    if parent != std::process::id() {
        std::thread::spawn(|| harness::sleep_for_ever());
    }
    7
}

/// The guard is asked again, and the error names the builder's object.
fn a_builder_that_leaves_a_thread(context: Context) -> Outcome {
    let before = context.pool().workers(1).build()?;
    before.submit((), |(), ()| ())?.join()?;
    THREADED.set(std::process::id(), leave_a_thread)?;
    let pool = context.pool().workers(1).build()?;
    let text = match pool.submit((), |(), ()| ()) {
        Ok(task) => task.join().expect_err("it cannot be forked").to_string(),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("left a thread running") && text.contains("u8"), "{text}");
    drop(pool);
    // Nobody else has to do with it.
    assert_eq!(before.submit(5, |(), n: u8| n)?.join()?, 5);
    before.shutdown()?;
    assert_eq!(context.process().start(5, |n: u8| n)?.join()?, 5);
    let spawned = Context::Spawn.pool().workers(1).build()?;
    let found = spawned.submit((), |(), ()| told(THREADED.get()).copied())?.join()??;
    assert_eq!(found, 7);
    spawned.shutdown()?;
    Ok(())
}

static DEADLY: Global<u8> = Global::new();

fn abort(parent: u32) -> u8 {
    if parent != std::process::id() {
        std::process::abort();
    }
    7
}

fn a_builder_that_ends_the_template(context: Context) -> Outcome {
    let before = context.pool().workers(1).build()?;
    DEADLY.set(std::process::id(), abort)?;
    let pool = context.pool().workers(2).build()?;
    let kind = match pool.submit((), |(), ()| ()) {
        Ok(task) => task.join().expect_err("nobody can run it").kind(),
        Err(error) => error.kind(),
    };
    assert_eq!(kind, ErrorKind::Died);
    drop(pool);
    assert_eq!(before.submit(5, |(), n: u8| n)?.join()?, 5);
    before.shutdown()?;
    assert_eq!(context.process().start(5, |n: u8| n)?.join()?, 5);
    Ok(())
}

static SLOW: Global<u8> = Global::new();

fn slow(parent: u32) -> u8 {
    if parent != std::process::id() {
        // Longer than the limit for a start, which is about something else.
        std::thread::sleep(Duration::from_secs(4));
    }
    7
}

fn a_builder_that_takes_longer_than_a_start(context: Context) -> Outcome {
    SLOW.set(std::process::id(), slow)?;
    let pool = context.pool().workers(2).start_timeout(Duration::from_secs(3)).build()?;
    for found in pool.broadcast((), |(), ()| told(SLOW.get()).copied())? {
        assert_eq!(found??, 7);
    }
    pool.shutdown()?;
    Ok(())
}
