//! Whatever the logger of this process does: no deadlock, no lost result, and no child that waits for its locks.

use std::cell::Cell;
use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use log::{LevelFilter, Log, Metadata, Record, debug, info, warn};
use offspring::{Context, ErrorKind, Pool, logging};

use crate::harness::{Case, Outcome, PROCESSES};
use crate::{Collect, cases, collect, messages};

pub(super) const CASES: &[Case] = cases![on PROCESSES =>
    one_that_panics,
    one_that_logs,
    one_that_uses_the_pool,
    one_that_waits_for_who_waits_for_the_pool,
    two_threads_and_one_pool,
    another_logger_was_first,
    none_at_all,
    env_logger_writes_each_line_once,
];

/// These may be started beside threads.
pub(super) const FRESH: &[Case] = cases![on &[Context::Spawn, Context::ForkServer] =>
    a_thread_that_logs_without_end,
    two_hundred_workers_beside_such_a_thread,
];

pub(super) const FORK: &[Case] = cases![on &[Context::Fork] => a_thread_that_logs_keeps_forks_away, its_lock_is_held_at_the_fork];

pub(super) const INLINE: &[Case] = cases![on &[Context::Inline] => another_logger_was_first];

/// A logger that is a function.
struct Call(fn(&Record<'_>));

impl Log for Call {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0(record);
    }

    fn flush(&self) {}
}

fn install(log: fn(&Record<'_>)) {
    logging::init(LevelFilter::Info, Call(log)).expect("no other logger is there");
}

fn one_that_panics(context: Context) -> Outcome {
    install(|record| {
        Collect.log(record);
        assert!(record.args().to_string() != "bad", "the logger panics");
    });
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), word: String| info!("{word}");
    for word in ["good", "bad", "bad", "fine"] {
        pool.submit(word.to_owned(), task)?.join()?;
    }
    assert_eq!(messages(), ["good", "bad", "bad", "fine"]);
    let child = context.process().start((), |()| info!("bad"))?;
    child.join()?;
    assert_eq!(messages(), ["bad"]);
    Ok(())
}

fn one_that_logs(context: Context) -> Outcome {
    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
    }
    install(|record| {
        if !INSIDE.replace(true) {
            info!("about {}", record.args());
            INSIDE.set(false);
        }
        Collect.log(record);
    });
    context.process().start((), |()| info!("one"))?.join()?;
    assert_eq!(messages(), ["about one", "one"]);
    Ok(())
}

/// What a logger has written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A logger as users have it, with its own filter of levels and its own format.
fn env_logger_writes_each_line_once(context: Context) -> Outcome {
    let lines = Lines::default();
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .target(env_logger::Target::Pipe(Box::new(lines.clone())))
        .format(|out, record| {
            let worker = logging::source().and_then(|source| source.worker());
            writeln!(out, "{worker:?} {} {}", record.level(), record.args())
        })
        .build();
    logging::init(logger.filter(), logger)?;
    let pool = context.pool().workers(1).build()?;
    let done: Vec<_> = pool
        .map(0..10u32, |(), n| {
            debug!("not wanted: {n}");
            info!("{n}");
        })
        .collect();
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    context.process().start((), |()| warn!("a process"))?.join()?;
    pool.shutdown()?;
    info!("here");
    let mut expected: Vec<String> = (0..10).map(|n| format!("Some(0) INFO {n}")).collect();
    expected.extend(["None WARN a process".to_owned(), "None INFO here".to_owned()]);
    let written = String::from_utf8(lines.0.lock().unwrap().clone())?;
    assert_eq!(written.lines().collect::<Vec<_>>(), expected);
    assert!(written.ends_with('\n'), "{written}");
    Ok(())
}

static POOL: OnceLock<Mutex<Option<Pool<()>>>> = OnceLock::new();

fn one_that_uses_the_pool(context: Context) -> Outcome {
    install(|record| {
        if record.args().to_string().starts_with("task") {
            let pool = POOL.get().expect("it is there").try_lock();
            if let Some(pool) = pool.expect("nobody else has it").as_ref() {
                let inner = |_: &mut (), ()| info!("inner");
                let task = pool.submit((), inner).expect("there is room");
                task.join().expect("it succeeds");
            }
        }
        Collect.log(record);
    });
    let pool = context.pool().workers(2).build()?;
    let other = context.pool().workers(1).build()?;
    POOL.set(Mutex::new(Some(pool))).expect("set once");
    for n in 0..10 {
        other.submit(n, |_: &mut (), n: i32| info!("task {n}"))?.join()?;
    }
    // And when it ends.
    let pool = POOL.get().and_then(|pool| pool.lock().unwrap().take());
    drop(pool);
    drop(other);
    let mut found = messages();
    assert_eq!(found.iter().filter(|message| *message == "inner").count(), 10, "{found:?}");
    found.retain(|message| message != "inner");
    assert_eq!(found, (0..10).map(|n| format!("task {n}")).collect::<Vec<_>>());
    Ok(())
}

