//! The timeline of a pool, as a picture and as a trace: every task is there once, in order, with how it ended.
//!
//! `OFFSPRING_TIMELINE_TASKS` says how many tasks there are where there are many, a multiple of a thousand; 1,000,000 for the
//! full run. With `OFFSPRING_TIMELINE_KEEP`, their pictures are written to that directory, for somebody to look at.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use harness::props::{Scratch, note, wait_for};
use harness::{Outcome, eventually};
use offspring::{Context, ErrorKind, Report, Reuse};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// One event of a lane.
#[derive(Debug, Clone)]
struct Event {
    name: String,
    kind: String,
    begin: f64,
    end: f64,
    arguments: Value,
}

impl Event {
    fn outcome(&self) -> &str {
        self.arguments["outcome"].as_str().unwrap_or_default()
    }
}

/// What a trace says: its lanes by their numbers, and all of it.
struct Trace {
    lanes: BTreeMap<u64, Vec<Event>>,
    names: BTreeMap<u64, String>,
    replaced: usize,
    whole: Value,
}

impl Trace {
    /// Writes it, reads it, and checks what holds for each.
    fn of<X>(report: &Report<X>) -> Result<Self, Box<dyn std::error::Error>> {
        let file = Scratch::new("trace");
        report.write_trace(file.path())?;
        let text = fs::read_to_string(file.path())?;
        let whole: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let (mut lanes, mut names, mut replaced) = (BTreeMap::new(), BTreeMap::new(), 0);
        for event in whole["traceEvents"].as_array().ok_or("no events")? {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            assert_eq!(event["pid"], u64::from(std::process::id()), "{event}");
            let lane = event["tid"].as_u64().ok_or("no thread")?;
            match (text("ph").as_str(), text("name").as_str()) {
                ("M", "thread_name") => {
                    let name = event["args"]["name"].as_str().ok_or("no name")?;
                    assert_eq!(names.insert(lane, name.to_owned()), None);
                    lanes.insert(lane, Vec::new());
                }
                ("M", _) => {}
                ("i", "replaced") => replaced += 1,
                ("X", _) => {
                    let number = |key: &str| event[key].as_f64().ok_or(format!("{key}: {event}"));
                    let begin = number("ts")?;
                    lanes.get_mut(&lane).ok_or("a lane without a name")?.push(Event {
                        name: text("name"),
                        kind: text("cat"),
                        begin,
                        end: begin + number("dur")?,
                        arguments: event["args"].clone(),
                    });
                }
                other => panic!("{other:?}: {event}"),
            }
        }
        for events in lanes.values() {
            for pair in events.windows(2) {
                // They are exact to a nanosecond, which sums of such numbers are not.
                assert!(pair[0].end <= pair[1].begin + 0.001, "they overlap: {pair:?}");
            }
        }
        Ok(Self { lanes, names, replaced, whole })
    }

    fn events(&self, kind: &str) -> Vec<&Event> {
        self.lanes.values().flatten().filter(|event| event.kind == kind).collect()
    }

    /// The indexes of all tasks that have an interval of their own.
    fn indexes(&self) -> Vec<u64> {
        let tasks = self.events("task").into_iter();
        let mut indexes: Vec<_> =
            tasks.map(|task| task.arguments["index"].as_u64().expect("an index")).collect();
        indexes.sort_unstable();
        indexes
    }

    /// How many tasks ended how, and how many times.
    fn outcomes(&self) -> BTreeMap<&str, usize> {
        let mut outcomes = BTreeMap::new();
        for task in self.events("task") {
            *outcomes.entry(task.outcome()).or_default() += 1;
        }
        outcomes
    }

    fn kinds(&self, lane: u64) -> Vec<&str> {
        let events = self.lanes[&lane].iter().map(|event| event.kind.as_str());
        events.filter(|kind| *kind != "waiting").collect()
    }
}

/// The texts of a picture, after a look at what holds for each.
fn picture<X>(report: &Report<X>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let file = Scratch::new("picture");
    report.write_svg(file.path())?;
    let text = fs::read_to_string(file.path())?;
    assert!(text.len() < 600 << 10, "{} bytes", text.len());
    let document = roxmltree::Document::parse(&text).map_err(|error| format!("{error}: {text}"))?;
    assert_eq!(document.root_element().tag_name().name(), "svg");
    for rect in document.descendants().filter(|node| node.has_tag_name("rect")) {
        for size in ["width", "height"] {
            let size = rect.attribute(size).ok_or("a size")?;
            let is_size = size == "100%" || size.parse::<f64>().is_ok_and(|size| size >= 0.0);
            assert!(is_size, "{size} in {rect:?}");
        }
    }
    let texts = document.descendants().filter(roxmltree::Node::is_text);
    Ok(texts.filter_map(|node| node.text().map(str::to_owned)).collect())
}

