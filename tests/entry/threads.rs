//! Starting beside threads, from threads, and by threads that end.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offspring::{Context, ErrorKind, Global, Phase, Process};

use crate::harness::leaks::children_of;
use crate::harness::programs::command;
use crate::harness::props::{note, wait_for};
use crate::harness::{Case, Outcome, eventually};
use crate::tools::{Gate, run, temporary, wait_at_gate};
use crate::{BY_EXEC, cases};

pub(crate) const CASES_BY_EXEC: &[Case] = cases![on BY_EXEC =>
    beside_busy_threads,
    from_many_threads,
    by_a_thread_that_ends,
];

pub(crate) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    first_use_raced,
    first_use_on_a_short_lived_thread,
    a_limit_while_another_thread_starts,
];

fn beside_busy_threads(context: Context) -> Outcome {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..8usize {
            let stop = &stop;
            // They hold what a fork would copy in an odd state: the allocator's and std's locks.
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    black_box(vec![n; 1000 + n]);
                    black_box(std::env::vars_os().count());
                }
            });
        }
        let work = || -> Outcome {
            for n in 0..20u32 {
                let child = context.process().start(n, |n| {
                    black_box(vec![n; 5000]);
                    n + 1
                })?;
                assert_eq!(child.join()?, n + 1);
            }
            let pool = context.pool().workers(2).build()?;
            let sum: Result<Vec<u32>, _> = pool.map(0..100u32, |(), n| n).collect();
            assert_eq!(sum?.iter().sum::<u32>(), 4950);
            Ok(())
        };
        let outcome = work();
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

fn from_many_threads(context: Context) -> Outcome {
    let barrier = Barrier::new(16);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16u32)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || -> Result<(), String> {
                    barrier.wait();
                    for n in 0..20u32 {
                        let sent = thread * 100 + n;
                        let child = context.process().start(sent, |n| (n, std::process::id()));
                        let child = child.map_err(|error| format!("start {sent}: {error:?}"))?;
                        let id = child.id();
                        let back = child.join().map_err(|error| format!("{sent}: {error:?}"))?;
                        if back != (sent, id) {
                            return Err(format!("sent {sent} to {id}, got {back:?}"));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread panics")?;
        }
        Ok(())
    })
}

fn wait_for_one_thread() {
    eventually("one thread is left", || {
        std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) == 1
    });
}

fn by_a_thread_that_ends(context: Context) -> Outcome {
    let (mut gate, stdin) = Gate::new();
    let thread = std::thread::spawn(move || {
        context.process().stdin(stdin).start(20u32, |n| {
            wait_at_gate();
            n + 1
        })
    });
    let mut child = thread.join().expect("no panic")?;
    // A signal at the end of the thread that started the child would have come before this.
    wait_for_one_thread();
    assert!(child.is_alive(), "it outlives the thread: {:?}", child.exit_status());
    gate.open();
    assert_eq!(child.join()?, 21);

    let pool = std::thread::spawn(move || context.pool().workers(2).build());
    let pool = pool.join().expect("no panic")?;
    wait_for_one_thread();
    let all: Result<Vec<u32>, _> = pool.map(0..20u32, |(), n| n + 1).collect();
    assert_eq!(all?, (1..=20).collect::<Vec<_>>());
    assert_eq!(pool.shutdown()?.replaced(), 0, "the workers outlive the thread");
    Ok(())
}

/// Program: eight threads use the fork server, which does not run yet, at once.
pub(crate) fn first_use() -> ExitCode {
    offspring::init();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for n in 0..5 {
                    let child = Context::ForkServer.process().start(thread + n, |n| n + 1);
                    let back = child.and_then(Process::join).expect("it answers");
                    assert_eq!(back, thread + n + 1);
                }
            });
        }
    });
    let templates = children_of(std::process::id());
    assert_eq!(templates.len(), 1, "templates: {templates:?}");
    ExitCode::SUCCESS
}

fn first_use_raced(_: Context) -> Outcome {
    for _ in 0..5 {
        run(&mut command("first_use")).expect_success("first_use");
    }
    Ok(())
}

/// Program: the template is started by a thread that ends.
pub(crate) fn first_use_by_a_thread_that_ends() -> ExitCode {
    offspring::init();
    let (mut gate, stdin) = Gate::new();
    let thread = std::thread::spawn(move || {
        Context::ForkServer.process().stdin(stdin).start(1u8, |n| {
            wait_at_gate();
            n + 1
        })
    });
    let mut child = thread.join().expect("no panic").expect("it starts");
    let template = children_of(std::process::id());
    wait_for_one_thread();
    let second = Context::ForkServer.process().start(5u8, |n| n + 1);
    assert_eq!(second.and_then(Process::join).expect("it answers"), 6);
    assert_eq!(children_of(std::process::id()), template, "the template is the same");
    assert!(child.is_alive());
    gate.open();
    assert_eq!(child.join().expect("it answers"), 2);
    ExitCode::SUCCESS
}

fn first_use_on_a_short_lived_thread(_: Context) -> Outcome {
    run(&mut command("first_use_by_a_thread_that_ends")).expect_success("short");
    Ok(())
}

static SETTING: Global<u8> = Global::new();

/// Program: its template takes long to come up, and who waits for another thread that starts it waits as long as it
/// said, and not as long as that one does.
pub(crate) fn slow_template() -> ExitCode {
    let go = temporary("go");
    if std::env::var_os("OFFSPRING_CHILD").is_some() {
        wait_for(&go);
    }
    offspring::init();
    // The plain one, and then the one that makes the globals.
    for round in 0..2 {
        let (own, before) = (std::process::id(), children_of(std::process::id()));
        let add_one = |limit| {
            let builder = Context::ForkServer.process().start_timeout(limit);
            builder.start(1u8, |n| n + 1).and_then(Process::join)
        };
        let first = std::thread::spawn(move || add_one(Duration::from_secs(300)));
        eventually("a template comes up", || children_of(own) != before);
        for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
            let error = add_one(limit).expect_err("there is none yet");
            assert_eq!(error.kind(), ErrorKind::TimedOut, "round {round}: {error}");
            assert_eq!(error.phase(), Phase::NotStarted, "round {round}: {error}");
            assert!(error.to_string().contains("start_timeout"), "round {round}: {error}");
        }
        assert!(!first.is_finished(), "it waits still");
        let second = std::thread::spawn(move || add_one(Duration::from_secs(300)));
        note(&go, "go");
        for thread in [first, second] {
            assert_eq!(thread.join().expect("no panic").expect("it starts"), 2, "round {round}");
        }
        assert_eq!(children_of(own).len(), before.len() + 1, "one was started");
        std::fs::remove_file(&go).expect("it was there");
        if round == 0 {
            SETTING.set((), |()| 1).expect("it is set once");
        }
    }
    ExitCode::SUCCESS
}

fn a_limit_while_another_thread_starts(_: Context) -> Outcome {
    run(&mut command("slow_template")).expect_success("slow_template");
    Ok(())
}
