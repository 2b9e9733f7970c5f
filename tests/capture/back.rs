//! What tasks bring back beside their results: in order, also from those that fail.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use offspring::{CaptureGuard, Context, ErrorKind};

use crate::harness::Outcome;
use crate::harness::props::{Scratch, wait_for};
use crate::{events, note};

type Merged = Arc<Mutex<Vec<String>>>;

/// Brings back the events of each task.
fn bring_events() -> (CaptureGuard, Merged) {
    let merged = Merged::default();
    let into = merged.clone();
    let guard = offspring::capture("events", || (), |()| drop(events()))
        .and_then(|guard| {
            let merge = move |found: Vec<String>| into.lock().unwrap().extend(found);
            guard.bring_back(events, merge)
        })
        .expect("the name is free");
    (guard, merged)
}

fn taken(merged: &Merged) -> Vec<String> {
    std::mem::take(&mut merged.lock().unwrap())
}

/// AC46: merged when a result is handed out, and not before.
#[offspring::test]
fn in_the_order_of_the_inputs(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(3).build()?;
    let results = pool.map(0..500u32, |_: &mut (), n| {
        note(n.to_string());
        n
    });
    for (n, result) in (0..).zip(results) {
        assert_eq!(result?, n);
        assert_eq!(taken(&merged), [n.to_string()]);
    }
    Ok(())
}

#[offspring::test]
fn unordered_maps_as_results_are_handed_out(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(3).build()?;
    let results = pool.map_unordered(0..200u32, |_: &mut (), n| {
        note(n.to_string());
        n
    });
    for result in results {
        let n = result?;
        assert_eq!(taken(&merged), [n.to_string()]);
    }
    Ok(())
}

#[offspring::test]
fn of_processes_and_tasks_when_they_are_joined(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let mut child = context.process().start((), |()| note("process"))?;
    while child.join_timeout(std::time::Duration::from_secs(1))?.is_none() {}
    assert_eq!(taken(&merged), ["process"]);
    let pool = context.pool().workers(2).build()?;
    let tasks: Vec<_> = (0..10u32)
        .map(|n| pool.submit(n, |_: &mut (), n| note(n.to_string())))
        .collect::<Result<_, _>>()?;
    for (n, task) in (0..10).zip(tasks).rev().collect::<Vec<_>>() {
        task.join()?;
        assert_eq!(taken(&merged), [n.to_string()]);
    }
    for found in pool.broadcast((), |_: &mut (), ()| note("broadcast"))? {
        found?;
    }
    let workers = if context == Context::Inline { 1 } else { 2 };
    assert_eq!(taken(&merged), vec!["broadcast"; workers]);
    Ok(())
}

/// The first worker has its outcome last.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn of_a_broadcast_in_the_order_of_the_workers(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    pool.ready(std::time::Duration::MAX)?;
    let done = Scratch::new("done");
    let task = |_: &mut (), done: PathBuf| {
        let index = offspring::worker().expect("it is in one").index();
        note(index.to_string());
        if index == 0 {
            wait_for(&done);
        }
        index
    };
    // Made here and not by a task: only when the other outcome has arrived is the order certain.
    let made = std::thread::scope(|scope| -> offspring::Result<Vec<usize>> {
        let results = scope.spawn(|| pool.broadcast(done.path(), task));
        crate::harness::eventually("one is done", || pool.stats().tasks_done == 1);
        done.open();
        let results = results.join().expect("no panic")?;
        Ok(results.into_iter().map(|found| found.expect("nothing fails")).collect())
    })?;
    assert_eq!(made, [0, 1]);
    assert_eq!(taken(&merged), ["0", "1"]);
    Ok(())
}

/// Both ways: through the ring, and over the socket.
#[offspring::test]
fn small_and_large(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    let sizes = [0, 10, 5_000, 32_000, 33_000, 200_000, 3_000_000];
    let pairs: Vec<(usize, usize)> =
        sizes.iter().flat_map(|data| sizes.iter().map(|result| (*data, *result))).collect();
    let results = pool.map(pairs.clone(), |_: &mut (), (data, result)| {
        note("x".repeat(data));
        "y".repeat(result)
    });
    for (result, (data, length)) in results.zip(pairs) {
        assert_eq!(result?.len(), length);
        let found: Vec<_> = taken(&merged).iter().map(String::len).collect();
        assert_eq!(found, [data], "with a result of {length} bytes");
    }
    Ok(())
}