/// One thread holds a lock that the logger wants, and waits for the pool; another delivers records.
fn one_that_waits_for_who_waits_for_the_pool(context: Context) -> Outcome {
    static OUTPUT: Mutex<()> = Mutex::new(());
    install(|record| {
        // Held by this very thread, if it delivers.
        if !HAS_OUTPUT.get() {
            drop(OUTPUT.lock().unwrap());
        }
        Collect.log(record);
    });
    let pool = context.pool().workers(2).build()?;
    pool.ready(std::time::Duration::MAX)?;
    let task = |_: &mut (), n: u64| info!("{n}");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            for done in pool.map(0..300, task) {
                done.expect("it succeeds");
            }
        });
        for n in 300..600 {
            let output = OUTPUT.lock().unwrap();
            HAS_OUTPUT.set(true);
            pool.submit(n, task).expect("there is room").join().expect("it succeeds");
            HAS_OUTPUT.set(false);
            drop(output);
        }
        other.join().expect("it ends");
    });
    drop(pool);
    let mut found: Vec<u64> = messages().iter().map(|n| n.parse().expect("a number")).collect();
    found.sort_unstable();
    assert_eq!(found, (0..600).collect::<Vec<_>>());
    Ok(())
}

thread_local! {
    static HAS_OUTPUT: Cell<bool> = const { Cell::new(false) };
}

/// Each record once and in order, whichever thread delivers it.
fn two_threads_and_one_pool(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), _: u64| {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        (0..3).for_each(|_| info!("{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for done in pool.map(0..300, task) {
                    done.expect("it succeeds");
                }
            });
        }
    });
    drop(pool);
    let found: Vec<u64> = messages().iter().map(|n| n.parse().expect("a number")).collect();
    assert_eq!(found, (0..1800).collect::<Vec<_>>());
    Ok(())
}

fn another_logger_was_first(context: Context) -> Outcome {
    log::set_logger(&Collect)?;
    log::set_max_level(LevelFilter::Info);
    let error = logging::init(LevelFilter::Info, Collect).expect_err("there is one");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("offspring::logging::init"), "{error}");
    // All else is as without the bridge.
    assert_eq!(context.process().start(1, |n: i32| n + 1)?.join()?, 2);
    assert!(messages().is_empty());
    Ok(())
}

/// Whoever installs nothing has nothing: children log to nobody.
fn none_at_all(context: Context) -> Outcome {
    let task = |_: &mut (), ()| {
        info!("to nobody");
        std::fs::read_dir("/dev/fd").map(Iterator::count).ok()
    };
    let count = |context: Context| -> Result<_, Box<dyn Error>> {
        let pool = context.pool().workers(1).build()?;
        Ok(pool.submit((), task)?.join()?)
    };
    let without = count(context)?;
    collect();
    let with = count(context)?;
    assert_eq!(messages(), ["to nobody"], "now it is one");
    let more = with.zip(without).map(|(with, without)| with > without);
    assert_eq!(more, Some(true), "descriptors are there for the bridge only");
    Ok(())
}

/// Runs something beside a thread that logs without end. Returns what others have logged.
fn beside_a_hammer(run: impl FnOnce() -> Outcome) -> Result<Vec<String>, Box<dyn Error>> {
    collect();
    static STOP: AtomicBool = AtomicBool::new(false);
    let hammer = std::thread::spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            log::debug!(target: "hammer", "again");
            crate::GOT.lock().unwrap().retain(|got| got.target != "hammer");
        }
    });
    let ran = run();
    STOP.store(true, Ordering::Relaxed);
    hammer.join().expect("it ends");
    ran?;
    let mut found = crate::got();
    found.retain(|got| got.target != "hammer");
    Ok(found.into_iter().map(|got| got.message).collect())
}

/// AC62.
fn a_thread_that_logs_without_end(context: Context) -> Outcome {
    let found = beside_a_hammer(|| {
        for n in 0..200 {
            context.process().start(n, |n: i32| info!("{n}"))?.join()?;
        }
        Ok(())
    })?;
    assert_eq!(found, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

/// AC62: as many as alive together.
fn two_hundred_workers_beside_such_a_thread(context: Context) -> Outcome {
    let found = beside_a_hammer(|| {
        let state = |()| info!("{}", 1000 + offspring::worker().map_or(0, |worker| worker.index()));
        let pool = context.pool().workers(200).init((), state).build()?;
        for index in pool.broadcast((), |(), ()| {
            let index = offspring::worker().map_or(0, |worker| worker.index());
            info!("{index}");
            index
        })? {
            index?;
        }
        assert_eq!(pool.shutdown()?.abnormal_exits(), []);
        Ok(())
    })?;
    let mut found: Vec<u32> = found.iter().map(|n| n.parse().expect("a number")).collect();
    found.sort_unstable();
    // From the initialiser, and from the task, of each.
    assert_eq!(found, (0..200).chain(1000..1200).collect::<Vec<_>>());
    Ok(())
}

/// AC62: where the lock of another thread could be copied, there is no fork.
fn a_thread_that_logs_keeps_forks_away(context: Context) -> Outcome {
    collect();
    static STOP: AtomicBool = AtomicBool::new(false);
    let hammer = std::thread::spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            info!("again");
            crate::got();
        }
    });
    for _ in 0..200 {
        let error = context.process().start((), |()| ()).expect_err("there are two threads");
        assert!(matches!(error.kind(), ErrorKind::Multithreaded { .. }), "{error}");
    }
    STOP.store(true, Ordering::Relaxed);
    hammer.join().expect("it ends");
    Ok(())
}

/// AC62: the copied lock is never asked for.
fn its_lock_is_held_at_the_fork(context: Context) -> Outcome {
    static LOCK: Mutex<()> = Mutex::new(());
    install(|record| {
        // What this process itself logs.
        if logging::source().is_none() {
            drop(LOCK.lock().unwrap());
        }
        Collect.log(record);
    });
    for n in 0..200 {
        let held = LOCK.lock().unwrap();
        let child = context.process().start(n, |n: i32| info!("{n}"))?;
        drop(held);
        child.join()?;
    }
    assert_eq!(messages(), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}
