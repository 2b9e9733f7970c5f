//! The state of workers: made once, changed by tasks, kept after panics, dropped at the end; and
//! initialisers that fail in every way.

#![expect(clippy::exit, reason = "that tasks and initialisers exit is part of what is tested")]

mod harness;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use harness::Outcome;
use offspring::{Context, ErrorKind, Exit, Phase, WorkerInfo};
use offspring_platform::lifeline;
use serde::{Deserialize, Serialize};

/// A file of the case's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn note(path: &Path, text: impl std::fmt::Display) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

#[offspring::test]
fn the_initialiser_runs_once_in_each_worker(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(3)
        .init(log.0.clone(), |log| note(&log, std::process::id()))
        .build()?;
    let pids =
        pool.map(0..300, |(), _: u32| std::process::id()).collect::<Result<BTreeSet<_>, _>>()?;
    pool.shutdown()?;
    let made = log.lines();
    assert_eq!(made.len(), if context == Context::Inline { 1 } else { 3 }, "{made:?}");
    let made: BTreeSet<u32> = made.iter().map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.is_subset(&made), "tasks ran in {pids:?}, states were made in {made:?}");
    Ok(())
}

#[offspring::test]
fn state_needs_neither_send_nor_serde(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(2)
        .init(100u64, |start| {
            let cell = Rc::new(Cell::new(start));
            (cell.clone(), cell)
        })
        .build()?;
    let results = pool.map(0..500u64, |(one, other), _| {
        one.set(one.get() + 1);
        (std::process::id(), other.get())
    });
    // Each worker counts its own tasks.
    let mut counts = BTreeMap::<_, BTreeSet<_>>::new();
    for result in results {
        let (pid, count) = result?;
        assert!(counts.entry(pid).or_default().insert(count), "worker {pid}: {count} twice");
    }
    assert_eq!(counts.values().map(BTreeSet::len).sum::<usize>(), 500, "{counts:?}");
    for (pid, counts) in counts {
        let expected: BTreeSet<u64> = (101..).take(counts.len()).collect();
        assert_eq!(counts, expected, "worker {pid}");
    }
    Ok(())
}

#[offspring::test]
fn a_panic_keeps_the_worker_and_its_state(context: Context) -> Outcome {
    let pool = context.pool().workers(1).init((), |()| 0u64).build()?;
    let results = pool.map(0..30u64, |count, n| {
        *count += 1;
        assert!(n % 3 != 1, "no {n}");
        (std::process::id(), *count)
    });
    let mut pids = BTreeSet::new();
    for (n, result) in (0..30u64).zip(results) {
        if n % 3 != 1 {
            let (pid, count) = result?;
            assert_eq!(count, n + 1, "the state counts the panics too");
            pids.insert(pid);
            continue;
        }
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panicked, "{error}");
        assert_eq!((error.index(), error.phase()), (n, Phase::Started));
        assert_eq!((error.context(), error.worker()), (Some(context), Some(0)));
        assert!(error.name().contains("a_panic_keeps_the_worker"), "{}", error.name());
        let panic = error.panic().unwrap();
        assert_eq!(panic.message(), format!("no {n}"));
        assert!(panic.location().unwrap().contains("pool_state.rs"), "{panic}");
        if context.is_isolated() {
            pids.insert(error.pid().expect("the pid of the worker"));
        }
    }
    assert_eq!(pids.len(), 1, "one worker: {pids:?}");
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (30, 0));
    Ok(())
}

/// What [`WorkerInfo`] says, as a value that travels.
type Told = (String, usize, u64, u64);

fn told(info: WorkerInfo) -> Told {
    (info.context().to_string(), info.index(), info.generation(), info.tasks_done())
}

#[offspring::test]
fn workers_know_who_they_are(context: Context) -> Outcome {
    assert_eq!(offspring::worker(), None);
    let pool = context.pool().workers(3).build()?;
    let mut done = BTreeMap::<_, BTreeSet<_>>::new();
    let results =
        pool.map(0..300u32, |(), _| (std::process::id(), told(offspring::worker().unwrap())));
    for result in results {
        let (pid, (name, index, generation, tasks_done)) = result?;
        assert_eq!((name, generation), (context.to_string(), 0));
        assert!(index < pool.workers(), "worker {index} of {}", pool.workers());
        let counts = done.entry((pid, index)).or_default();
        assert!(counts.insert(tasks_done), "worker {index}: {tasks_done} twice");
    }
    for ((_, index), counts) in &done {
        let expected: BTreeSet<u64> = (0..).take(counts.len()).collect();
        assert_eq!(*counts, expected, "worker {index}");
    }
    let indexes: BTreeSet<usize> = done.keys().map(|(_, index)| *index).collect();
    assert_eq!(indexes.len(), done.len(), "each worker has its own index: {done:?}");
    assert_eq!(offspring::worker(), None);
    Ok(())
}

