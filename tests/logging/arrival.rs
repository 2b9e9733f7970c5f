//! Every record arrives once, in the order of its worker, with all that is in it.

use std::collections::BTreeMap;

use log::{Level, debug, error, info, warn};
use offspring::{Context, Reuse, logging};

use crate::harness::{self, Case, Outcome, PROCESSES as ALL_PROCESSES};
use crate::{Collect, Got, cases, collect, got, messages};

pub(super) const CASES: &[Case] = cases![
    a_process,
    all_of_a_record,
    maps_in_the_order_of_each_worker,
    before_the_result,
    ten_tasks_ten_lines,
    from_the_beginning_to_the_end_of_a_worker,
    from_several_threads,
    of_children_of_children,
    of_values_that_log_when_they_are_shown,
    groups_and_maps_without_a_pool,
];

pub(super) const PROCESSES: &[Case] =
    cases![on ALL_PROCESSES => each_task_in_a_copy, while_nobody_waits_for_it, after_detaching];

pub(super) const FORK: &[Case] = cases![on &[Context::Fork] => inherited_closures];

/// AC60.
fn a_process(context: Context) -> Outcome {
    collect();
    let child = context.process().start(100, |count: i32| {
        for n in 0..count {
            info!("line {n}");
        }
    })?;
    let pid = child.id();
    child.join()?;
    let got = got();
    let wanted: Vec<_> = (0..100).map(|n| format!("line {n}")).collect();
    assert_eq!(got.iter().map(|got| got.message.clone()).collect::<Vec<_>>(), wanted);
    if context == Context::Inline {
        assert!(got.iter().all(|got| got.source.is_none()), "logged by this process");
    } else {
        let from = |got: &Got| got.source.map(|source| (source.pid(), source.worker()));
        assert!(got.iter().all(|got| from(got) == Some((pid, None))), "{got:?}");
        assert!(logging::source().is_none(), "no record is being delivered");
    }
    Ok(())
}

/// AC60.
fn all_of_a_record(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| {
        warn!(target: "somewhere", answer = 42, text = "a b", ratio = 0.5, negative = -1, yes = true,
            shown:? = [1, 2]; "message {}", 7);
        error!(pid = "own"; "plain");
        (line!(), std::process::id())
    };
    let (line, pid) = pool.submit((), task)?.join()?;
    let got = got();
    assert_eq!(got.len(), 2, "{got:?}");
    let first = &got[0];
    assert_eq!((first.level, first.target.as_str()), (Level::Warn, "somewhere"));
    assert_eq!(first.message, "message 7");
    assert_eq!(first.module.as_deref(), Some(module_path!()));
    assert_eq!(first.file.as_deref(), Some(file!()));
    assert_eq!(first.line, Some(line - 3));
    let pairs: Vec<_> = first.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let pid_text = pid.to_string();
    let wanted = [
        ("answer", "42"),
        ("text", "a b"),
        ("ratio", "0.5"),
        ("negative", "-1"),
        ("yes", "true"),
        ("shown", "[1, 2]"),
        ("pid", &pid_text),
        ("worker", "0"),
    ];
    assert_eq!(pairs, wanted);
    let source = first.source.expect("it is known");
    assert_eq!((source.pid(), source.worker(), source.generation()), (pid, Some(0), 0));
    let pairs: Vec<_> = got[1].pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(pairs, [("pid", "own"), ("worker", "0")], "a key is there once");
    assert_eq!(got[1].target, module_path!());
    Ok(())
}

/// AC60.
fn maps_in_the_order_of_each_worker(context: Context) -> Outcome {
    collect();
    // Each worker counts its own records: which tasks it gets, and in which order, is the pool's affair.
    let pool = context.pool().workers(3).init((), |()| 0u64).build()?;
    let task = |count: &mut u64, n: u64| {
        for part in 0..3 {
            info!("{count} {n} {part}");
            *count += 1;
        }
    };
    for done in pool.map(0..300, task) {
        done?;
    }
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    let mut parts = Vec::new();
    for got in got() {
        let numbers: Vec<u64> = got.message.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let worker = got.source.and_then(|source| source.worker()).expect("a worker");
        let count = counts.entry(worker).or_default();
        assert_eq!(numbers[0], *count, "of worker {worker}");
        *count += 1;
        parts.push((numbers[1], numbers[2]));
    }
    parts.sort_unstable();
    let wanted: Vec<_> = (0..300).flat_map(|n| (0..3).map(move |part| (n, part))).collect();
    assert_eq!(parts, wanted);
    Ok(())
}

