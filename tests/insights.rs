//! What a pool tells about itself: how much waits and is under way, what workers spend their time on, how
//! they ended, and which tasks were slow.

mod harness;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::props::{Scratch, note, wait_for};
use harness::{Outcome, eventually};
use offspring::{
    Context, EndReason, Exit, Global, Pool, Sendable, Shared, Source, Task, WorkerReport, capture,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// More than goes through a ring.
const LARGE: usize = 100_000;

#[offspring::test]
fn every_task_is_counted(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    for result in pool.map(0..100u64, |(), n| n) {
        result?;
    }
    pool.submit(1, |(), n: u64| n)?.join()?;
    let panicked = pool.submit(2, |(), n: u64| assert!(n == 1, "on purpose"))?.join();
    assert!(panicked.is_err());
    let stats = pool.stats();
    assert_eq!((stats.tasks_done, stats.tasks_waiting, stats.tasks_in_flight), (102, 0, 0));
    assert_eq!(stats.workers, if context.is_isolated() { 2 } else { 1 });
    let report = pool.report();
    assert_eq!((report.tasks(), report.replaced()), (102, 0), "{report:?}");
    let of_workers: u64 = report.workers().iter().map(|worker| worker.tasks).sum();
    // Inline has no processes to tell of.
    assert_eq!(of_workers, if context.is_isolated() { 102 } else { 0 }, "{report:?}");
    assert_eq!(report.cannot().is_empty(), context.is_isolated(), "{:?}", report.cannot());
    assert_eq!(pool.shutdown()?.tasks(), 102);
    Ok(())
}

/// Takes a while to be encoded, or to be decoded.
struct Slow {
    encoding: Duration,
    decoding: Duration,
}

impl Serialize for Slow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What is measured; nothing waits for it.
        std::thread::sleep(self.encoding);
        (self.encoding, self.decoding).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (encoding, decoding) = Deserialize::deserialize(deserializer)?;
        std::thread::sleep(decoding);
        Ok(Self { encoding, decoding })
    }
}

const WHILE: Duration = Duration::from_millis(1);

fn decoded() -> Slow {
    Slow { encoding: Duration::ZERO, decoding: WHILE }
}

#[offspring::test]
fn encoding_and_decoding_are_timed(context: Context) -> Outcome {
    const COUNT: u32 = 200;
    // Estimated from a few; and each sleep is as long as it should be, or longer.
    let most = WHILE * COUNT / 2;
    let mut seen = Vec::new();
    // What takes no time does so in one of some rounds at least: whoever is interrupted in it counts for many.
    for _ in 0..5 {
        let pool = context.pool().workers(1).build()?;
        let encoded = |_: u32| Slow { encoding: WHILE, decoding: Duration::ZERO };
        assert_eq!(pool.map((0..COUNT).map(encoded), |(), _| 0).filter(Result::is_ok).count(), 200);
        let first = pool.stats();
        assert_eq!(pool.map(0..COUNT, |(), _| decoded()).filter(Result::is_ok).count(), 200);
        let second = pool.stats();
        pool.submit(encoded(0), |(), _| decoded())?.join()?;
        let last = pool.stats();
        assert_eq!(last.tasks_done, 401);
        assert_eq!((last.encoding, last.decoding), (second.encoding, second.decoding), "one task");
        if !context.is_isolated() {
            assert_eq!((last.encoding, last.decoding), (Duration::ZERO, Duration::ZERO));
            return Ok(());
        }
        let (encoding, decoding) =
            (second.encoding - first.encoding, second.decoding - first.decoding);
        assert!(first.encoding >= most && decoding >= most, "{first:?}, then {second:?}");
        if first.decoding < first.encoding / 4 && encoding < decoding / 4 {
            return Ok(());
        }
        seen.push((first, second));
    }
    panic!("what took no time was counted as much: {seen:?}");
}