#[offspring::test]
fn initialisers_know_who_they_are(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init((), |()| offspring::worker()).build()?;
    for result in
        pool.map(0..20u32, |made, _| (told(made.unwrap()), told(offspring::worker().unwrap())))
    {
        let (made, now) = result?;
        assert_eq!(made, (context.to_string(), now.1, 0, 0));
    }
    Ok(())
}

/// What a process says that a task starts: on each context of its own that there can be.
fn inner_workers(outer: Context) -> Vec<(String, Option<Told>)> {
    let threads = lifeline::IS_A_THREAD && outer.is_isolated();
    let possible = |inner: &Context| !(threads && *inner == Context::Fork);
    let ask = |inner: Context| {
        let child = inner.process().start((), |()| offspring::worker().map(told)).unwrap();
        (inner.to_string(), child.join().unwrap())
    };
    let mut all: Vec<_> = Context::ALL.into_iter().filter(possible).map(ask).collect();
    if possible(&Context::Fork) {
        let child = offspring::fork::start(|| offspring::worker().map(told)).unwrap();
        all.push(("fork::start".into(), child.join().unwrap()));
    }
    all
}

#[offspring::test]
fn a_process_that_a_task_starts_is_no_worker(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let inner = pool.submit(context.to_string(), |(), outer: String| {
        let inner = inner_workers(outer.parse().unwrap());
        (inner, offspring::worker().map(told))
    })?;
    let (inner, own) = inner.join()?;
    for (inner, who) in inner {
        assert_eq!(who, None, "a process by {inner}");
    }
    assert_eq!(own, Some((context.to_string(), 0, 0, 0)), "the task itself, afterwards");
    Ok(())
}

/// Pools inside of a task count for themselves; what their workers do at the end is nobody's task.
#[offspring::test]
fn a_pool_inside_of_a_task_counts_for_itself(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    for n in 0..3u64 {
        pool.submit(n, |(), n: u64| n)?.join()?;
    }
    let nested = pool.submit((), |(), ()| {
        let inner =
            Context::Inline.pool().exit(|()| offspring::worker().map(told)).build().unwrap();
        let seen = inner.map(0..2, |(), _: i32| told(offspring::worker().unwrap()).3);
        let seen: Vec<u64> = seen.map(Result::unwrap).collect();
        let report = inner.shutdown().unwrap();
        let ends: Vec<Option<Told>> =
            report.into_exit_values().into_iter().map(Result::unwrap).collect();
        (seen, ends, told(offspring::worker().unwrap()).3)
    })?;
    let (seen, ends, own) = nested.join()?;
    assert_eq!(seen, [0, 1], "the pool inside");
    assert_eq!(ends, [None], "its end is no task of the outer worker");
    assert_eq!(own, 3, "the task itself, afterwards");
    let next = pool.submit((), |(), ()| told(offspring::worker().unwrap()).3)?;
    assert_eq!(next.join()?, 4, "the next task");
    Ok(())
}

/// Leaves a line when it is dropped.
struct Farewell(PathBuf);

impl Drop for Farewell {
    fn drop(&mut self) {
        note(&self.0, std::process::id());
    }
}

#[offspring::test]
fn state_is_dropped_at_shutdown(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(2).init(log.0.clone(), Farewell).build()?;
    assert_eq!(pool.map(0..20u32, |_, n| n).filter(Result::is_ok).count(), 20);
    assert_eq!(log.lines(), Vec::<String>::new());
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), []);
    let lines = log.lines();
    assert_eq!(lines.len(), if context == Context::Inline { 1 } else { 2 }, "{lines:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn state_that_panics_when_dropped(context: Context) -> Outcome {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on purpose, in the destructor of a state");
        }
    }
    let pool = context.pool().workers(2).init((), |()| Bad).build()?;
    assert_eq!(pool.map(0..20u32, |_, n| n).filter(Result::is_ok).count(), 20);
    let report = pool.shutdown()?;
    assert_eq!(report.abnormal_exits(), [Exit::Code(101); 2], "as of any program that panics");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn workers_run_side_by_side(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(4).build()?;
    // Each waits for all the others: this ends only if all four run at the same time.
    let results = pool.map(vec![log.0.clone(); 4], |(), path| {
        note(&path, std::process::id());
        let log = std::mem::ManuallyDrop::new(Scratch(path));
        harness::eventually("the others begin", || log.lines().len() == 4);
        std::process::id()
    });
    let pids = results.collect::<Result<BTreeSet<_>, _>>()?;
    assert_eq!(pids.len(), 4);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_replacement_has_a_new_state(context: Context) -> Outcome {
    let pool = context.pool().workers(1).init(5u64, |start| start).build()?;
    let results = pool.map(0..6u64, |count, n| {
        if n == 2 {
            std::process::abort();
        }
        *count += 1;
        (*count, told(offspring::worker().unwrap()))
    });
    let mut seen = Vec::new();
    for (n, result) in (0..).zip(results) {
        match result {
            Ok((count, (_, index, generation, tasks_done))) => {
                seen.push((count, index, generation, tasks_done));
            }
            Err(error) => {
                assert_eq!((n, error.kind()), (2, ErrorKind::Died), "{error}");
                assert_eq!((error.signal(), error.phase()), (Some(6), Phase::Started), "{error}");
            }
        }
    }
    let expected = [(6, 0, 0, 0), (7, 0, 0, 1), (6, 0, 1, 0), (7, 0, 1, 1), (8, 0, 1, 2)];
    assert_eq!(seen, expected);
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (6, 1));
    assert!(matches!(report.abnormal_exits(), [Exit::Signal { signal: 6, .. }]), "{report:?}");
    Ok(())
}

