//! Handles to shared objects, and what becomes of the objects.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Barrier;

use offspring::{Context, ErrorKind, Sendable, Shared, SharedSlice};
use serde::{Deserialize, Serialize};

use crate::harness::props::{Scratch, note};
use crate::harness::{self, Case, Outcome};
use crate::{Recipe, Table, Told, cases, dropped, encoded, made, made_in_child, told};

pub(super) const CASES: &[Case] = cases![
    a_process_finds_the_object,
    two_objects_of_the_same_type_are_two,
    a_handle_is_small_whatever_it_leads_to,
    the_object_goes_with_its_last_handle,
    handles_tell_what_they_are,
    a_handle_comes_back,
    a_handle_of_another_type_is_an_error,
    a_specification_may_hold_tables_and_other_handles,
    what_a_specification_leaves_out,
    a_handle_is_passed_on,
    outside_of_messages_it_cannot_be_encoded,
    a_failing_builder_makes_nothing,
    of_two_of_one_name_there_is_one,
    who_made_it_drops_it_and_nobody_else,
];
pub(super) const PROCESSES: &[Case] = cases![on harness::PROCESSES =>
    one_that_was_made_in_a_child_stays_there,
    a_child_that_drops_it_drops_its_own,
    a_grandchild_that_drops_it_drops_its_own,
    a_specification_may_hold_an_open_file,
];

fn apply(object: &Shared<Table>, n: u64) -> Told<(u64, u32)> {
    let table = told(object.get())?;
    Ok((table.apply(n), made()))
}

/// AC8, AC10, AC11, AC15.
fn a_process_finds_the_object(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    for n in 0..3 {
        let child =
            context.process().start((object.clone(), n), |(object, n)| apply(&object, n))?;
        assert_eq!(child.join()?, Ok((3 * n, made_in_child(context))));
    }
    let wanted = u32::from(!context.inherits_memory() && context.is_isolated());
    assert_eq!(encoded(), wanted);
    Ok(())
}

/// AC12.
fn two_objects_of_the_same_type_are_two(context: Context) -> Outcome {
    let one = Shared::new(Recipe { factor: 10 }, Table::make)?;
    let other = Shared::new(Recipe { factor: 100 }, Table::make)?;
    let child = context.process().start((one, other), |(one, other)| {
        Ok::<_, String>((apply(&one, 1)?.0, apply(&other, 1)?.0))
    })?;
    assert_eq!(child.join()?, Ok((10, 100)));
    Ok(())
}

/// What is told to children, and what is not.
#[derive(Clone, Serialize, Deserialize)]
struct Partly {
    told: u32,
    #[serde(skip)]
    untold: u32,
}

/// AC3: who inherits the object has what the parent's own specification has made.
fn what_a_specification_leaves_out(context: Context) -> Outcome {
    let partly = Partly { told: 1, untold: 2 };
    let object = Shared::new(partly, |partly: Partly| [partly.told, partly.untold])?;
    assert_eq!(*object.get()?, [1, 2]);
    let child = context.process().start(object, |object| told(object.get()).copied())?;
    let travels = context.is_isolated() && !context.inherits_memory();
    assert_eq!(child.join()?, Ok([1, if travels { 0 } else { 2 }]));
    Ok(())
}

/// AC11: as a pool counts bytes, on contexts that have any.
fn a_handle_is_small_whatever_it_leads_to(context: Context) -> Outcome {
    let object = Shared::new("7".repeat(100_000), |text: String| text.repeat(10).into_bytes())?;
    let child =
        context.process().start(object.clone(), |object| told(object.get()).map(Vec::len))?;
    assert_eq!(child.join()?, Ok(1_000_000));
    if context.is_isolated() {
        let pool = context.pool().workers(1).build()?;
        let first = pool.submit(((), None), stay)?;
        let mut sizes = Vec::new();
        // The second holds the handle in addition. Both wait behind the first.
        for twice in [false, true] {
            let second = twice.then(|| object.clone());
            let task = pool.submit(((), second), stay)?;
            sizes.push(pool.stats().bytes_waiting);
            task.cancel();
        }
        let grown = sizes[1] - sizes[0];
        // At most 9 bytes, and not the one that says that there is none.
        assert!(sizes[0] > 0 && grown <= 8, "{sizes:?}");
        drop(first);
        pool.terminate();
    }
    Ok(())
}

