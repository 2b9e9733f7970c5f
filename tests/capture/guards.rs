//! Names, guards, and what is forgotten.

use offspring::{Context, ErrorKind};

use crate::harness::Outcome;
use crate::{capture_level, level, set_level};

/// AC41.
#[offspring::test]
fn a_name_is_there_once(_: Context) -> Outcome {
    let guard = capture_level();
    assert_eq!(guard.name(), "level");
    let error = offspring::capture("level", || (), |()| ()).unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Invalid, Some("level")));
    assert!(error.to_string().contains("already"), "{error}");
    drop(guard);
    drop(offspring::capture("level", || (), |()| ())?);
    Ok(())
}

/// AC41.
#[offspring::test]
fn a_guard_that_goes_takes_it_away(context: Context) -> Outcome {
    set_level(0);
    let pool = context.pool().workers(1).build()?;
    {
        let _guard = capture_level();
        set_level(4);
        assert_eq!(pool.submit((), |_: &mut (), ()| level())?.join()?, 4);
        set_level(0);
    }
    set_level(if context == Context::Inline { 0 } else { 4 });
    assert_eq!(pool.submit((), |_: &mut (), ()| level())?.join()?, 0);
    Ok(())
}

/// AC41.
#[offspring::test]
fn forgotten_ones_stay(context: Context) -> Outcome {
    capture_level().forget();
    set_level(6);
    assert_eq!(context.process().start((), |()| level())?.join()?, 6);
    assert!(offspring::capture("level", || (), |()| ()).is_err());
    Ok(())
}

/// AC41, AC43.
#[offspring::test]
fn queued_tasks_keep_theirs(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let guard = capture_level();
    set_level(7);
    let tasks: Vec<_> =
        (0..500).map(|_| pool.submit((), |_: &mut (), ()| level())).collect::<Result<_, _>>()?;
    drop(guard);
    set_level(0);
    for task in tasks {
        assert_eq!(task.join()?, 7);
    }
    Ok(())
}

/// What was registered before a process became a child is its parent's.
#[offspring::test]
fn a_child_has_its_own(context: Context) -> Outcome {
    let _guard = capture_level();
    set_level(8);
    let names = context.process().start((), |()| {
        // This one is what it was given itself.
        let taken = offspring::capture("level", || (), |()| ()).is_err();
        let own = offspring::capture("own", || 5i64, |n: i64| set_level(level() + n)).unwrap();
        let found = Context::Spawn.process().start((), |()| level());
        drop(own);
        (taken, found.and_then(offspring::Process::join).unwrap_or(-1))
    });
    assert_eq!(names?.join()?, (true, 13));
    Ok(())
}

/// Encodes never.
#[derive(serde::Deserialize)]
struct NoWay;

impl serde::Serialize for NoWay {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[offspring::test]
fn gets_that_panic_or_do_not_encode(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let guard = offspring::capture("no way", || NoWay, |_: NoWay| ())?;
    let errors = [
        pool.submit((), |_: &mut (), ()| ()).map(drop).unwrap_err(),
        context.process().start((), |()| ()).map(drop).unwrap_err(),
        context.pool().build().map(drop).unwrap_err(),
        pool.broadcast((), |_: &mut (), ()| ()).map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("no way")));
        assert!(error.to_string().contains("not today"), "{error}");
    }
    for result in pool.map(0..3, |_: &mut (), n: i32| n) {
        assert_eq!(result.unwrap_err().capture(), Some("no way"));
    }
    drop(guard);
    let guard = offspring::capture("panics", || -> i32 { panic!("in get") }, |_: i32| ())?;
    let call = std::panic::AssertUnwindSafe(|| pool.submit((), |_: &mut (), ()| ()).map(drop));
    let panic = std::panic::catch_unwind(call).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in get"));
    let mut results = pool.map(0..1, |_: &mut (), n: i32| n);
    let next = std::panic::AssertUnwindSafe(|| results.next());
    assert!(std::panic::catch_unwind(next).is_err(), "in its place");
    assert!(results.next().is_none());
    drop(results);
    drop(guard);
    assert_eq!(pool.submit((), |_: &mut (), ()| 3)?.join()?, 3, "the pool goes on");
    Ok(())
}
