//! Starting beside threads, from threads, and by threads that end.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use offspring::{Context, Process};

use crate::harness::leaks::children_of;
use crate::harness::programs::command;
use crate::harness::{Case, Outcome, eventually};
use crate::tools::{Gate, run, wait_at_gate};
use crate::{BY_EXEC, cases};

pub(crate) const CASES_BY_EXEC: &[Case] = cases![on BY_EXEC =>
    beside_busy_threads,
    from_many_threads,
    by_a_thread_that_ends,
];

pub(crate) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    first_use_raced,
    first_use_on_a_short_lived_thread,
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