/// Whoever has the result has the records.
fn before_the_result(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(2).build()?;
    for n in 0..50 {
        let task = pool.submit(n, |_: &mut (), n: i32| info!("task {n}"))?;
        task.join()?;
        assert_eq!(messages(), [format!("task {n}")]);
    }
    for (n, done) in pool.map(0..200, |_: &mut (), n: i32| info!("{n}")).enumerate() {
        done?;
        let found = messages();
        // Those of later ones may be there as well.
        GOT_SO_FAR.lock().unwrap().extend(found);
        let so_far = GOT_SO_FAR.lock().unwrap();
        let count = so_far.iter().filter(|message| **message == n.to_string()).count();
        assert_eq!(count, 1, "of input {n}, among {so_far:?}");
    }
    Ok(())
}

static GOT_SO_FAR: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

/// AC61: neither reuse nor another `init` doubles anything.
fn ten_tasks_ten_lines(context: Context) -> Outcome {
    collect();
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), n: i32| {
        logging::init(log::LevelFilter::Off, Collect).expect("nothing is to be done in a child");
        info!("{n}");
    };
    for n in 0..10 {
        pool.submit(n, task)?.join()?;
    }
    assert_eq!(messages(), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    Ok(())
}

fn from_the_beginning_to_the_end_of_a_worker(context: Context) -> Outcome {
    collect();
    let pool =
        context.pool().workers(1).init((), |()| info!("init")).exit(|()| info!("exit")).build()?;
    pool.submit((), |_: &mut (), ()| info!("task"))?.join()?;
    pool.shutdown()?;
    assert_eq!(messages(), ["init", "task", "exit"]);
    Ok(())
}

fn from_several_threads(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    let task = |_: &mut (), ()| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || (0..100).for_each(|n| info!("{thread} {n}")));
            }
        });
    };
    pool.submit((), task)?.join()?;
    let found = messages();
    assert_eq!(found.len(), 400);
    for thread in 0..4 {
        let of_thread: Vec<_> =
            found.iter().filter(|found| found.starts_with(&format!("{thread} "))).collect();
        assert_eq!(
            of_thread,
            (0..100)
                .map(|n| format!("{thread} {n}"))
                .collect::<Vec<_>>()
                .iter()
                .collect::<Vec<_>>()
        );
    }
    Ok(())
}

fn of_children_of_children(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).build()?;
    // Where a lifeline is a thread, no child of a child can be a copy.
    let is_copy = context == Context::Fork && offspring_platform::lifeline::IS_A_THREAD;
    let inside = if is_copy { Context::Spawn } else { context };
    let task = move |_: &mut (), context: Context| {
        info!("child");
        let inner = context.pool().workers(2).build().expect("a pool inside");
        let task = |_: &mut (), n: usize| {
            debug!("grandchild {n}");
            (std::process::id(), offspring::worker().expect("a worker").index())
        };
        inner.map(0..20, task).collect::<Result<Vec<_>, _>>().expect("all succeed")
    };
    let ran = pool.submit(inside, task)?.join()?;
    let mut got = got();
    assert_eq!(got.remove(0).message, "child");
    assert_eq!(got.len(), 20, "{got:?}");
    for (n, (pid, worker)) in ran.into_iter().enumerate() {
        let message = format!("grandchild {n}");
        let found: Vec<_> = got.iter().filter(|got| got.message == message).collect();
        assert_eq!(found.len(), 1, "{message}");
        let source = found[0].source.expect("it is known");
        assert_eq!((source.pid(), source.worker()), (pid, Some(worker)), "{message}");
        let own = found[0].pairs.iter().filter(|(key, _)| key == "pid").count();
        assert_eq!(own, 1, "{:?}", found[0].pairs);
    }
    Ok(())
}

