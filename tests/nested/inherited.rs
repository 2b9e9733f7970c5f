//! Handles that a forked child inherits from its parent: of no use there, and of no harm.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool, Process};

use crate::cases;
use crate::harness::leaks::{
    Snapshot, children_of, descendants_of, descriptors_at_rest as descriptors, is_alive, none_more,
};
use crate::harness::{self, Case, Outcome, eventually};
use crate::tools::{Gate, wait_at_gate};

/// The context is that of the handle; the child that inherits it is always one by fork.
pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    process_handles,
    several_process_handles,
    pool_handles,
    a_map_under_way,
    a_detached_process,
];

pub(crate) const CASES_OF_THE_FORK_SERVER: &[Case] = cases![on &[Context::ForkServer] =>
    a_template_in_parent_and_child,
    a_template_in_a_pool_of_forks,
];

/// What the child finds.
static PROCESS: Mutex<Option<Process<u32>>> = Mutex::new(None);
static POOL: Mutex<Option<Pool<u32>>> = Mutex::new(None);

fn take<T>(place: &Mutex<Option<T>>) -> T {
    place.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it was inherited")
}

fn put<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

const WAYS: [&str; 11] = [
    "drop",
    "join",
    "join_timeout",
    "kill",
    "terminate",
    "stop",
    "is_alive",
    "exit_status",
    "detach",
    "as_fd",
    "exit",
];

/// In the child: uses the handle of its parent's child. What it did, or why not.
#[expect(clippy::exit, reason = "it is one of the ways")]
fn use_process(way: String) -> Result<String, String> {
    let mut process = take(&PROCESS);
    let before = descriptors();
    let text = |error: offspring::Error| format!("{:?}", error.kind());
    let done = match way.as_str() {
        "drop" => {
            drop(process);
            Ok("dropped".to_owned())
        }
        "join" => process.join().map(|n| n.to_string()).map_err(text),
        "join_timeout" => {
            process.join_timeout(Duration::from_secs(3600)).map(|n| format!("{n:?}")).map_err(text)
        }
        "kill" => process.kill().map(|()| "killed".to_owned()).map_err(text),
        "terminate" => process.terminate().map(|()| "terminated".to_owned()).map_err(text),
        "stop" => process.stop(Duration::ZERO).map(|exit| exit.to_string()).map_err(text),
        "is_alive" => Ok(format!("alive {}", process.is_alive())),
        "exit_status" => Ok(format!("{:?}", process.exit_status())),
        // Documented to panic.
        "as_fd" => Ok(format!("{:?}", std::os::fd::AsFd::as_fd(&process))),
        "detach" => {
            process.detach();
            Ok("detached".to_owned())
        }
        _ => std::process::exit(3),
    };
    let after = descriptors();
    let opened: BTreeSet<_> = after.difference(&before).collect();
    if opened.is_empty() { done } else { Err(format!("{way} opened {opened:?}")) }
}

fn process_handles(context: Context) -> Outcome {
    for way in WAYS {
        let before = Snapshot::take();
        let (mut gate, stdin) = Gate::new();
        let child = context.process().stdin(stdin).start(20u32, |n| {
            wait_at_gate();
            n + 1
        })?;
        put(&PROCESS, child);
        let open = descriptors();
        let done = Context::Fork.process().start(way.to_owned(), use_process)?.join();
        match &done {
            Err(error) if way == "exit" => {
                assert_eq!(error.exit(), Some(offspring::Exit::Code(3)), "{way}");
            }
            Err(error) if way == "as_fd" => {
                assert_eq!(error.kind(), ErrorKind::Panicked, "{way}: {error}");
            }
            Ok(Ok(done)) => {
                let harmless = ["dropped", "detached", "alive true", "alive false", "None"];
                assert!(harmless.contains(&done.as_str()), "{way}: {done}");
            }
            Ok(Err(kind)) => {
                assert!(["System", "Closed"].contains(&kind.as_str()), "{way}: {kind}")
            }
            Err(error) => panic!("{way}: {error:?}"),
        }
        assert_eq!(descriptors(), open, "{way}: the parent's descriptors");
        let mut child = take(&PROCESS);
        assert!(child.is_alive(), "{way}: it ended: {:?}", child.exit_status());
        gate.open();
        assert_eq!(child.join()?, 21, "{way}");
        drop(gate);
        before.compare().map_err(|leak| format!("{way}: {leak}"))?;
    }
    Ok(())
}