/// AC46.
#[offspring::test]
fn of_tasks_that_fail(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..60u32, |_: &mut (), n| {
        note(n.to_string());
        match n % 3 {
            0 => Ok(n),
            1 => Err(format!("no {n}")),
            _ => panic!("at {n}"),
        }
    });
    for (n, result) in (0..).zip(results) {
        match n % 3 {
            0 => assert_eq!(result?, Ok(n)),
            1 => assert_eq!(result?, Err(format!("no {n}"))),
            _ => assert_eq!(result.unwrap_err().kind(), ErrorKind::Panicked),
        }
        assert_eq!(taken(&merged), [n.to_string()]);
    }
    let child = context.process().start((), |()| -> () {
        note("before the end");
        panic!("the end")
    })?;
    assert_eq!(child.join().unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(taken(&merged), ["before the end"]);
    Ok(())
}

/// What is brought to a process that runs a task itself goes up with that task.
#[offspring::test]
fn of_tasks_of_tasks(context: Context) -> Outcome {
    if context == Context::Inline {
        // There all notes are those of one process.
        return Ok(());
    }
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..6u32, |_: &mut (), n| {
        let inner = Context::Spawn.pool().workers(2).build().unwrap();
        let below = inner.map(0..3u32, |_: &mut (), m| note(format!("below {m}")));
        assert_eq!(below.filter(Result::is_ok).count(), 3);
        note(format!("above {n}"));
    });
    for (n, result) in (0..).zip(results) {
        result?;
        let above = format!("above {n}");
        assert_eq!(taken(&merged), ["below 0", "below 1", "below 2", above.as_str()]);
    }
    Ok(())
}

/// Encodes as a number, and decodes only from a text.
struct OneWay;

impl serde::Serialize for OneWay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> serde::Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

#[offspring::test]
fn data_that_cannot_be_brought(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let register = || offspring::capture("back", || (), |()| ());
    let fails = |what: &str| -> Outcome {
        let error = pool.submit((), |_: &mut (), ()| 1)?.join().unwrap_err();
        assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("back")), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        let error = pool.map(0..1, |_: &mut (), n| n).next().map(Result::unwrap_err);
        let error = error.expect("it has one item");
        assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("back")), "{error}");
        let error = context.process().start((), |()| 1)?.join().unwrap_err();
        assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("back")), "{error}");
        Ok(())
    };
    let guard = register()?.bring_back(|| OneWay, |_: OneWay| ())?;
    fails("OneWay")?;
    drop(guard);
    let guard = register()?.bring_back(|| -> i32 { panic!("in collect") }, |_: i32| ())?;
    fails("in collect")?;
    drop(guard);
    let shared = || offspring::SharedSlice::from_slice(&[1u8]).unwrap();
    let guard = register()?.bring_back(shared, |_: offspring::SharedSlice<u8>| ())?;
    fails("descriptor")?;
    drop(guard);
    assert_eq!(pool.submit((), |_: &mut (), ()| 1)?.join()?, 1);
    Ok(())
}

#[offspring::test]
fn a_merge_that_panics(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let guard = offspring::capture("back", || (), |()| ())?;
    let _guard = guard.bring_back(|| 1, |_: i32| panic!("in merge"))?;
    let mut results = pool.map(0..3, |_: &mut (), n: i32| n);
    for _ in 0..3 {
        let next = std::panic::AssertUnwindSafe(|| results.next());
        let panic = std::panic::catch_unwind(next).map(|_| ()).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in merge"));
    }
    assert!(results.next().is_none());
    Ok(())
}