fn stay(_: &mut (), _: ((), Option<Shared<Vec<u8>>>)) {
    harness::sleep_for_ever()
}

/// AC16.
fn the_object_goes_with_its_last_handle(context: Context) -> Outcome {
    let object = Shared::named("table", Recipe { factor: 3 }, Table::make)?;
    let again = object.clone();
    let child = context.process().start(object, |object| apply(&object, 2).map(|_| ()))?;
    child.join()??;
    assert_eq!(dropped(), 0, "a handle is left here");
    drop(again);
    assert_eq!(dropped(), 1);
    // Its name is free again.
    let next = Shared::named("table", Recipe { factor: 4 }, Table::make)?;
    assert_eq!(next.get()?.apply(1), 4);
    Ok(())
}

/// AC18.
fn handles_tell_what_they_are(_: Context) -> Outcome {
    let object = Shared::named("the table", Recipe { factor: 3 }, Table::make)?;
    let text = format!("{object:?}");
    assert!(text.contains("Table") && text.contains("the table"), "{text}");
    let error = Shared::named("the table", Recipe { factor: 3 }, Table::make);
    let error = error.err().ok_or("the name is taken")?;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("the table"), "{error}");
    let [one, other] = [1, 2].map(|n| Shared::new(n, |n: u8| n).map(|it| format!("{it:?}")));
    assert_ne!(one?, other?);
    Ok(())
}

/// Known here, since it is from here.
fn a_handle_comes_back(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let child = context.process().start(object.clone(), |object: Shared<Table>| object)?;
    let back = child.join()?;
    assert!(std::ptr::eq(back.get()?, object.get()?));
    Ok(())
}

/// AC17.
fn one_that_was_made_in_a_child_stays_there(context: Context) -> Outcome {
    let shown = Scratch::new("shown");
    let child = context.process().start((5, shown.path()), |(n, shown): (u64, PathBuf)| {
        let object = Shared::new(n, |n: u64| n).ok()?;
        note(&shown, format_args!("{object:?}"));
        Some(object)
    })?;
    let error = child.join().err().ok_or("it is not here")?;
    assert_eq!(error.kind(), ErrorKind::DecodeResult, "{error}");
    let text = error.to_string();
    let [shown] = &shown.lines()[..] else { panic!("it was shown once") };
    let number = shown.strip_prefix("Shared<u64>(").and_then(|rest| rest.strip_suffix(')'));
    let number = number.ok_or_else(|| shown.clone())?;
    let here = format!("not known in this process (pid {})", std::process::id());
    for part in [&format!("the shared object {number} of type `u64`"), &here] {
        assert!(text.contains(part), "{part}: {text}");
    }
    Ok(())
}

fn a_handle_of_another_type_is_an_error(context: Context) -> Outcome {
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(Shared<u32>),
        Text(Shared<String>),
    }
    // What is untagged takes the first that fits.
    let object = Shared::new("text".to_owned(), |text: String| text)?;
    let child = context.process().start(Either::Text(object), |either| match either {
        Either::Number(_) => Err("the wrong type".to_owned()),
        Either::Text(text) => told(text.get()).cloned(),
    })?;
    assert_eq!(child.join()?, Ok("text".to_owned()));
    Ok(())
}

fn a_specification_may_hold_tables_and_other_handles(context: Context) -> Outcome {
    type Parts = (SharedSlice<u64>, Shared<Table>);
    let slice = SharedSlice::from_slice(&[1, 2, 3])?;
    let inner = Shared::new(Recipe { factor: 10 }, Table::make)?;
    let outer = Shared::new((slice, inner), |(slice, inner): Parts| {
        let table = inner.get().expect("it was sent before");
        slice.iter().map(|n| table.apply(*n)).sum::<u64>()
    })?;
    let pool = context.pool().workers(2).build()?;
    // The pool is older than none of them; and younger is one more.
    let last =
        Shared::new(outer.clone(), |outer: Shared<u64>| outer.get().map_or(0, |sum| sum + 1))?;
    for answer in pool.map(vec![last; 20], |(), last: Shared<u64>| told(last.get()).copied()) {
        assert_eq!(answer??, 61);
    }
    drop(outer);
    pool.shutdown()?;
    Ok(())
}