/// A child that inherits handles and starts children of its own, whose descriptors get the numbers that
/// its parent's had: none of them is closed twice.
fn several_process_handles(context: Context) -> Outcome {
    static GROUP: Mutex<Vec<Process<u32>>> = Mutex::new(Vec::new());
    let mut gates = Vec::new();
    for n in 0..8u32 {
        let (gate, stdin) = Gate::new();
        gates.push(gate);
        let child = context.process().stdin(stdin).start(n, |n| {
            wait_at_gate();
            n
        })?;
        GROUP.lock().unwrap_or_else(PoisonError::into_inner).push(child);
    }
    let user = Context::Fork.process().start((), |()| {
        let mut inherited =
            std::mem::take(&mut *GROUP.lock().unwrap_or_else(PoisonError::into_inner));
        let own: Vec<Process<u32>> = (0..8u32)
            .map(|n| Context::Spawn.process().start(n, |n| n + 100))
            .collect::<Result<_, _>>()
            .expect("they start");
        for child in &inherited {
            child.kill().expect_err("it is not this process's child");
        }
        let last = inherited.pop().expect("one of them");
        drop(inherited);
        last.join().expect_err("it is not this process's child");
        own.into_iter().map(|child| child.join().map_err(|error| error.to_string())).collect()
    })?;
    let own: Vec<Result<u32, String>> = user.join()?;
    assert_eq!(own, (100..108).map(Ok).collect::<Vec<_>>());
    gates.iter_mut().for_each(Gate::open);
    let group = std::mem::take(&mut *GROUP.lock().unwrap_or_else(PoisonError::into_inner));
    for (n, child) in (0..).zip(group) {
        assert_eq!(child.join()?, n);
    }
    Ok(())
}

/// In the child: uses its parent's pool.
#[expect(clippy::exit, reason = "it is one of the ways")]
fn use_pool(way: String) -> Result<String, String> {
    let pool = take(&POOL);
    let text = |error: offspring::Error| format!("{:?}", error.kind());
    match way.as_str() {
        "drop" => {
            drop(pool);
            Ok("dropped".into())
        }
        "map" => {
            let result: Result<Vec<u32>, _> = pool.map(0..10u32, |ten, n| *ten + n).collect();
            result.map(|list| format!("{list:?}")).map_err(|error| text(error.into()))
        }
        "map_unordered" => {
            let results = pool.map_unordered(0..10u32, |ten, n| *ten + n);
            let result: Result<Vec<u32>, _> = results.collect();
            result.map(|list| format!("{list:?}")).map_err(|error| text(error.into()))
        }
        "shutdown" => pool.shutdown().map(|report| format!("{report:?}")).map_err(text),
        "look" => {
            assert_eq!((pool.workers(), pool.context() == Context::Inline), (3, false));
            Ok("looked".into())
        }
        _ => std::process::exit(3),
    }
}

fn pool_handles(context: Context) -> Outcome {
    for way in ["drop", "map", "map_unordered", "shutdown", "look", "exit"] {
        let before = Snapshot::take();
        let pool = context.pool().workers(3).init(10u32, |ten| ten).build()?;
        let pids = |pool: &Pool<u32>| -> Result<BTreeSet<u32>, Box<dyn std::error::Error>> {
            let mut pids = BTreeSet::new();
            for result in pool.map(0..30u32, |ten, n| (*ten + n, std::process::id())) {
                let (sum, pid) = result?;
                assert!((10..40).contains(&sum), "{sum}");
                pids.insert(pid);
            }
            Ok(pids)
        };
        let first = pids(&pool)?;
        put(&POOL, pool);
        let open = descriptors();
        let done = Context::Fork.process().start(way.to_owned(), use_pool)?.join();
        match &done {
            Err(error) if way == "exit" => {
                assert_eq!(error.exit(), Some(offspring::Exit::Code(3)), "{way}");
            }
            Ok(Ok(done)) => {
                assert!(["dropped", "looked"].contains(&done.as_str()), "{way}: {done}")
            }
            Ok(Err(kind)) => assert_eq!(kind, "Closed", "{way}"),
            Err(error) => panic!("{way}: {error:?}"),
        }
        assert_eq!(descriptors(), open, "{way}: the parent's descriptors");
        assert!(first.iter().all(|pid| is_alive(*pid)), "{way}: a worker died");
        let pool = take(&POOL);
        pids(&pool)?;
        let report = pool.shutdown()?;
        assert_eq!(report.replaced(), 0, "{way}: {report:?}");
        assert_eq!(report.tasks(), 60, "{way}: {report:?}");
        before.compare().map_err(|leak| format!("{way}: {leak}"))?;
    }
    Ok(())
}

