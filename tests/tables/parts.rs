//! Parts of a table, filled by several processes: each has its own, none has two owners, and those that are
//! lost can be given out again.

use std::rc::Rc;
use std::time::Duration;

use offspring::{Context, ErrorKind, LentSlice, SharedPart, SharedSlice, SharedSliceMut};
use serde::{Deserialize, Serialize};

use crate::harness::props::{Scratch, wait_for};
use crate::harness::{self, Outcome};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn table(elements: usize, part: usize) -> Fallible<(LentSlice<u64>, Vec<SharedPart<u64>>)> {
    Ok(SharedSliceMut::zeroed(elements)?.split(part)?)
}

/// What each place shall hold.
fn fill(part: &mut SharedPart<u64>) {
    let first = part.first_index() as u64;
    for (n, place) in (first..).zip(part.as_mut_slice()) {
        *place = n * n + 1;
    }
}

fn assert_filled(elements: &[u64]) {
    let wrong = (0u64..).zip(elements).find(|(n, found)| n * n + 1 != **found);
    assert_eq!(wrong, None);
}

fn sum(elements: &[u64]) -> u64 {
    elements.iter().fold(0, |sum, n| sum.wrapping_add(*n))
}

#[offspring::test]
fn filled_by_a_pool(context: Context) -> Outcome {
    // Ends of parts lie in the middle of pages.
    let (mut lent, parts) = table(100_000, 7_001)?;
    let pool = context.pool().workers(3).build()?;
    for done in pool.map(parts, |(), mut part: SharedPart<u64>| fill(&mut part)) {
        done?;
    }
    let frozen = lent.freeze()?;
    assert_eq!(frozen.len(), 100_000);
    assert_filled(&frozen);
    let here = sum(&frozen);
    let sums = pool.map(vec![frozen; 2], |(), table: SharedSlice<u64>| sum(&table));
    assert_eq!(sums.collect::<Result<Vec<_>, _>>()?, [here; 2]);
    Ok(())
}

#[offspring::test]
fn parts_that_come_back(context: Context) -> Outcome {
    let (mut lent, parts) = table(1000, 300)?;
    let pool = context.pool().workers(2).build()?;
    let back = pool.map(parts, |(), mut part: SharedPart<u64>| {
        fill(&mut part);
        part
    });
    let mut back = back.collect::<Result<Vec<_>, _>>()?;
    let ranges: Vec<_> = back.iter().map(SharedPart::range).collect();
    assert_eq!(ranges, [0..300, 300..600, 600..900, 900..1000]);
    // They are ours again, and nobody else's.
    back[3].as_mut_slice()[99] = 5;
    assert_eq!(lent.freeze_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(lent.first_held()?, Some(0..300));
    drop(back);
    harness::eventually("all parts are dropped", || lent.first_held().unwrap().is_none());
    let frozen = lent.freeze()?;
    assert_eq!(frozen[999], 5);
    assert_filled(&frozen[..999]);
    Ok(())
}

#[offspring::test]
fn handed_on_to_a_child_of_the_child(context: Context) -> Outcome {
    let (mut lent, parts) = table(5000, 5000)?;
    for part in parts {
        let child = context.process().start(
            (context, part),
            |(context, mut part): (Context, SharedPart<u64>)| {
                part.as_mut_slice()[0] = 77;
                let context = harness::in_a_child(context);
                let inner = context.process().start(part, |mut part: SharedPart<u64>| {
                    let found = part.as_mut_slice()[0];
                    fill(&mut part);
                    (found, part)
                });
                inner.unwrap().join().unwrap()
            },
        )?;
        let (found, mut part) = child.join()?;
        assert_eq!(found, 77, "what the child had written");
        assert_filled(part.as_mut_slice());
    }
    harness::eventually("the part is dropped", || lent.first_held().unwrap().is_none());
    assert_filled(&lent.freeze()?);
    Ok(())
}

/// A message can reach several processes, and a part only one.
#[offspring::test]
fn one_message_for_several_workers(context: Context) -> Outcome {
    let (mut lent, mut parts) = table(100, 50)?;
    let (second, first) = (parts.pop().unwrap(), parts.pop().unwrap());
    let pool = context.pool().workers(3).build()?;
    let results: Vec<_> = pool
        .broadcast(first, |(), mut part: SharedPart<u64>| fill(&mut part))?
        .into_iter()
        .collect();
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(good.len(), 1, "one worker has it");
    for error in bad.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
        assert!(error.to_string().contains("one process only"), "{error}");
    }
    drop((second, pool));
    harness::eventually("all parts are dropped", || lent.first_held().unwrap().is_none());
    let frozen = lent.freeze()?;
    assert_filled(&frozen[..50]);
    assert_eq!(frozen[50..], [0; 50]);
    Ok(())
}

