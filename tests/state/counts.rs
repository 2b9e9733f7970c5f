//! How often anything is encoded and decoded: nothing for a task, and on Fork nothing for inherited state.

use std::cell::Cell;
use std::time::Duration;

use offspring::channel::Sender;
use offspring::{Context, Global, Shared};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::props::{Scratch, note};
use crate::harness::{self, Case, Outcome};
use crate::{cases, told};

pub(super) const CASES: &[Case] = cases![on harness::PROCESSES =>
    a_global_is_encoded_once_and_decoded_once_in_each_worker,
    a_shared_object_is_encoded_once_and_decoded_once_in_each_worker,
    arguments_of_an_initialiser_are_encoded_once_and_decoded_once_in_each_worker,
    an_initialiser_that_fails_after_it_inherited_its_arguments,
];
pub(super) const FORK: &[Case] = cases![on &[Context::Fork] =>
    inherited_inputs_are_not_encoded,
    beside_channels_arguments_are_encoded,
    inherited_arguments_are_dropped_once_in_each_process,
];

/// A value that writes down who encodes and who decodes it, in the directory of the case.
#[derive(Debug, Clone, PartialEq)]
struct Counted(u64);

fn encodings() -> Scratch {
    Scratch::new("encodings")
}

fn decodings() -> Scratch {
    Scratch::new("decodings")
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        note(&std::env::temp_dir().join("encodings"), std::process::id());
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        note(&std::env::temp_dir().join("decodings"), std::process::id());
        u64::deserialize(deserializer).map(Self)
    }
}

const WORKERS: usize = 3;
const TASKS: u64 = 100;
/// Those of the start, and the one that takes the place of another.
const EVER: usize = WORKERS + 1;

/// How often it has to be encoded and decoded for the workers of a pool.
fn expected(context: Context) -> (usize, usize) {
    match context {
        Context::Fork => (0, 0),
        // Once in the template.
        Context::ForkServer => (1, 1),
        _ => (1, EVER),
    }
}

/// A pool whose workers all use what they have, in many tasks, and of which one dies and is replaced.
fn run<S: 'static>(
    pool: &offspring::Pool<S>,
    task: impl Fn(&mut S, u64) -> Result<u64, String> + Copy + 'static,
    die: impl Fn(&mut S, ()) + Copy + 'static,
) -> Outcome {
    pool.ready(Duration::from_secs(60))?;
    let everywhere = || -> Outcome {
        for answer in pool.broadcast(1, task)? {
            assert_eq!(answer??, 7);
        }
        Ok(())
    };
    everywhere()?;
    for (n, answer) in (0..).zip(pool.map(0..TASKS, task)) {
        assert_eq!(answer??, 7 * n);
    }
    assert!(pool.submit((), die)?.join().is_err(), "that worker is gone");
    pool.ready(Duration::from_secs(60))?;
    everywhere()?;
    let report = pool.report();
    assert_eq!((report.workers().len(), report.replaced()), (EVER, 1), "{report:?}");
    Ok(())
}

static GLOBAL: Global<u64> = Global::new();

fn a_global_is_encoded_once_and_decoded_once_in_each_worker(context: Context) -> Outcome {
    let (encoded, decoded) = (encodings(), decodings());
    GLOBAL.set(Counted(7), |counted| counted.0)?;
    let pool = context.pool().workers(WORKERS).build()?;
    let task = |(): &mut (), n: u64| told(GLOBAL.get()).map(|factor| factor * n);
    run(&pool, task, |(), ()| std::process::abort())?;
    pool.shutdown()?;
    assert_eq!((encoded.lines().len(), decoded.lines().len()), expected(context));
    Ok(())
}

fn a_shared_object_is_encoded_once_and_decoded_once_in_each_worker(context: Context) -> Outcome {
    let (encoded, decoded) = (encodings(), decodings());
    let object = Shared::new(Counted(7), |counted: Counted| counted.0)?;
    let pool = context.pool().workers(WORKERS).init(object, |object| object).build()?;
    let task = |object: &mut Shared<u64>, n: u64| told(object.get()).map(|factor| factor * n);
    run(&pool, task, |_, ()| std::process::abort())?;
    pool.shutdown()?;
    assert_eq!((encoded.lines().len(), decoded.lines().len()), expected(context));
    Ok(())
}