/// Of each task, what was sent and what came back, on whatever way, also by workers that have ended; and nothing of tasks
/// that were taken back.
#[offspring::test]
fn bytes_are_counted(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    let (mut tasks, mut before) = (0, (0, 0));
    let mut check = |what: &str, count: u64, argument: usize, result: usize| {
        tasks += count;
        let stats = pool.stats();
        assert_eq!(stats.tasks_done, tasks, "{what}");
        if !context.is_isolated() {
            assert_eq!((stats.argument_bytes, stats.result_bytes), (0, 0), "{what}");
            return;
        }
        let all = (stats.argument_bytes, stats.result_bytes);
        let sent = (all.0 - before.0, all.1 - before.1);
        before = all;
        // Beside the encoded values: a head of 16 bytes, and what fills the last word.
        let fits = |sent: u64, each: usize| {
            let least = count * each as u64;
            (least..=least + 24 * count).contains(&sent)
        };
        assert!(fits(sent.0, argument), "arguments, {what}: {sent:?} of {count} times {argument}");
        assert!(fits(sent.1, result), "results, {what}: {sent:?} of {count} times {result}");
    };
    check("before", 0, 0, 0);
    for result in pool.map(0..100, |(), n| "x".repeat(50 + n % 2)) {
        result?;
    }
    check("a map", 100, 1, 52);
    for result in pool.map(vec!["x".repeat(300); 100], |(), _| ()) {
        result?;
    }
    check("texts", 100, 302, 0);
    pool.submit("x".repeat(LARGE), |(), text| text + "y")?.join()?;
    check("a large text", 1, LARGE + 5, LARGE + 5);
    let sent = (Sendable::new(File::open("/dev/null")?), "x".repeat(LARGE));
    pool.submit(sent, |(), (file, text): (Sendable<File>, String)| (file, text))?.join()?;
    check("a file", 1, LARGE + 5, LARGE + 5);
    pool.recycle();
    pool.submit("x".repeat(300), |(), text| text)?.join()?;
    check("another worker", 1, 302, 302);
    if context.is_isolated() {
        let abort = |(): &mut (), _: String| -> u32 { std::process::abort() };
        let died = pool.submit("x".repeat(300), abort)?;
        died.join().expect_err("it has died");
        check("it came to nothing", 1, 0, 0);
        let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
        let paths = (log.path(), gate.path());
        let length = paths.0.as_os_str().len() + paths.1.as_os_str().len();
        let held = pool.submit(paths, |(), (log, gate): (PathBuf, PathBuf)| {
            note(&log, "begun");
            wait_for(&gate);
        })?;
        eventually("it has begun", || log.lines().len() == 1);
        let many = (0..10).map(|_| pool.submit("x".repeat(1000), |(), _| ()));
        let many = many.collect::<Result<Vec<_>, _>>()?;
        many.iter().for_each(Task::cancel);
        check("ten were taken back", 10, 0, 0);
        gate.open();
        held.join()?;
        // As encoded: two texts, each behind its length in up to two bytes, in a list of two.
        check("one was held", 1, length + 5, 0);
    }
    Ok(())
}