fn a_handle_is_passed_on(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 6 }, Table::make)?;
    let pool = context.pool().workers(1).build()?;
    let answer = pool.submit((context, object), |(), (context, object)| {
        let context = harness::in_a_child(context);
        let child =
            told(context.process().start((object.clone(), 7), |(object, n)| apply(&object, n)))?;
        let in_process = told(child.join())??.0;
        let pool = told(context.pool().workers(1).build())?;
        let task = told(pool.submit((object, 8), |(), (object, n)| apply(&object, n)))?;
        let in_worker = task.join().map_err(|error| error.to_string())??.0;
        Ok::<_, String>((in_process, in_worker))
    })?;
    assert_eq!(answer.join()?, Ok((42, 48)));
    pool.shutdown()?;
    Ok(())
}

fn outside_of_messages_it_cannot_be_encoded(_: Context) -> Outcome {
    struct Shown(Shared<u8>);
    impl std::fmt::Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            // Serde writes numbers into it.
            Serialize::serialize(&self.0, f)
        }
    }
    let mut text = String::new();
    let shown = Shown(Shared::new(1u8, |n: u8| n)?);
    let written = std::fmt::write(&mut text, format_args!("{shown}"));
    assert!(written.is_err(), "nobody would tell the receiver: {text}");
    Ok(())
}

fn a_failing_builder_makes_nothing(_: Context) -> Outcome {
    let error = Shared::try_new(1u8, |_: u8| Err::<Table, _>("no such file"));
    let error = error.err().ok_or("it fails")?;
    assert_eq!(error.kind(), ErrorKind::Init);
    assert!(error.to_string().contains("no such file"), "{error}");
    let object = Shared::try_new(Recipe { factor: 2 }, |it| Ok::<_, String>(Table::make(it)))?;
    assert_eq!(object.get()?.apply(3), 6);
    Ok(())
}

/// AC16: a child's drop does nothing to the parent.
fn a_child_that_drops_it_drops_its_own(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let child = context.process().start(object.clone(), |object| {
        let first = apply(&object, 1)?;
        drop(object);
        Ok::<_, String>((first, dropped()))
    })?;
    let (first, dropped_there) = child.join()??;
    assert_eq!((first.0, dropped_there), (3, 0), "it would be wanted again");
    assert_eq!((object.get()?.apply(5), dropped()), (15, 0));
    Ok(())
}

/// AC16: nor does a grandchild's, to its parent or to that one's.
fn a_grandchild_that_drops_it_drops_its_own(context: Context) -> Outcome {
    let object = Shared::new(Recipe { factor: 3 }, Table::make)?;
    let child = context.process().start((context, object.clone()), |(context, object)| {
        let first = apply(&object, 1)?;
        let context = harness::in_a_child(context);
        let inner = told(context.process().start(object.clone(), |object| {
            let found = apply(&object, 2)?;
            drop(object);
            Ok::<_, String>((found.0, dropped()))
        }))?;
        let inner = told(inner.join())??;
        let again = apply(&object, 3)?;
        Ok::<_, String>((first.0, inner, again.0, dropped()))
    })?;
    assert_eq!(child.join()??, (3, (6, 0), 9, 0));
    assert_eq!((object.get()?.apply(5), dropped()), (15, 0));
    Ok(())
}

/// An object that writes down who made it, and who drops it.
struct Noted {
    maker: u32,
    log: PathBuf,
}

impl Noted {
    fn make(log: PathBuf) -> Self {
        Self { maker: std::process::id(), log }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        note(&self.log, format_args!("{} {}", self.maker, std::process::id()));
    }
}

