//! Dropping a child, and letting it run on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ExitCode, Stdio};

use offspring::{Context, Process};

use super::stage::{assert_gone, is_gone, listen, speak, start_deaf, with_line};
use crate::cases;
use crate::harness::props::stop;
use crate::harness::{Case, Outcome, PROCESSES, eventually, leaks, programs};
use crate::harness::{sleep_for_ever, spin_for_ever};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    drop_stops_a_sleeping_child,
    drop_stops_one_that_ignores_sigterm,
    drop_stops_a_stopped_child,
    drop_stops_one_that_spins_with_signals_blocked,
    drop_of_one_that_has_ended,
    drop_of_one_that_waits_for_us_to_read,
    drop_of_many,
    drop_while_unwinding,
    detached_child_finishes,
    many_detached_children_are_collected,
    detached_child_dies_with_its_parent,
];

fn start_endless(context: Context) -> offspring::Result<Process<()>> {
    context.process().start((), |()| -> () { sleep_for_ever() })
}

fn drop_and_check<R>(child: Process<R>) -> Outcome {
    let pid = child.id();
    assert!(leaks::is_alive(pid), "it runs");
    drop(child);
    assert_gone(pid);
    Ok(())
}

fn drop_stops_a_sleeping_child(context: Context) -> Outcome {
    drop_and_check(start_endless(context)?)
}

fn drop_stops_one_that_ignores_sigterm(context: Context) -> Outcome {
    drop_and_check(start_deaf(context)?)
}

fn drop_stops_a_stopped_child(context: Context) -> Outcome {
    let child = start_deaf(context)?;
    stop(child.id());
    drop_and_check(child)
}

fn drop_stops_one_that_spins_with_signals_blocked(context: Context) -> Outcome {
    let (builder, mut line) = with_line(context);
    let child = builder.start((), |()| -> () {
        let mut all = std::mem::MaybeUninit::uninit();
        // SAFETY: the place is valid for a set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the set is initialised; the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
        speak();
        spin_for_ever()
    })?;
    line.hear();
    drop_and_check(child)
}

fn drop_of_one_that_has_ended(context: Context) -> Outcome {
    let mut child = context.process().start((), |()| vec![7u8; 100])?;
    let pid = child.id();
    eventually("the child has ended", || !child.is_alive());
    drop(child);
    assert_gone(pid);
    Ok(())
}

/// Its result is larger than any buffer of the system, and nobody reads it.
fn drop_of_one_that_waits_for_us_to_read(context: Context) -> Outcome {
    let (builder, mut line) = with_line(context);
    let child = builder.start((), |()| {
        speak();
        vec![7u8; 64 << 20]
    })?;
    line.hear();
    drop_and_check(child)
}

fn drop_of_many(context: Context) -> Outcome {
    let children = (0..8).map(|_| start_endless(context)).collect::<offspring::Result<Vec<_>>>()?;
    let pids: Vec<u32> = children.iter().map(Process::id).collect();
    drop(children);
    pids.into_iter().for_each(assert_gone);
    Ok(())
}

fn drop_while_unwinding(context: Context) -> Outcome {
    let mut pid = 0;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let child = start_deaf(context).expect("it starts");
        pid = child.id();
        panic!("on purpose");
    }));
    caught.unwrap_err();
    assert_gone(pid);
    Ok(())
}

/// Starts and joins children until everything of detached ones is collected.
pub(crate) fn collect(context: Context, before: &std::collections::BTreeSet<String>) {
    eventually("detached children are collected", || {
        let other = context.process().start((), |()| ()).and_then(Process::join);
        other.expect("another child runs");
        leaks::none_more(before, &leaks::descriptors())
    });
}

fn detached_child_finishes(context: Context) -> Outcome {
    let before = leaks::descriptors();
    let (builder, mut line) = with_line(context);
    let child = builder.start((), |()| {
        listen();
        speak();
        listen();
        speak();
    })?;
    drop(builder);
    let pid = child.id();
    child.detach();
    // Not stopped, not ended by what others do meanwhile, and still able to do its work.
    line.say();
    line.hear();
    context.process().start((), |()| ())?.join()?;
    assert!(leaks::is_alive(pid), "a detached child runs on");
    line.say();
    line.hear();
    drop(line);
    collect(context, &before);
    assert_gone(pid);
    Ok(())
}

fn many_detached_children_are_collected(context: Context) -> Outcome {
    let before = leaks::descriptors();
    for round in 0..20 {
        context.process().start(round, |n| n)?.detach();
    }
    collect(context, &before);
    let children = leaks::children_of(std::process::id());
    // Only a fork server's template stays.
    assert!(children.len() <= 1, "{children:?}");
    Ok(())
}

/// Detaches a child that would never end, and says which.
fn detach_one() {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    // Its standard output is not ours, which the case reads to the end.
    let builder = context.process().stdout(offspring::Stdio::null());
    let child = builder.start((), |()| -> () { sleep_for_ever() }).expect("it starts");
    println!("{}", child.id());
    child.detach();
}

pub(crate) fn parent_that_returns() -> ExitCode {
    detach_one();
    ExitCode::SUCCESS
}

pub(crate) fn parent_that_is_killed() -> ExitCode {
    detach_one();
    // SAFETY: no memory is involved.
    unsafe { libc::raise(libc::SIGKILL) };
    ExitCode::FAILURE
}

fn detached_child_dies_with_its_parent(context: Context) -> Outcome {
    for (way, success) in [("returns", true), ("is-killed", false)] {
        let output = programs::command(&format!("detached-child-of-one-that-{way}"))
            .env("OFFSPRING_CONTEXT", context.to_string())
            .stderr(Stdio::inherit())
            .output()?;
        assert_eq!(output.status.success(), success, "{}", output.status);
        let pid: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
        eventually("the child dies with its parent", || !leaks::is_alive(pid));
        // It was nobody's child any more: whoever adopts such processes collects it.
        assert!(is_gone(pid) || !leaks::is_alive(pid));
    }
    Ok(())
}