/// The number of lanes of a pool with so many workers, used from one thread.
fn lanes(context: Context, workers: usize) -> usize {
    if context.is_isolated() { workers } else { 1 }
}

#[offspring::test]
fn every_task_is_in_one_interval(context: Context) -> Outcome {
    const TASKS: u64 = 500;
    let pool = context.pool().workers(3).timeline(4096).build()?;
    // Small results, such that go in pieces, and a task alone.
    for result in pool.map(1..TASKS, |(), n| vec![0u8; if n % 50 == 0 { 200_000 } else { 9 }]) {
        result?;
    }
    pool.submit(7, |(), n: u64| n)?.join()?;
    let report = pool.shutdown()?;
    let trace = Trace::of(&report)?;
    assert_eq!(trace.names.len(), lanes(context, 3), "{:?}", trace.names);
    // The one that was submitted has the number 0, as the first of the map.
    let expected: Vec<u64> = (0..TASKS - 1).chain([0]).collect();
    let mut expected = expected;
    expected.sort_unstable();
    assert_eq!(trace.indexes(), expected);
    assert_eq!(trace.outcomes(), [("done", TASKS as usize)].into());
    let name = &trace.events("task")[0].name;
    assert!(name.contains("every_task_is_in_one_interval"), "{name}");
    for lane in trace.lanes.keys() {
        let kinds = trace.kinds(*lane);
        let tasks = kinds.len() - 3;
        let expected = ["start", "init"].into_iter().chain(vec!["task"; tasks]).chain(["exit"]);
        assert!(kinds.iter().copied().eq(expected), "{lane}: {kinds:?}");
    }
    assert_eq!((trace.replaced, &trace.whole["otherData"]["tasks"]), (0, &Value::from("500")));
    let texts = picture(&report)?;
    assert!(texts.iter().any(|text| text.contains("500 tasks on")), "{texts:?}");
    Ok(())
}

#[offspring::test]
fn many_tasks_are_joined(context: Context) -> Outcome {
    const MOST: usize = 64;
    let tasks = std::env::var("OFFSPRING_TIMELINE_TASKS").unwrap_or_else(|_| "20000".into());
    let thousands: u64 = tasks.parse::<u64>()? / 1000;
    let tasks = thousands * 1000;
    let pool = context.pool().workers(2).timeline(MOST).build()?;
    let task = |_: &mut (), n: u64| assert!(n % 1000 != 1, "on purpose");
    let failed = pool.map(0..tasks, task).filter(Result::is_err).count();
    assert_eq!(failed as u64, thousands);
    let report = pool.shutdown()?;
    if let Some(directory) = std::env::var_os("OFFSPRING_TIMELINE_KEEP") {
        let directory = std::path::Path::new(&directory);
        report.write_svg(directory.join(format!("{context}.svg")))?;
    }
    let trace = Trace::of(&report)?;
    let sum = |key: &str| -> u64 {
        let joined = trace.events("several").into_iter();
        joined.filter_map(|event| event.arguments[key].as_u64()).sum()
    };
    let alone = trace.outcomes();
    let alone = |outcome: &str| alone.get(outcome).copied().unwrap_or(0) as u64;
    assert_eq!(sum("tasks") + alone("done") + alone("panicked"), tasks);
    assert_eq!(sum("panicked") + alone("panicked"), thousands);
    for (lane, events) in &trace.lanes {
        let kept = events.iter().filter(|event| event.kind != "waiting").count();
        assert!(kept <= MOST, "{kept} intervals in {lane}");
    }
    let texts = picture(&report)?;
    let shown = match thousands {
        0..1000 => format!("{thousands},000 tasks on"),
        _ => format!("{},{:03},000 tasks on", thousands / 1000, thousands % 1000),
    };
    assert!(texts.iter().any(|text| text.contains(&shown)), "{texts:?}");
    Ok(())
}