fn arguments_of_an_initialiser_are_encoded_once_and_decoded_once_in_each_worker(
    context: Context,
) -> Outcome {
    let (encoded, decoded) = (encodings(), decodings());
    let init = |counted: Counted| counted.0;
    let pool = context.pool().workers(WORKERS).init(Counted(7), init).build()?;
    let task = |factor: &mut u64, n: u64| Ok(*factor * n);
    run(&pool, task, |_, ()| std::process::abort())?;
    pool.shutdown()?;
    // Each has the arguments for itself, so a template does not decode them.
    let expected = if context == Context::Fork { (0, 0) } else { (1, EVER) };
    assert_eq!((encoded.lines().len(), decoded.lines().len()), expected);
    let mut by = decoded.lines();
    by.sort();
    by.dedup();
    assert_eq!(by.len(), expected.1, "each for itself");
    Ok(())
}

/// Each worker has its own copy of what it inherited: those that come after a failed one too.
fn an_initialiser_that_fails_after_it_inherited_its_arguments(context: Context) -> Outcome {
    let begun = Scratch::new("begun");
    let init = |numbers: Vec<String>| {
        note(&std::env::temp_dir().join("begun"), numbers.len());
        let own = std::env::temp_dir().join("begun");
        let before = std::fs::read_to_string(own).map_err(|error| error.to_string())?;
        if before.lines().count() < 2 { Err("not yet".to_owned()) } else { Ok(numbers) }
    };
    let texts = vec!["one".to_owned(), "two".to_owned()];
    let pool = context.pool().workers(1).try_init(texts, init).build()?;
    let joined = pool.submit((), |numbers: &mut Vec<String>, ()| numbers.join(" "))?.join()?;
    assert_eq!((joined.as_str(), begun.lines()), ("one two", vec!["2".to_owned(); 2]));
    Ok(())
}

/// The end of a queue has to be sent, so all arguments are: a worker by fork has no other way to it.
fn beside_channels_arguments_are_encoded(context: Context) -> Outcome {
    let (encoded, decoded) = (encodings(), decodings());
    let (sender, receiver) = offspring::channel::queue::<u64>(4)?;
    let init = |(factor, sender): (Counted, Sender<u64>)| (factor.0, sender);
    let pool = context.pool().workers(1).init((Counted(7), sender), init).build()?;
    let task = |(factor, sender): &mut (u64, Sender<u64>), n: u64| {
        sender.send(*factor * n).map_err(|error| error.to_string())
    };
    pool.submit(6, task)?.join()??;
    assert_eq!(receiver.recv()?, 42);
    pool.shutdown()?;
    assert_eq!((encoded.lines().len(), decoded.lines().len()), (1, 1));
    assert!(receiver.recv().is_err(), "nobody is left who could send");
    Ok(())
}

thread_local! {
    static DROPPED: Cell<u32> = const { Cell::new(0) };
}

/// Counts in this process how often it was dropped there.
#[derive(Serialize, Deserialize)]
struct Dropped(Vec<u8>);

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPPED.set(DROPPED.get() + 1);
    }
}

/// The caller's copy goes when the pool was built, and the workers' is theirs.
fn inherited_arguments_are_dropped_once_in_each_process(context: Context) -> Outcome {
    let init = |dropped: Dropped| dropped.0.len();
    let pool = context.pool().workers(2).init(Dropped(vec![1; 1 << 20]), init).build()?;
    assert_eq!(DROPPED.get(), 1, "in the caller");
    pool.ready(Duration::from_secs(60))?;
    for answer in pool.broadcast((), |length: &mut usize, ()| (*length, DROPPED.get()))? {
        assert_eq!(answer?, (1 << 20, 1));
    }
    pool.shutdown()?;
    assert_eq!(DROPPED.get(), 1, "in the caller");
    Ok(())
}

/// What only Fork can do.
fn inherited_inputs_are_not_encoded(_: Context) -> Outcome {
    let (encoded, decoded) = (encodings(), decodings());
    let items: Vec<Counted> = (0..TASKS).map(Counted).collect();
    let factor = Counted(7);
    for (n, answer) in (0..).zip(offspring::fork::map(&items, |item| item.0 * factor.0)?) {
        assert_eq!(answer?, 7 * n);
    }
    assert_eq!((encoded.lines().len(), decoded.lines().len()), (0, 0));
    Ok(())
}