#[derive(Serialize, Deserialize)]
enum Job {
    Fill { name: String, parts: Vec<SharedPart<u64>> },
}

#[offspring::test]
fn parts_inside_other_values(context: Context) -> Outcome {
    let (mut lent, parts) = table(1000, 10)?;
    let mut parts = parts.into_iter().peekable();
    let mut jobs = Vec::new();
    while parts.peek().is_some() {
        jobs.push(Job::Fill {
            name: format!("{}", jobs.len()),
            parts: parts.by_ref().take(30).collect(),
        });
    }
    let pool = context.pool().workers(2).build()?;
    let names = pool.map(jobs, |(), job: Job| {
        let Job::Fill { name, mut parts } = job;
        parts.iter_mut().for_each(fill);
        name
    });
    assert_eq!(names.collect::<Result<Vec<_>, _>>()?, ["0", "1", "2", "3"]);
    assert_filled(&lent.freeze()?);
    Ok(())
}

/// Serialized, but not received: on its way. It is received after the table was frozen.
#[offspring::test]
fn a_part_that_comes_too_late(context: Context) -> Outcome {
    let (lent, mut parts) = table(10, 10)?;
    // The owner is gone: nobody can freeze the table any more, and the part is as good as before.
    drop(lent);
    let child = context.process().start(parts.pop().unwrap(), |mut part: SharedPart<u64>| {
        fill(&mut part);
        part.as_mut_slice()[9]
    })?;
    assert_eq!(child.join()?, 82);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_freeze_while_a_child_has_a_part(context: Context) -> Outcome {
    let (there, go) = (Scratch::new("there"), Scratch::new("go"));
    let (mut lent, mut parts) = table(1000, 1000)?;
    let arguments = (parts.pop().unwrap(), there.path(), go.path());
    let child = context.process().start(
        arguments,
        |(mut part, there, go): (SharedPart<u64>, std::path::PathBuf, std::path::PathBuf)| {
            part.as_mut_slice()[0] = 1;
            harness::props::note(&there, "there");
            wait_for(&go);
            fill(&mut part);
        },
    )?;
    wait_for(&there.path());
    for _ in 0..3 {
        let error = lent.freeze_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        let text = error.to_string();
        assert!(text.contains("freeze a table") && text.contains("join the processes"), "{text}");
        assert_eq!(lent.first_held()?, Some(0..1000));
        assert_eq!(lent.as_mut_slice().unwrap_err().kind(), ErrorKind::Busy);
        assert_eq!(lent.reclaim()?.len(), 0);
    }
    go.open();
    child.join()?;
    assert_filled(&lent.freeze()?);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn parts_of_workers_that_died(context: Context) -> Outcome {
    let (mut lent, mut parts) = table(1000, 100)?;
    let pool = context.pool().workers(2).build()?;
    let mut rounds = 0;
    while !parts.is_empty() {
        rounds += 1;
        let inputs = parts.into_iter().map(|part| (rounds, part));
        let results = pool.map(inputs, |(), (round, mut part): (u32, SharedPart<u64>)| {
            if round == 1 && part.first_index() % 300 == 0 {
                part.as_mut_slice()[0] = 12345;
                std::process::abort();
            }
            fill(&mut part);
        });
        let results: Vec<_> = results.collect();
        let failed: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(failed.len(), if rounds == 1 { 4 } else { 0 }, "{failed:?}");
        harness::eventually("nobody holds a part", || lent.first_held().unwrap().is_none());
        // All are free, and those that were lost are told from the others by what failed.
        let free = lent.reclaim()?;
        assert_eq!(free.len(), 10);
        let lost = |part: &SharedPart<u64>| results[part.first_index() / 100].is_err();
        parts = if rounds == 1 { free.into_iter().filter(lost).collect() } else { Vec::new() };
    }
    assert_eq!(rounds, 2);
    assert_filled(&lent.freeze()?);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn every_size_of_parts(_: Context) -> Outcome {
    for (elements, size) in
        [(1, 1), (10, 3), (10, 10), (10, 11), (10, usize::MAX), (513, 512), (0, 5)]
    {
        let (mut lent, mut parts) = table(elements, size)?;
        let ranges: Vec<_> = parts.iter().map(SharedPart::range).collect();
        let mut next = 0;
        for range in &ranges {
            assert!(range.start == next && range.len() <= size && !range.is_empty(), "{ranges:?}");
            next = range.end;
        }
        assert_eq!(next, elements, "{ranges:?}");
        parts.iter_mut().for_each(fill);
        assert!(parts.iter().all(|part| part.len() == part.range().len() && !part.is_empty()));
        drop(parts);
        assert_filled(&lent.freeze()?);
    }
    let error = SharedSliceMut::<u64>::zeroed(10)?.split(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn no_freeze_while_a_part_is_here(_: Context) -> Outcome {
    let (mut lent, mut parts) = table(20, 10)?;
    assert_eq!(format!("{:?}", parts[1]), "SharedPart<u64>(10..20)");
    drop(parts.remove(0));
    assert_eq!(lent.first_held()?, Some(10..20));
    assert_eq!(lent.freeze_timeout(Duration::ZERO).unwrap_err().kind(), ErrorKind::Busy);
    // Still writable, after the table could not be frozen.
    fill(&mut parts[0]);
    drop(parts);
    let frozen = lent.freeze()?;
    assert_eq!((frozen[0], frozen[10], frozen[19]), (0, 101, 362));
    Ok(())
}

/// Sends a part, and keeps it.
struct Kept(Rc<SharedPart<u64>>);

impl Serialize for Kept {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SharedPart::deserialize(deserializer).map(|part| Self(Rc::new(part)))
    }
}

#[offspring::test(contexts(Inline))]
fn sent_once_and_not_here_any_more(_: Context) -> Outcome {
    let (_lent, mut parts) = table(20, 10)?;
    let mut kept = Rc::new(parts.remove(0));
    let send = |kept: &Rc<SharedPart<u64>>| {
        let child = Context::Spawn.process().start(Kept(kept.clone()), |mut kept: Kept| {
            fill(Rc::get_mut(&mut kept.0).unwrap());
        });
        child.and_then(offspring::Process::join)
    };
    send(&kept)?;
    let error = send(&kept).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert!(error.to_string().contains("sent to another process before"), "{error}");
    let part = Rc::get_mut(&mut kept).unwrap();
    let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| part.as_mut_slice().len()));
    let text =
        used.unwrap_err().downcast::<&str>().map_or_else(|_| String::new(), |text| (*text).into());
    assert!(text.contains("sent to another process"), "{text}");
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn no_other_serializer(_: Context) -> Outcome {
    let (_lent, mut parts) = table(10, 10)?;
    let error = rmp_serde::to_vec_named(&parts[0]).unwrap_err();
    assert!(error.to_string().contains("offspring"), "{error}");
    // It was not given away by that.
    fill(&mut parts[0]);
    assert_filled(parts[0].as_mut_slice());
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn whole_again(_: Context) -> Outcome {
    let (mut lent, mut parts) = table(20, 10)?;
    parts.iter_mut().for_each(fill);
    assert_eq!(lent.as_mut_slice().unwrap_err().kind(), ErrorKind::Busy);
    drop(parts);
    let all = lent.as_mut_slice()?;
    assert_filled(all);
    all[3] = 0;
    let mut parts = lent.reclaim()?;
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].as_mut_slice()[3], 0);
    drop(parts);
    assert_eq!(lent.freeze()?[3], 0);
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn used_up(_: Context) -> Outcome {
    let (mut lent, parts) = table(20, 10)?;
    drop(parts);
    let frozen = lent.freeze()?;
    assert_eq!(lent.freeze().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(lent.reclaim().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(lent.as_mut_slice().unwrap_err().kind(), ErrorKind::Closed);
    drop(lent);
    assert_eq!(*frozen, [0; 20]);
    Ok(())
}

#[offspring::test(contexts(Fork))]
fn forks_do_not_inherit_what_is_being_filled(_: Context) -> Outcome {
    let mut whole = SharedSliceMut::<u64>::zeroed(1000)?;
    whole[0] = 5;
    let used = offspring::fork::start(|| whole[0])?.join().unwrap_err();
    assert_eq!(used.kind(), ErrorKind::Panicked, "{used}");
    assert!(used.to_string().contains("freeze it before the fork"), "{used}");
    {
        // A borrow knows nothing of forks.
        let borrowed: &[u64] = &whole;
        let used = offspring::fork::start(|| borrowed[0])?.join().unwrap_err();
        assert_eq!(used.signal(), Some(libc::SIGSEGV), "{used}");
    }
    // A child that does not use it holds up nothing.
    let gate = Scratch::new("gate");
    let (mut lent, parts) = whole.split(500)?;
    let path = gate.path();
    let child = offspring::fork::start(|| wait_for(&path))?;
    drop(parts);
    let frozen = lent.freeze()?;
    assert_eq!(frozen[0], 5);
    gate.open();
    child.join()?;
    let read = offspring::fork::start(|| frozen[0])?;
    assert_eq!(read.join()?, 5, "frozen ones are inherited");
    Ok(())
}