#[offspring::test]
fn a_slow_task(context: Context) -> Outcome {
    const LONG: Duration = Duration::from_millis(200);
    let pool = context.pool().workers(2).build()?;
    for result in pool.map(0..20u64, |(), n| {
        if n == 7 {
            std::thread::sleep(LONG);
        }
    }) {
        result?;
    }
    let report = pool.shutdown()?;
    if !context.is_isolated() {
        assert_eq!(report.slowest(), []);
        return Ok(());
    }
    let slow = report.slowest().iter().find(|task| task.index == 7);
    let slow = slow.unwrap_or_else(|| panic!("not among the slowest: {report:?}"));
    // To a few milliseconds, so the documentation.
    assert!(slow.took >= LONG / 2, "{slow:?}");
    assert!(slow.name.contains("a_slow_task") && slow.worker < 2, "{slow:?}");
    assert!(report.slowest().is_sorted_by(|one, next| one.took >= next.took), "{report:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_backlog_goes_up_and_down(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).build()?;
    pool.ready(Duration::from_secs(60))?;
    let held = pool.submit((log.path(), gate.path()), |(), (log, gate): (PathBuf, PathBuf)| {
        note(&log, "begun");
        wait_for(&gate);
        0
    })?;
    eventually("it has begun", || log.lines().len() == 1);
    let tasks = (0..10usize).map(|_| pool.submit(vec![1u8; 1000], |(), bytes| bytes.len()));
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    let stats = pool.stats();
    assert_eq!((stats.workers, stats.ready, stats.tasks_done), (1, 1, 0), "{stats:?}");
    assert_eq!(stats.tasks_waiting + stats.tasks_in_flight, 11, "{stats:?}");
    assert!(stats.bytes_waiting + stats.bytes_in_flight >= 10_000, "{stats:?}");
    let before = stats.bytes_waiting + stats.bytes_in_flight;
    let large = pool.submit(vec![1u8; LARGE], |(), bytes| bytes.len())?;
    let stats = pool.stats();
    let now = stats.bytes_waiting + stats.bytes_in_flight;
    assert!((LARGE as u64..2 * LARGE as u64).contains(&(now - before)), "{stats:?}");
    gate.open();
    assert_eq!(large.join()?, LARGE);
    held.join()?;
    for task in tasks {
        assert_eq!(task.join()?, 1000);
    }
    let stats = pool.stats();
    assert_eq!((stats.tasks_waiting, stats.tasks_in_flight, stats.tasks_done), (0, 0, 12));
    assert_eq!((stats.bytes_waiting, stats.bytes_in_flight), (0, 0), "{stats:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn large_arguments_count_while_they_are_under_way(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).build()?;
    let argument = (log.path(), gate.path(), "x".repeat(LARGE));
    let held = pool.submit(argument, |(), (log, gate, text): (PathBuf, PathBuf, String)| {
        note(&log, "begun");
        wait_for(&gate);
        text.len()
    })?;
    // It is not done before the gate opens, so it is in flight when it has begun.
    eventually("it has begun", || held.is_done() || log.lines().len() == 1);
    let stats = pool.stats();
    assert!(stats.bytes_in_flight >= LARGE as u64 && stats.bytes_waiting == 0, "{stats:?}");
    gate.open();
    assert_eq!(held.join()?, LARGE);
    assert_eq!(pool.stats().bytes_in_flight, 0);
    Ok(())
}

/// The only worker that is there.
fn only<S, X>(pool: &Pool<S, X>) -> WorkerReport
where
    S: 'static,
    X: DeserializeOwned + 'static,
{
    let report = pool.report();
    let workers = report.workers();
    let [worker] = workers else { panic!("{workers:?}") };
    worker.clone()
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_times_of_a_worker(context: Context) -> Outcome {
    // Not to wait for anything: what is measured takes at least so long.
    const LONG: Duration = Duration::from_millis(50);
    let gate = Scratch::new("gate");
    let begun = Instant::now();
    let init = |gate: PathBuf| wait_for(&gate);
    let exit = |()| std::thread::sleep(LONG);
    let pool = context.pool().workers(1).init(gate.path(), init).exit(exit).build()?;
    eventually("it said hello", || {
        let late = pool.ready(Duration::from_millis(1));
        late.is_err() && only(&pool).start > Duration::ZERO
    });
    assert_eq!(only(&pool).init, Duration::ZERO, "its state is not made");
    std::thread::sleep(LONG);
    gate.open();
    // Nobody hears at once that its state is made. What it waits meanwhile counts once all the same.
    std::thread::sleep(LONG);
    pool.ready(Duration::from_secs(60))?;
    assert!(only(&pool).init >= LONG, "{:?}", only(&pool));

    eventually("it waits for tasks", || only(&pool).waiting >= LONG);
    let before = only(&pool);
    pool.submit((), |(), ()| std::thread::sleep(LONG))?.join()?;
    let after = only(&pool);
    assert!(after.working >= before.working + LONG / 2, "{before:?}, then {after:?}");
    assert_eq!((after.index, after.generation, after.tasks), (0, 0, 1));
    assert!(after.pid != 0 && after.end.is_none(), "{after:?}");
    assert_eq!(after.exit, Duration::ZERO, "it was not asked to end");
    let report = pool.shutdown()?;
    let all = begun.elapsed();
    let [worker] = report.workers() else { panic!("{report:?}") };
    assert_eq!((worker.pid, worker.tasks), (after.pid, 1));
    assert_eq!(worker.end.map(|end| end.exit), Some(Exit::Code(0)), "{worker:?}");
    assert!(worker.exit >= LONG, "{worker:?}");
    let parts = [worker.start, worker.init, worker.waiting, worker.working, worker.exit];
    assert!(parts.iter().sum::<Duration>() <= all, "counted twice, of {all:?}: {worker:?}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_ends_of_workers(context: Context) -> Outcome {
    let pool = context
        .pool()
        .workers(1)
        .tasks_per_worker(3)
        .task_timeout(Duration::from_secs(1))
        .build()?;
    // One that has run its tasks, one that dies, one that is late, one at the end of the pool.
    for _ in 0..3 {
        pool.submit((), |(), ()| ())?.join()?;
    }
    let died: Result<(), _> = pool.submit((), |(), ()| std::process::abort())?.join();
    let late: Result<(), _> = pool.submit((), |(), ()| harness::sleep_for_ever())?.join();
    assert!(died.is_err() && late.is_err());
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    let told: Vec<_> = report
        .workers()
        .iter()
        .map(|worker| {
            let end = worker.end.unwrap_or_else(|| panic!("it lives: {worker:?}"));
            (worker.generation, worker.tasks, end.reason)
        })
        .collect();
    let wanted = [
        (0, 3, EndReason::InOrder),
        (1, 0, EndReason::Died),
        (2, 0, EndReason::TimedOut),
        (3, 0, EndReason::InOrder),
    ];
    assert_eq!(told, wanted);
    let ended_in_order: Vec<bool> =
        report.workers().iter().map(|worker| worker.exit > Duration::ZERO).collect();
    assert_eq!(ended_in_order, [true, false, false, true], "{report:?}");
    let aborted = report.workers()[1].end.map(|end| end.exit);
    assert!(matches!(aborted, Some(Exit::Signal { signal: libc::SIGABRT, .. })), "{aborted:?}");
    assert_eq!(report.abnormal_exits().len(), 2, "{report:?}");
    Ok(())
}

static TABLE: Global<u64> = Global::new();

/// The same on every context, but for how it came there.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_workers_were_given(context: Context) -> Outcome {
    let bare = context.pool().workers(1).build()?;
    bare.submit((), |(), ()| ())?.join()?;
    assert_eq!(only(&bare).restored, [], "nothing that has a name");
    bare.shutdown()?;

    TABLE.set(7u64, |n| n)?;
    let object = Shared::named("words", "text".to_owned(), |text: String| text)?;
    let guard = capture("level", || 3u8, |_: u8| ())?;
    let init = |object: Shared<String>| object;
    let pool = context.pool().workers(1).init(object, init).build()?;
    pool.submit((), |_, ()| ())?.join()?;
    let given = only(&pool).restored;
    let names: Vec<&str> = given.iter().map(|given| &*given.name).collect();
    let [global, shared, captured] = names[..] else { panic!("{given:?}") };
    assert!(global.contains("u64") && global.contains("tests/insights.rs"), "{given:?}");
    assert!(shared.contains("`words`") && captured.contains("`level`"), "{given:?}");
    let (sent, inherited) = (Source::Sent, Source::Inherited);
    let source = if context == Context::Spawn { sent } else { inherited };
    let sources: Vec<Source> = given.iter().map(|given| given.source).collect();
    assert_eq!(sources, [source, source, sent]);
    // A number alone is its own bytes, a text stands behind its length.
    let sizes: Vec<u64> = given.iter().map(|given| given.bytes).collect();
    assert_eq!(sizes, if context == Context::Fork { [0, 0, 1] } else { [8, 5, 1] }, "{given:?}");
    // One that comes with a task, and is gone later; and a worker that takes the place of another.
    let late = Shared::named("late", 1u8, |n: u8| n)?;
    let use_it = |_: &mut Shared<String>, late: Shared<u8>| late.get().copied().unwrap_or(0);
    assert_eq!(pool.submit(late.clone(), use_it)?.join()?, 1);
    let sent_late = |report: &WorkerReport| {
        let late = report.restored.iter().find(|given| given.name.contains("`late`"));
        late.map(|late| late.source)
    };
    assert_eq!(sent_late(&only(&pool)), Some(sent));
    drop(late);
    assert_eq!(sent_late(&only(&pool)), None);
    let died: Result<(), _> = pool.submit((), |_, ()| std::process::abort())?.join();
    assert!(died.is_err());
    pool.submit((), |_, ()| ())?.join()?;
    let report = pool.shutdown()?;
    let [first, second] = report.workers() else { panic!("{report:?}") };
    assert_eq!((&first.restored, &second.restored), (&given, &given));
    drop(guard);
    Ok(())
}