#[offspring::test]
fn no_task_at_all(context: Context) -> Outcome {
    let pool = context.pool().workers(2).timeline(16).build()?;
    let before = Trace::of(&pool.report())?;
    assert_eq!(before.indexes(), [0; 0]);
    picture(&pool.report())?;
    pool.ready(PATIENCE)?;
    let report = pool.shutdown()?;
    let trace = Trace::of(&report)?;
    assert_eq!((trace.lanes.len(), trace.indexes().len()), (lanes(context, 2), 0));
    for lane in trace.lanes.keys() {
        assert_eq!(trace.kinds(*lane), ["start", "init", "exit"]);
    }
    let texts = picture(&report)?;
    assert!(texts.iter().any(|text| text.contains("0 tasks on")), "{texts:?}");
    Ok(())
}

fn generic<T>(_: &mut (), (): ()) {}

#[offspring::test]
fn names_are_what_they_are(context: Context) -> Outcome {
    const NAME: &str = "a \"b\" <c> & 'd' \\ \u{1}\n\té🦀]]>";
    let pool = context.pool().workers(1).name(NAME).timeline(16).build()?;
    pool.submit((), generic::<Option<&'static str>>)?.join()?;
    let report = pool.shutdown()?;
    let trace = Trace::of(&report)?;
    assert_eq!(trace.whole["otherData"]["pool"], NAME);
    let process = &trace.whole["traceEvents"][0]["args"]["name"];
    assert!(process.as_str().is_some_and(|name| name.contains(NAME)), "{process}");
    let name = &trace.events("task")[0].name;
    assert!(name.contains("generic<") && name.contains("Option<&str>"), "{name}");
    let texts = picture(&report)?;
    // XML has no control characters: their pictures stand for them.
    let shown = "Pool “a \"b\" <c> & 'd' \\ ␁␊␉é🦀]]>”";
    assert!(texts.iter().any(|text| text.contains(shown)), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("Option<&str>")), "{texts:?}");
    Ok(())
}

#[offspring::test]
fn what_cannot_be_written(context: Context) -> Outcome {
    let pool = context.pool().workers(1).timeline(16).build()?;
    let path = Scratch::new("nowhere").path().join("file");
    let report = pool.report();
    for error in [report.write_svg(&path), report.write_trace(&path)] {
        let error = error.expect_err("the directory is not there");
        assert_eq!(error.kind(), ErrorKind::System, "{error}");
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
    let without = context.pool().workers(1).build()?;
    let file = Scratch::new("file");
    for error in
        [without.report().write_svg(file.path()), without.report().write_trace(file.path())]
    {
        let error = error.expect_err("nobody asked for a timeline");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("PoolBuilder::timeline"), "{error}");
    }
    assert!(!file.path().exists());
    let none = context.pool().timeline(0).build().expect_err("none at all");
    assert_eq!(none.kind(), ErrorKind::Invalid, "{none}");
    Ok(())
}

