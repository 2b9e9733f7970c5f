//! A child starts a child, on every pair of contexts; and the end of the outer one ends the inner.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use offspring::{Context, ErrorKind, Process};
use offspring_platform::lifeline;

use crate::cases;
use crate::harness::leaks::{descendants_of, is_alive};
use crate::harness::programs::command;
use crate::harness::props::{Scratch, note};
use crate::harness::{self, Case, Outcome, eventually, sleep_for_ever};
use crate::tools::{run, send_signal};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    every_pair,
    three_generations,
    killed_outer_ends_inner_process,
    killed_outer_ends_inner_pool,
    killed_worker_ends_its_children,
    inner_outlives_nothing_when_the_outer_returns,
];

pub(crate) const CASES_INLINE: &[Case] = cases![on &[Context::Inline] => every_pair_inline];

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// What an inner child tells: its answer, its process, its parent's process.
type Told = (u32, u32);

fn inner_task(n: u32) -> Told {
    (n * 2, std::process::id())
}

fn by_process(context: Context) -> Result<Vec<Told>, String> {
    let child = context.process().start(21, inner_task).map_err(text)?;
    Ok(vec![child.join().map_err(text)?])
}

fn by_pool(context: Context) -> Result<Vec<Told>, String> {
    let pool = context.pool().workers(2).init(1u32, |one| one).build().map_err(text)?;
    let all: Result<Vec<Told>, _> =
        pool.map(13..21u32, |one, n| inner_task(*one * 21 + n / 100)).collect();
    let all = all.map_err(text)?;
    pool.shutdown().map_err(text)?;
    Ok(all)
}

/// In the outer child: what inner children tell, and this process's number.
fn inner(context: Context, pool: bool) -> Result<(Vec<Told>, u32), String> {
    let told = if pool { by_pool(context) } else { by_process(context) }?;
    Ok((told, std::process::id()))
}

/// Where the lifeline of a child is a thread, a child cannot fork, and says so.
fn refuses_to_fork(outer: Context, inner: Context) -> bool {
    lifeline::IS_A_THREAD && outer.is_isolated() && inner == Context::Fork
}

fn check_pairs(outer: Context) -> Outcome {
    for inner_context in Context::ALL {
        for inner_pool in [false, true] {
            let label = format!("{inner_context} (pool: {inner_pool}) in {outer}");
            let sent = (inner_context, inner_pool);
            if refuses_to_fork(outer, inner_context) {
                let child = outer.process().start(sent, |(context, pool)| inner(context, pool))?;
                let text = child.join()?.expect_err(&label);
                assert!(text.contains("2 threads are running"), "{label}: {text}");
                continue;
            }
            let check = |how: &str, result: Result<(Vec<Told>, u32), String>| {
                let (told, pid) = result.unwrap_or_else(|error| panic!("{label} {how}: {error}"));
                assert_eq!(pid != std::process::id(), outer.is_isolated(), "{label} {how}");
                assert_eq!(told.len(), if inner_pool { 8 } else { 1 }, "{label} {how}");
                for (answer, inner_pid) in told {
                    assert_eq!(answer, 42, "{label} {how}");
                    assert_eq!(inner_pid != pid, inner_context.is_isolated(), "{label} {how}");
                }
            };
            let child = outer.process().start(sent, |(context, pool)| inner(context, pool))?;
            check("process", child.join()?);
            let pool = outer.pool().workers(2).build()?;
            for result in pool.map([sent, sent], |(), (context, pool)| inner(context, pool)) {
                check("pool", result?);
            }
            // In an initialiser, whose inner pool lives as long as the worker.
            drop(pool);
            let state = outer.pool().workers(1).init(sent, |(context, pool)| inner(context, pool));
            for result in state.build()?.map([()], |told, ()| told.clone()) {
                check("initialiser", result?);
            }
        }
    }
    Ok(())
}

fn every_pair(context: Context) -> Outcome {
    check_pairs(context)
}

/// Program: the outer context is Inline, so that its template is this process's own.
pub(crate) fn outer_inline() -> ExitCode {
    // SAFETY: nothing here must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    check_pairs(Context::Inline).expect("every pair works");
    ExitCode::SUCCESS
}

fn every_pair_inline(_: Context) -> Outcome {
    run(&mut command("outer_inline")).expect_success("outer_inline");
    Ok(())
}

fn three_generations(context: Context) -> Outcome {
    for middle in harness::IN_CHILDREN {
        for last in harness::IN_CHILDREN {
            let child = context.process().start((*middle, *last), |(middle, last)| {
                let child = middle.process().start(last, |last| {
                    let child = last.process().start(5u32, |n| n + 1).map_err(text)?;
                    child.join().map_err(text)
                });
                child.and_then(Process::join).map_err(text)?
            })?;
            assert_eq!(child.join()?, Ok(6), "{last} in {middle} in {context}");
        }
    }
    Ok(())
}

