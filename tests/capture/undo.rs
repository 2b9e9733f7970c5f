//! What was set is undone after the task, in the reverse order, and the next one does not see it.

use offspring::Context;

use crate::harness::Outcome;
use crate::{capture_level, events, level, note, set_level};

/// AC44.
#[offspring::test]
fn nothing_is_left_for_tasks_without(context: Context) -> Outcome {
    set_level(1);
    let pool = context.pool().workers(1).build()?;
    let usual = pool.submit((), |_: &mut (), ()| (std::process::id(), level()))?.join()?;
    let guard = capture_level();
    if context != Context::Inline {
        // There, what is here is there.
        set_level(2);
    }
    let with = pool.submit((), |_: &mut (), ()| (std::process::id(), level()))?.join()?;
    drop(guard);
    let after = pool.submit((), |_: &mut (), ()| (std::process::id(), level()))?.join()?;
    assert_eq!(usual, after, "the same worker, with its own level");
    assert_eq!(with, (usual.0, level()));
    Ok(())
}

/// AC44, AC47.
#[offspring::test]
fn what_a_task_changes_is_undone(context: Context) -> Outcome {
    set_level(3);
    let pool = context.pool().workers(1).build()?;
    let _guard = capture_level();
    let found = pool.map(0..4, |_: &mut (), n: i64| {
        let found = level();
        set_level(100 + n);
        found
    });
    assert_eq!(found.collect::<Result<Vec<_>, _>>()?, [3; 4]);
    assert_eq!(level(), 3, "here nothing was changed");
    Ok(())
}

/// Notes when it is dropped.
struct Noted(&'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        note(format!("undo {}", self.0));
    }
}

/// AC45.
#[offspring::test]
fn several_in_order_and_back(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let _one = offspring::capture(
        "one",
        || 1,
        |n: i32| {
            note(format!("set one {n}"));
            Noted("one")
        },
    )?;
    let _two = offspring::capture(
        "two",
        || "b".to_owned(),
        |text: String| {
            note(format!("set two {text}"));
            Noted("two")
        },
    )?;
    let _three = offspring::capture(
        "three",
        || (),
        |()| {
            note("set three");
            Noted("three")
        },
    )?;
    pool.submit((), |_: &mut (), ()| note("run"))?.join()?;
    let events = pool.submit((), |_: &mut (), ()| events())?.join()?;
    let once = ["set one 1", "set two b", "set three"];
    let back = ["undo three", "undo two", "undo one"];
    let expected: Vec<_> = once.iter().chain(&["run"]).chain(&back).chain(&once).collect();
    assert_eq!(events.iter().collect::<Vec<_>>(), expected);
    Ok(())
}

/// AC44.
#[offspring::test]
fn undone_after_a_panic(context: Context) -> Outcome {
    set_level(0);
    let pool = context.pool().workers(1).build()?;
    let guard = capture_level();
    if context != Context::Inline {
        set_level(5);
    }
    let before = level();
    let found = pool.submit((), |_: &mut (), ()| -> i64 {
        let found = level();
        set_level(8);
        panic!("at {found}")
    });
    let found = found?.join();
    assert_eq!(level(), before, "here nothing has changed");
    let error = found.unwrap_err();
    assert_eq!(error.panic().map(|panic| panic.message().to_owned()), Some(format!("at {before}")));
    drop(guard);
    assert_eq!(pool.submit((), |_: &mut (), ()| level())?.join()?, 0);
    Ok(())
}

/// AC45: the first of two goes, the second stays.
#[offspring::test]
fn undone_while_others_stay(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let level_guard = capture_level();
    let _noted = offspring::capture("noted", || 9, |n: i32| note(format!("set {n}")))?;
    set_level(if context == Context::Inline { 0 } else { 8 });
    pool.submit((), |_: &mut (), ()| note(level().to_string()))?.join()?;
    drop(level_guard);
    let events = pool.submit((), |_: &mut (), ()| {
        note(level().to_string());
        events()
    });
    let first = level().to_string();
    assert_eq!(events?.join()?, ["set 9", first.as_str(), "set 9", "0"]);
    Ok(())
}