/// No task may succeed, none may be waited for in vain, and the number of processes is bounded.
fn nothing_works<S: 'static>(
    pool: offspring::Pool<S>,
    log: &Scratch,
    check: impl Fn(&offspring::Error),
) -> Outcome {
    let context = pool.context();
    for round in 0..2 {
        let mut count = 0;
        for (n, result) in (0..).zip(pool.map(0..30u64, |_, n| n)) {
            let error = result.expect_err("no worker has a state");
            assert_eq!((error.index(), error.phase()), (n, Phase::NotStarted), "{error}");
            assert_eq!(error.context(), Some(context), "{error}");
            check(&error);
            count += 1;
        }
        assert_eq!(count, 30, "round {round}");
    }
    let started = log.lines();
    if context.is_isolated() {
        assert!(!started.is_empty() && started.len() <= 25, "{} workers", started.len());
        check(&pool.shutdown().unwrap_err());
    }
    Ok(())
}

#[offspring::test]
fn an_initialiser_that_panics(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let build = || {
        let init = |log: PathBuf| -> u8 {
            note(&log, std::process::id());
            panic!("no state today")
        };
        context.pool().workers(2).init(log.0.clone(), init).build()
    };
    nothing_works(build()?, &log, |error| {
        assert_eq!(error.kind(), ErrorKind::Init, "{error}");
        assert_eq!(error.panic().unwrap().message(), "no state today");
    })?;
    // Dropped instead of shut down, before anybody looked.
    drop(build()?);
    Ok(())
}

#[offspring::test]
fn an_initialiser_that_panics_once(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context
        .pool()
        .workers(1)
        .init(log.0.clone(), |log| {
            let first = !log.exists();
            note(&log, std::process::id());
            assert!(!first, "not the first time");
        })
        .build()?;
    let results: Vec<_> = pool.map(0..20u32, |(), n| n).collect();
    let failed = results.iter().filter(|result| result.is_err()).count();
    // Without processes there is no other worker to try: the task that found out fails.
    assert_eq!(failed, usize::from(context == Context::Inline), "{results:?}");
    assert_eq!(log.lines().len(), 2);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn initialisers_that_end_their_process(context: Context) -> Outcome {
    let check = |which: u8, error: &offspring::Error| {
        assert_eq!(error.kind(), ErrorKind::Init, "{which}: {error}");
        match which {
            0 => assert_eq!(error.exit(), Some(Exit::Code(0)), "{error}"),
            1 => assert_eq!(error.exit(), Some(Exit::Code(3)), "{error}"),
            2 => assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}"),
            _ => assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}"),
        }
    };
    for which in 0..4 {
        let log = Scratch::new("log");
        let init = |(which, log): (u8, PathBuf)| {
            note(&log, std::process::id());
            match which {
                0 => std::process::exit(0),
                1 => std::process::exit(3),
                2 => std::process::abort(),
                // SAFETY: no memory is involved.
                _ => unsafe { libc::raise(libc::SIGKILL) },
            };
        };
        let pool = context.pool().workers(3).init((which, log.0.clone()), init).build()?;
        nothing_works(pool, &log, |error| check(which, error))?;
    }
    Ok(())
}

/// Encodes as a number, and decodes only from a text.
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

#[offspring::test(contexts(Spawn, ForkServer, Inline))]
fn arguments_that_do_not_decode(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init(OneWay, |_| ()).build()?;
    let results: Vec<_> = pool.map(0..20u32, |(), n| n).collect();
    assert_eq!(results.len(), 20);
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DecodeArguments, "{error}");
        assert_eq!(error.phase(), Phase::NotStarted);
        assert!(error.to_string().contains("OneWay"), "{error}");
    }
    if context.is_isolated() {
        assert_eq!(pool.shutdown().unwrap_err().kind(), ErrorKind::DecodeArguments);
    }
    Ok(())
}

#[derive(Deserialize)]
struct NoWay;

impl Serialize for NoWay {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[offspring::test(contexts(Spawn, ForkServer, Inline))]
fn arguments_that_do_not_encode(context: Context) -> Outcome {
    let error = context.pool().workers(2).init(NoWay, |_| ()).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EncodeArguments, "{error}");
    assert_eq!(error.context(), Some(context));
    assert!(error.to_string().contains("NoWay"), "{error}");
    assert!(error.to_string().contains("not today"), "{error}");
    Ok(())
}