/// The parent forks while results of its pool are on their way, from the very loop that takes them.
fn a_map_under_way(context: Context) -> Outcome {
    let pool = context.pool().workers(2).init(10u32, |ten| ten).build()?;
    put(&POOL, pool);
    let place = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = place.as_ref().expect("it is there");
    for (n, result) in (0u32..).zip(pool.map(0..200u32, |ten, n| *ten + n)) {
        assert_eq!(result?, n + 10);
        if n % 50 == 0 {
            let child = Context::Fork.process().start(n, |n| n + 1)?;
            assert_eq!(child.join()?, n + 1);
        }
    }
    drop(place);
    assert_eq!(take(&POOL).shutdown()?.tasks(), 200);
    Ok(())
}

fn a_detached_process(context: Context) -> Outcome {
    let without_gate = descriptors();
    let (mut gate, stdin) = Gate::new();
    let child = context.process().stdin(stdin).start((), |()| wait_at_gate())?;
    let pid = child.id();
    child.detach();
    // A forked child comes by the list of detached ones when it starts and joins others.
    let user = Context::Fork.process().start((), |()| {
        let child = Context::Spawn.process().start(1u32, |n| n + 1);
        child.and_then(Process::join).map_err(|error| error.to_string())
    })?;
    assert_eq!(user.join()?, Ok(2));
    assert!(is_alive(pid), "a forked child ended its parent's detached child");
    gate.open();
    eventually("it ends", || !is_alive(pid));
    drop(gate);
    // Collected by one that comes by, as soon as its end is reported.
    eventually("it is collected", || {
        let next = Context::Fork.process().start((), |()| ()).and_then(Process::join);
        next.is_ok() && none_more(&without_gate, &descriptors())
    });
    Ok(())
}

fn template() -> BTreeSet<u32> {
    children_of(std::process::id())
}

fn use_fork_server() -> Result<Vec<u32>, String> {
    let mut answers = Vec::new();
    for n in 0..3u32 {
        let child = Context::ForkServer.process().start(n, |n| n + 1);
        answers.push(child.and_then(Process::join).map_err(|error| format!("{error:?}"))?);
    }
    Ok(answers)
}

fn a_template_in_parent_and_child(_: Context) -> Outcome {
    let before = template();
    assert_eq!(before.len(), 1, "one template: {before:?}");
    for _ in 0..3 {
        assert_eq!(use_fork_server()?, [1, 2, 3]);
        let child = Context::Fork.process().start((), |()| {
            use_fork_server().map(|answers| (answers, descendants_of(std::process::id())))
        })?;
        let (answers, of_child) = child.join()??;
        assert_eq!(answers, [1, 2, 3]);
        assert_eq!(of_child.len(), 1, "the child has a template of its own: {of_child:?}");
        assert!(before.is_disjoint(&of_child), "not its parent's: {of_child:?}");
        for pid in of_child {
            eventually("the child's template ends with it", || !is_alive(pid));
        }
        assert_eq!(use_fork_server()?, [1, 2, 3]);
        assert_eq!(template(), before, "the parent's template is the same");
    }
    Ok(())
}

fn a_template_in_a_pool_of_forks(_: Context) -> Outcome {
    let before = template();
    let pool = Context::Fork.pool().workers(3).build()?;
    for result in pool.map(0..12u8, |(), _| use_fork_server()) {
        assert_eq!(result??, [1, 2, 3]);
    }
    pool.shutdown()?;
    assert_eq!(use_fork_server()?, [1, 2, 3]);
    assert_eq!(template(), before, "the parent's template is the same");
    Ok(())
}