/// Writes a line to standard output at once, past the buffer that others share.
fn say(pids: &[u32]) {
    let line: Vec<String> = pids.iter().map(u32::to_string).collect();
    let mut output = std::io::stdout();
    output.write_all(format!("{}\n", line.join(" ")).as_bytes()).expect("somebody reads");
    output.flush().expect("somebody reads");
}

fn sleep((): ()) {
    sleep_for_ever()
}

/// The numbers that a child says on the other end.
fn hear(from: UnixStream) -> Result<Vec<u32>, Box<dyn std::error::Error>> {
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line)?;
    Ok(line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

fn expect_gone(what: &str, pids: &[u32]) {
    assert!(!pids.is_empty(), "{what}: there are some");
    for pid in pids {
        eventually(&format!("{pid} is gone: {what}"), || !is_alive(*pid));
    }
}

fn killed_outer_ends_inner_process(context: Context) -> Outcome {
    for inner in harness::IN_CHILDREN {
        let (ours, theirs) = UnixStream::pair()?;
        let builder = context.process().stdout(OwnedFd::from(theirs));
        let outer = builder.start(*inner, |inner| {
            let children: Vec<Process<()>> = (0..3)
                .map(|_| inner.process().start((), sleep))
                .collect::<Result<_, _>>()
                .expect("they start");
            say(&children.iter().map(Process::id).collect::<Vec<_>>());
            sleep(());
        })?;
        drop(builder);
        let mut pids = hear(ours)?;
        assert_eq!(pids.len(), 3, "{inner} in {context}");
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{inner} in {context}: they run");
        // A template too.
        pids.extend(descendants_of(outer.id()));
        send_signal(outer.id(), libc::SIGKILL);
        let error = outer.join().expect_err("it was killed");
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
        expect_gone(&format!("{inner} in {context}"), &pids);
    }
    Ok(())
}

fn killed_outer_ends_inner_pool(context: Context) -> Outcome {
    for inner in harness::IN_CHILDREN {
        // A file and not a pipe: both write, and what they write must not mix, however little is written at once.
        let log = Scratch::new("pids");
        let outer = context.process().start((*inner, log.path()), |(inner, log)| {
            let pool = inner.pool().workers(2).build().expect("it starts");
            // Each says that it has begun.
            for _ in pool.map([log.clone(), log], |(), log| {
                note(&log, std::process::id());
                sleep(());
            }) {}
        })?;
        eventually("both have begun", || log.lines().len() == 2);
        let mut pids: Vec<u32> =
            log.lines().iter().map(|line| line.parse()).collect::<Result<_, _>>()?;
        pids.extend(descendants_of(outer.id()));
        send_signal(outer.id(), libc::SIGKILL);
        assert_eq!(outer.join().expect_err("it was killed").signal(), Some(libc::SIGKILL));
        expect_gone(&format!("a pool of {inner} in {context}"), &pids);
    }
    Ok(())
}

fn killed_worker_ends_its_children(context: Context) -> Outcome {
    for inner in harness::IN_CHILDREN {
        let pool = context.pool().workers(1).build()?;
        let path = crate::tools::temporary("pids");
        let mut results = pool.map([Some((*inner, path.clone())), None], |(), sent| {
            let Some((inner, path)) = sent else { return };
            let child = inner.process().start((), sleep).expect("it starts");
            let all: Vec<u32> = descendants_of(std::process::id()).into_iter().collect();
            assert!(all.contains(&child.id()));
            let text: Vec<String> = all.iter().map(u32::to_string).collect();
            std::fs::write(path, text.join(" ")).expect("it can be written");
            send_signal(std::process::id(), libc::SIGKILL);
        });
        let error = results.next().expect("one").expect_err("its worker was killed");
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        let pids: Vec<u32> = std::fs::read_to_string(&path)?
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        expect_gone(&format!("{inner} in a worker of {context}"), &pids);
        results.next().expect("another")?;
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn inner_outlives_nothing_when_the_outer_returns(context: Context) -> Outcome {
    for inner in harness::IN_CHILDREN {
        let outer = context.process().start(*inner, |inner| {
            let child = inner.process().start((), sleep).expect("it starts");
            let detached = inner.process().start((), sleep).expect("it starts");
            let mut pids = vec![child.id(), detached.id()];
            detached.detach();
            // Neither joined nor dropped.
            std::mem::forget(child);
            pids.extend(descendants_of(std::process::id()));
            pids
        })?;
        expect_gone(&format!("{inner} in {context}"), &outer.join()?);
    }
    Ok(())
}