#[offspring::test]
fn a_fresh_state_for_each_task(context: Context) -> Outcome {
    let pool = context.pool().workers(1).reuse(Reuse::PerTask).timeline(4096).build()?;
    let long = |n: u64| if n == 3 { 200_000 } else { 1 };
    for result in pool.map((0..6u64).map(|n| (n, long(n))), |(), (n, long)| vec![n; long]) {
        result?;
    }
    if context.is_isolated() {
        let died: Result<(), _> = pool.submit((), |(), ()| std::process::abort())?.join();
        assert!(died.is_err());
    }
    let panicked: Result<(), _> = pool.submit((), |(), ()| panic!("on purpose"))?.join();
    assert!(panicked.is_err());
    let trace = Trace::of(&pool.shutdown()?)?;
    let mut expected = BTreeMap::from([("done", 6), ("panicked", 1)]);
    if context.is_isolated() {
        expected.insert("died", 1);
    }
    assert_eq!(trace.outcomes(), expected);
    assert!(trace.events("start").len() == trace.replaced + 1, "{:?}", trace.lanes);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn ends_are_marked(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let limit = Duration::from_secs(2);
    let pool = context.pool().workers(1).task_timeout(limit).timeline(4096).build()?;
    let panicked: Result<(), _> = pool.submit((), |(), ()| panic!("on purpose"))?.join();
    let died: Result<(), _> = pool.submit((), |(), ()| std::process::abort())?.join();
    let late: Result<(), _> = pool.submit((), |(), ()| harness::sleep_for_ever())?.join();
    let cancelled: offspring::Task<()> =
        pool.submit(log.path(), |(), log: std::path::PathBuf| {
            note(&log, "begun");
            harness::sleep_for_ever()
        })?;
    eventually("it has begun", || cancelled.pid().is_some() && log.lines().len() == 1);
    cancelled.cancel();
    let cancelled = cancelled.join();
    let errors = [panicked, died, late, cancelled].map(|result| result.map_err(|e| e.kind()));
    let kinds = [ErrorKind::Panicked, ErrorKind::Died, ErrorKind::TimedOut, ErrorKind::Cancelled];
    assert_eq!(errors, kinds.map(Err));
    pool.submit((), |(), ()| ())?.join()?;
    let report = pool.shutdown()?;
    let trace = Trace::of(&report)?;
    assert_eq!(trace.lanes.len(), 1);
    let tasks: Vec<_> = trace.events("task").into_iter().map(Event::outcome).collect();
    assert_eq!(tasks, ["panicked", "died", "timed out", "cancelled", "done"]);
    let late = trace.events("task")[2].clone();
    assert!(late.end - late.begin >= limit.as_micros() as f64, "{late:?}");
    assert_eq!(trace.replaced, 3);
    let generations = trace.events("start").into_iter();
    let generations: Vec<_> = generations.map(|e| e.arguments["generation"].as_u64()).collect();
    assert_eq!(generations, [Some(0), Some(1), Some(2), Some(3)]);
    let why = trace.events("exit").into_iter().map(|exit| exit.arguments["why"].clone());
    let ordinary = "it was to be replaced, or the pool ended";
    let expected = ["it died", "it took too long", "its task was cancelled", ordinary];
    assert!(why.clone().eq(expected), "{:?}", why.collect::<Vec<_>>());
    let texts = picture(&report)?;
    for told in ["1 panicked; 1 died; 1 timed out; 1 cancelled", "3 workers replaced"] {
        assert!(texts.iter().any(|text| text.contains(told)), "{told}: {texts:?}");
    }
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_is_under_way(context: Context) -> Outcome {
    let (log, gate) = (Scratch::new("log"), Scratch::new("gate"));
    let pool = context.pool().workers(1).timeline(16).build()?;
    type Paths = (std::path::PathBuf, std::path::PathBuf);
    let task = pool.submit((log.path(), gate.path()), |(), (log, gate): Paths| {
        note(&log, "begun");
        wait_for(&gate);
    })?;
    eventually("it has begun", || !task.is_done() && log.lines().len() == 1);
    let report = pool.report();
    assert_eq!(Trace::of(&report)?.outcomes(), [("running", 1)].into());
    picture(&report)?;
    gate.open();
    task.join()?;
    assert_eq!(Trace::of(&pool.report())?.outcomes(), [("done", 1)].into());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_that_is_tried_again(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).retries(1).timeline(16).build()?;
    let task = pool.submit(log.path(), |(), log: std::path::PathBuf| {
        note(&log, "begun");
        if fs::read_to_string(&log).is_ok_and(|text| text.lines().count() == 1) {
            std::process::abort();
        }
    })?;
    task.join()?;
    let trace = Trace::of(&pool.shutdown()?)?;
    assert_eq!((trace.indexes(), trace.replaced), (vec![0, 0], 1));
    assert_eq!(trace.outcomes(), [("died", 1), ("done", 1)].into());
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn more_workers_and_fewer(context: Context) -> Outcome {
    let pool = context.pool().workers(1).timeline(4096).build()?;
    pool.ready(PATIENCE)?;
    for (workers, tasks) in [(3, 30u64), (1, 20), (2, 10)] {
        pool.resize(workers)?;
        for result in pool.map(0..tasks, |(), n| n) {
            result?;
        }
    }
    let trace = Trace::of(&pool.shutdown()?)?;
    assert_eq!((trace.lanes.len(), trace.indexes().len()), (3, 60));
    Ok(())
}

#[offspring::test(contexts(Inline))]
fn a_lane_for_each_thread(context: Context) -> Outcome {
    let pool = context.pool().timeline(4096).build()?;
    let run = || -> offspring::Result<()> {
        for n in 0..5u64 {
            pool.submit(n, |(), n: u64| n)?.join()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| -> offspring::Result<()> {
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let trace = Trace::of(&pool.shutdown()?)?;
    assert_eq!((trace.lanes.len(), trace.indexes().len()), (2, 10));
    assert!(trace.names.values().eq(["thread 0", "thread 1"]), "{:?}", trace.names);
    for lane in trace.lanes.keys() {
        let tasks = trace.kinds(*lane).into_iter().filter(|kind| *kind == "task").count();
        assert_eq!(tasks, 5, "lane {lane}");
    }
    Ok(())
}