struct Talkative(u32);

impl std::fmt::Display for Talkative {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 > 0 {
            info!("inside {}", Talkative(self.0 - 1));
        }
        write!(f, "{}", self.0)
    }
}

fn of_values_that_log_when_they_are_shown(context: Context) -> Outcome {
    collect();
    context.process().start((), |()| info!("outside {}", Talkative(3)))?.join()?;
    assert_eq!(messages(), ["inside 0", "inside 1", "inside 2", "outside 3"]);
    Ok(())
}

fn groups_and_maps_without_a_pool(context: Context) -> Outcome {
    collect();
    let group = context.process().start_group(0..3, |n: i32| info!("process {n}"))?;
    group.join()?;
    let mut found = messages();
    found.sort();
    assert_eq!(found, ["process 0", "process 1", "process 2"]);
    let results = context.map(0..3, |n: i32| info!("input {n}"))?;
    for done in results {
        done?;
    }
    let mut found = messages();
    found.sort();
    assert_eq!(found, ["input 0", "input 1", "input 2"]);
    Ok(())
}

fn each_task_in_a_copy(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(1).reuse(Reuse::PerTask).build()?;
    for n in 0..5 {
        let task = |_: &mut (), n: i32| {
            info!("{n}");
            std::process::id()
        };
        let pid = pool.submit(n, task)?.join()?;
        let got = got();
        assert_eq!(got.len(), 1, "{got:?}");
        assert_eq!(got[0].message, n.to_string());
        assert_eq!(
            got[0].source.map(|source| (source.pid(), source.worker())),
            Some((pid, Some(0)))
        );
    }
    Ok(())
}

/// A record of a task that goes on arrives while this process waits for it, and not only with its result.
fn while_nobody_waits_for_it(context: Context) -> Outcome {
    collect();
    let go = offspring::sync::Event::new()?;
    let pool = context.pool().workers(2).init(go.clone(), |go| go).build()?;
    let task = |go: &mut offspring::sync::Event, ()| {
        info!("waits");
        go.wait();
    };
    let mut task = pool.submit((), task)?;
    loop {
        assert_eq!(task.join_timeout(std::time::Duration::from_millis(1))?, None);
        if messages() == ["waits"] {
            break;
        }
    }
    go.set();
    task.join()?;

    let child = context.process().start(go, |go: offspring::sync::Event| {
        go.wait();
        info!("went on");
    })?;
    child.join()?;
    assert_eq!(messages(), ["went on"]);
    Ok(())
}

/// Whoever waits for something else delivers them.
fn after_detaching(context: Context) -> Outcome {
    collect();
    // With what stays: the template of a fork server, and what it keeps ready.
    context.process().start((), |()| ())?.join()?;
    let before = harness::leaks::descriptors().len();
    let said = offspring::sync::Event::new()?;
    let child = context.process().start(said.clone(), |said: offspring::sync::Event| {
        info!("detached");
        said.set();
    })?;
    child.detach();
    said.wait();
    context.process().start((), |()| ())?.join()?;
    assert_eq!(messages(), ["detached"]);
    drop(said);
    // It is collected by whoever starts the next, so that nothing is left.
    harness::eventually("the detached child is collected", || {
        context.process().start((), |()| ()).and_then(offspring::Process::join).expect("it runs");
        harness::leaks::descriptors().len() <= before
    });
    Ok(())
}

fn inherited_closures(_: Context) -> Outcome {
    collect();
    let names = ["a", "b"];
    let child = offspring::fork::start(|| info!("closure {}", names[1]))?;
    child.join()?;
    assert_eq!(messages(), ["closure b"]);
    for done in offspring::fork::map(&names, |name| info!("item {name}"))? {
        done?;
    }
    let mut found = messages();
    found.sort();
    assert_eq!(found, ["item a", "item b"]);
    Ok(())
}