/// AC16: also not at its end, of which only a file can tell.
fn who_made_it_drops_it_and_nobody_else(context: Context) -> Outcome {
    fn maker(object: &Shared<Noted>) -> Told<u32> {
        told(object.get()).map(|object| object.maker)
    }
    let (log, own) = (Scratch::new("drops"), std::process::id().to_string());
    let by = |line: &String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let drops_here = || log.lines().iter().map(by).filter(|it| it[1] == own).count();
    let inherited = !context.is_isolated() || context.inherits_memory();
    let object = Shared::new(log.path(), Noted::make)?;
    let child = context.process().start(object.clone(), |object| maker(&object))?;
    assert_eq!(child.join()??.to_string() == own, inherited);
    // One has it in its state, the other in its tasks only; and both have workers that are replaced.
    let in_state = context.pool().workers(2).init(object.clone(), |object| object).build()?;
    let in_tasks = context.pool().workers(2).build()?;
    for _ in 0..2 {
        for answer in in_state.map(0..20, |object, _: u8| maker(object)) {
            assert_eq!(answer??.to_string() == own, inherited);
        }
        let inputs = vec![object.clone(); 20];
        for answer in in_tasks.map(inputs, |(), object: Shared<Noted>| maker(&object)) {
            assert_eq!(answer??.to_string() == own, inherited);
        }
        in_state.recycle();
        in_tasks.recycle();
    }
    let last = in_tasks.broadcast(object.clone(), |(), object: Shared<Noted>| maker(&object))?;
    let last = last.into_iter().collect::<Result<Result<Vec<_>, _>, _>>()??;
    assert_eq!(drops_here(), 0, "a handle is left here");
    drop(object);
    for answer in in_state.broadcast((), |object, ()| maker(object))? {
        assert_eq!(answer??.to_string() == own, inherited, "it is in the state");
    }
    in_state.shutdown()?;
    // Now nobody needs it any more, and the other workers hear of that.
    in_tasks.broadcast((), |(), ()| ())?.into_iter().try_for_each(|answer| answer)?;
    in_tasks.shutdown()?;
    assert_eq!(drops_here(), 1);
    let drops = log.lines();
    assert!(drops.iter().map(by).all(|it| it[0] == it[1]), "{drops:?}");
    // Those that were told have done it themselves; with others that have ended it went unnoticed.
    assert!(last.iter().all(|pid| drops.contains(&format!("{pid} {pid}"))), "{last:?}: {drops:?}");
    let all: BTreeSet<_> = drops.iter().collect();
    assert_eq!(all.len(), drops.len(), "once each: {drops:?}");
    assert!(drops.len() == 1 || !inherited, "{drops:?}");
    Ok(())
}

/// Two threads that have both found the name free.
fn of_two_of_one_name_there_is_one(_: Context) -> Outcome {
    static BOTH: Barrier = Barrier::new(2);
    let make = || {
        Shared::named("one name", (), |()| {
            BOTH.wait();
        })
    };
    let (one, other) = std::thread::scope(|scope| {
        let threads = [scope.spawn(make), scope.spawn(make)];
        let [one, other] = threads.map(|thread| thread.join().expect("no panic"));
        (one, other)
    });
    let (kept, refused) = match (one, other) {
        (Ok(kept), Err(refused)) | (Err(refused), Ok(kept)) => (kept, refused),
        both => return Err(format!("one of both: {both:?}").into()),
    };
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(refused.to_string().contains("one name"), "{refused}");
    drop(kept);
    assert_eq!(*Shared::named("one name", 7, |n: u8| n)?.get()?, 7, "it is free again");
    Ok(())
}

/// A specification that can be cloned, and has a descriptor.
#[derive(Serialize, Deserialize)]
struct Opened(Sendable<File>);

impl Clone for Opened {
    fn clone(&self) -> Self {
        Self(Sendable::new(self.0.try_clone().expect("a descriptor")))
    }
}

/// It goes on to children of a child, whether that was sent it or has inherited it.
fn a_specification_may_hold_an_open_file(context: Context) -> Outcome {
    fn length(object: &Shared<Opened>) -> Told<u64> {
        let file = &told(object.get())?.0;
        Ok(file.metadata().map_err(|error| error.to_string())?.len())
    }
    let path = std::env::temp_dir().join("opened");
    std::fs::write(&path, "seven..")?;
    let object = Shared::new(Opened(Sendable::new(File::open(&path)?)), |opened: Opened| opened)?;
    std::fs::remove_file(&path)?;
    // Encoded before a child by fork is there.
    let first = Context::Spawn.process().start(object.clone(), |object| length(&object))?;
    assert_eq!(first.join()?, Ok(7));
    let child = context.process().start(object, |object: Shared<Opened>| -> Told<(u64, u64)> {
        let here = length(&object)?;
        let inner = Context::Spawn.process().start(object, |object| length(&object));
        let inner = inner.and_then(offspring::Process::join).map_err(|error| format!("{error:?}"));
        Ok((here, inner??))
    })?;
    assert_eq!(child.join()?, Ok((7, 7)));
    Ok(())
}