/// One that fails takes nothing from the others, before it and behind it.
#[offspring::test]
fn a_merge_that_fails_beside_others(context: Context) -> Outcome {
    let merged = Arc::new(Mutex::new(Vec::new()));
    let register = |name: &'static str| -> Result<_, offspring::Error> {
        let merged = merged.clone();
        offspring::capture(name, || (), |()| ())?.bring_back(
            || 7,
            move |n: i32| merged.lock().expect("nobody panics there").push((name, n)),
        )
    };
    let pool = context.pool().workers(1).build()?;
    for panics in [true, false] {
        let _before = register("before")?;
        let bad = offspring::capture("bad", || (), |()| ())?;
        let _bad = match panics {
            true => bad.bring_back(|| 1, |_: i32| panic!("in merge"))?,
            false => bad.bring_back(|| OneWay, |_: OneWay| ())?,
        };
        let _behind = register("behind")?;
        let mut results = pool.map(0..1, |_: &mut (), n: i32| n);
        let next = std::panic::AssertUnwindSafe(|| results.next());
        match std::panic::catch_unwind(next) {
            Ok(Some(Err(error))) if !panics => assert_eq!(error.capture(), Some("bad"), "{error}"),
            Err(panic) if panics => {
                assert_eq!(panic.downcast_ref::<&str>(), Some(&"in merge"));
            }
            other => panic!("panics: {panics}, but {other:?}"),
        }
        let merged = std::mem::take(&mut *merged.lock().expect("nobody panics there"));
        assert_eq!(merged, [("before", 7), ("behind", 7)], "panics: {panics}");
    }
    Ok(())
}

#[offspring::test]
fn a_map_dropped_early_merges_what_was_handed_out(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    let mut results = pool.map(0u32.., |_: &mut (), n| note(n.to_string()));
    for _ in 0..3 {
        results.next().expect("it has no end")?;
    }
    drop(results);
    assert_eq!(taken(&merged), ["0", "1", "2"]);
    Ok(())
}

/// AC41: what counts is when a task was submitted.
#[offspring::test]
fn queued_tasks_bring_back_after_the_guard_has_gone(context: Context) -> Outcome {
    let (guard, merged) = bring_events();
    let pool = context.pool().workers(1).build()?;
    let tasks: Vec<_> = (0..100u32)
        .map(|n| pool.submit(n, |_: &mut (), n| note(n.to_string())))
        .collect::<Result<_, _>>()?;
    drop(guard);
    for task in tasks {
        task.join()?;
    }
    let expected: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
    assert_eq!(taken(&merged), expected);
    pool.submit((), |_: &mut (), ()| note("later"))?.join()?;
    assert!(taken(&merged).is_empty(), "that one was submitted without");
    Ok(())
}

/// AC45.
#[offspring::test]
fn several_captures_bring_back_in_order(context: Context) -> Outcome {
    let merged = Merged::default();
    let (one, two) = (merged.clone(), merged.clone());
    let _one = offspring::capture("one", || (), |()| ())?
        .bring_back(|| "one".to_owned(), move |text| one.lock().unwrap().push(text))?;
    let _between = offspring::capture("between", || 1, |_: i32| ())?;
    let _two = offspring::capture("two", || (), |()| ())?
        .bring_back(|| 2, move |n: i32| two.lock().unwrap().push(n.to_string()))?;
    context.process().start((), |()| ())?.join()?;
    assert_eq!(taken(&merged), ["one", "2"]);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn killed_tasks_bring_nothing(context: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let pool = context.pool().workers(2).build()?;
    let results = pool.map(0..30u32, |_: &mut (), n| {
        note(n.to_string());
        if n % 10 == 4 {
            std::process::abort();
        }
    });
    for (n, result) in (0..).zip(results) {
        assert_eq!(result.is_ok(), n % 10 != 4, "item {n}");
        let expected = if n % 10 == 4 { vec![] } else { vec![n.to_string()] };
        assert_eq!(taken(&merged), expected);
    }
    Ok(())
}

#[offspring::test(contexts(Fork))]
fn of_inherited_closures(_: Context) -> Outcome {
    let (_guard, merged) = bring_events();
    let child = offspring::fork::start(|| note("started"))?;
    child.join()?;
    assert_eq!(taken(&merged), ["started"]);
    let items: Vec<u32> = (0..50).collect();
    for (n, result) in (0u32..).zip(offspring::fork::map(&items, |n| note(n.to_string()))?) {
        result?;
        assert_eq!(taken(&merged), [n.to_string()]);
    }
    Ok(())
}
