//! A capture that fails in the child fails that task, by its name, and nothing else.

use offspring::{Context, ErrorKind, Phase};

use crate::harness::Outcome;
use crate::{capture_level, events, level, note, set_level};

struct Noted(&'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        note(self.0);
    }
}

/// AC48.
#[offspring::test]
fn a_set_that_fails(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let _first = offspring::capture("first", || (), |()| Noted("undo first"))?;
    let _odd = offspring::try_capture("even", level, |level: i64| {
        if level % 2 == 0 { Ok(()) } else { Err(format!("{level} is odd")) }
    })?;
    let _last = offspring::capture("last", || (), |()| Noted("undo last"))?;
    set_level(3);
    let error = pool.submit((), |_: &mut (), ()| note("run"))?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("even")));
    assert_eq!(error.phase(), Phase::NotStarted);
    let text = error.to_string();
    assert!(text.contains("`even` could not be set") && text.contains("3 is odd"), "{text}");
    set_level(4);
    let events = pool.submit((), |_: &mut (), ()| events())?.join()?;
    assert_eq!(events, ["undo first"], "the function did not run, what was set is undone");
    let error = {
        set_level(5);
        context.process().start((), |()| ())?.join().unwrap_err()
    };
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("even")));
    let results = pool.map((0..20i64).inspect(|n| set_level(*n)), |_: &mut (), n| n);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(found) => assert!(found == n && n % 2 == 0, "item {n}: {found}"),
            Err(error) => {
                assert_eq!(
                    (error.index(), error.capture()),
                    (n.try_into()?, Some("even")),
                    "{error}"
                );
                assert_eq!(n % 2, 1);
            }
        }
    }
    Ok(())
}

/// AC48.
#[offspring::test]
fn a_set_that_panics(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let guard = offspring::capture("bomb", || 1, |_: i32| panic!("in set"))?;
    let error = pool.submit((), |_: &mut (), ()| ())?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("bomb")));
    assert_eq!(error.panic().map(|panic| panic.message()), Some("in set"));
    let text = error.to_string();
    assert!(text.contains("`bomb` could not be set") && text.contains("in set"), "{text}");
    drop(guard);
    pool.submit((), |_: &mut (), ()| ())?.join()?;
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

/// AC48.
#[offspring::test]
fn a_value_that_does_not_decode(context: Context) -> Outcome {
    let _guard = offspring::capture("one way", || OneWay, |_: OneWay| ())?;
    let error = context.process().start((), |()| ())?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("one way")));
    assert!(error.to_string().contains("OneWay"), "{error}");
    Ok(())
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in undo");
    }
}

/// AC48.
#[offspring::test]
fn an_undo_that_panics(context: Context) -> Outcome {
    set_level(0);
    let pool = context.pool().workers(1).build()?;
    let outer = capture_level();
    let bomb = offspring::capture("bomb", || (), |()| Bomb)?;
    let inner = offspring::capture("inner", || (), |()| Noted("undo inner"))?;
    set_level(if context == Context::Inline { 0 } else { 2 });
    let error = pool.submit((), |_: &mut (), ()| level())?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("bomb")));
    assert_eq!(error.phase(), Phase::Started);
    assert!(error.to_string().contains("`bomb` could not be undone"), "{error}");
    drop((outer, bomb, inner));
    let found = pool.submit((), |_: &mut (), ()| (level(), events()))?.join()?;
    assert_eq!(found, (0, vec!["undo inner".to_owned()]), "the others were undone");
    Ok(())
}

/// AC48.
#[offspring::test]
fn the_first_failure_is_told(context: Context) -> Outcome {
    let _bomb = offspring::capture("bomb", || (), |()| Bomb)?;
    let error =
        context.process().start((), |()| -> () { panic!("in the task") })?.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
    assert_eq!(error.panic().map(|panic| panic.message()), Some("in the task"));
    Ok(())
}

/// AC48.
#[offspring::test]
fn a_set_that_fails_in_the_initialiser(context: Context) -> Outcome {
    let guard = offspring::try_capture("never", || (), |()| Err::<(), _>("no"))?;
    let pool = context.pool().workers(1).init((), |()| 1).build()?;
    drop(guard);
    let error = pool.submit((), |state: &mut i32, ()| *state)?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("never")), "{error}");
    Ok(())
}
