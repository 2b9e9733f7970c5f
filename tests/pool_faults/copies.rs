//! The program forks by itself, or a library of it does, while it has children: the copy has nothing of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use offspring::{Context, ErrorKind, SharedSliceMut};

use crate::harness::leaks::{descendants_of, is_alive};
use crate::harness::{self, Outcome, eventually};
use crate::{Scratch, kill, note};

/// Forks, without a word to offspring, and runs something in the copy.
#[expect(clippy::disallowed_methods, reason = "it is about that")]
fn copy(run: impl FnOnce()) -> u32 {
    // SAFETY: the process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        run();
        // SAFETY: it ends the process, and runs nothing.
        unsafe { libc::_exit(0) };
    }
    u32::try_from(pid).expect("it can be forked")
}

fn sleep((): ()) {
    harness::sleep_for_ever()
}

/// Begins, and goes on for ever.
fn spin((): &mut (), log: PathBuf) {
    note(&log, "begun");
    harness::spin_for_ever()
}

fn wait_for(copy: u32) -> i32 {
    let mut status = 0;
    let pid = i32::try_from(copy).expect("a process number");
    // SAFETY: `status` is a place for the result.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_copy_that_drops_all(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    pool.ready(Duration::from_secs(60))?;
    let mut process = context.process().start((), sleep)?;
    // SAFETY: the process has one thread.
    #[expect(clippy::disallowed_methods, reason = "it is about that")]
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(pool);
        drop(process);
        // SAFETY: it ends the process, and runs nothing.
        unsafe { libc::_exit(0) };
    }
    assert_eq!(wait_for(u32::try_from(pid)?), 0, "the copy has dropped them");
    assert_eq!(pool.map(0..100u64, |(), n| n).filter(Result::is_ok).count(), 100);
    assert!(process.is_alive());
    assert_eq!(pool.shutdown()?.replaced(), 0);
    process.stop(Duration::ZERO)?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_copy_that_uses_them(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    pool.ready(Duration::from_secs(60))?;
    let used = copy(|| {
        let error = pool.submit((), |(), ()| ()).and_then(|task| task.join().map_err(Into::into));
        assert!(error.is_err(), "it belongs to the parent");
    });
    assert_eq!(wait_for(used), 0);
    assert_eq!(pool.submit(1u8, |(), n| n)?.join()?, 1);
    pool.shutdown()?;
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_task_is_cancelled_beside_a_copy(context: Context) -> Outcome {
    let log = Scratch::new("log");
    let pool = context.pool().workers(1).build()?;
    pool.ready(Duration::from_secs(60))?;
    let copy = copy(|| sleep(()));
    let task = pool.submit(log.path(), spin)?;
    eventually("it begins", || log.lines().len() == 1);
    task.cancel();
    assert_eq!(task.join().expect_err("it has no result").kind(), ErrorKind::Cancelled);
    assert_eq!(pool.submit(1u8, |(), n| n)?.join()?, 1);
    drop(pool);
    kill(copy, libc::SIGKILL);
    wait_for(copy);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn an_owner_is_killed_beside_its_copy(context: Context) -> Outcome {
    let pids = Scratch::new("pids");
    let owner = copy(|| {
        let pool = context.pool().workers(2).build().expect("it is built");
        pool.ready(Duration::from_secs(60)).expect("they come up");
        let process = context.process().start((), sleep);
        let _process = process.expect("it starts");
        let all = descendants_of(std::process::id());
        let copy = copy(|| sleep(()));
        let all: Vec<String> = all.iter().map(u32::to_string).collect();
        let text = format!("{copy} {}", all.join(" "));
        fs::write(pids.0.with_extension("new"), text).expect("there is room");
        fs::rename(pids.0.with_extension("new"), &pids.0).expect("it is there");
        harness::sleep_for_ever();
    });
    eventually("it has children and a copy", || Path::new(&pids.0).exists());
    let text = fs::read_to_string(&pids.0)?;
    let pids: Vec<u32> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let (copy, children) = pids.split_first().expect("there is a copy");
    assert!(children.len() >= 4, "{children:?}");
    kill(owner, libc::SIGKILL);
    wait_for(owner);
    eventually("its children are gone", || !children.iter().copied().any(is_alive));
    assert!(is_alive(*copy), "the copy is not ours to end");
    kill(*copy, libc::SIGKILL);
    eventually("the copy is gone", || !is_alive(*copy));
    Ok(())
}

#[offspring::test(contexts(Fork))]
fn a_copy_that_drops_a_table_which_is_being_filled(context: Context) -> Outcome {
    const LENGTH: usize = 1 << 20;
    let mut table = SharedSliceMut::<u8>::zeroed(LENGTH)?;
    table[0] = 1;
    // SAFETY: the process has one thread.
    #[expect(clippy::disallowed_methods, reason = "it is about that")]
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(table);
        // Mostly where the table was.
        let bytes: Vec<Vec<u8>> = (0..8).map(|_| vec![7; LENGTH]).collect();
        let sum = offspring::fork::start(|| bytes.iter().flatten().map(|n| usize::from(*n)).sum());
        let sum: usize = sum.and_then(offspring::Process::join).unwrap_or(0);
        // SAFETY: it ends the process, and runs nothing.
        unsafe { libc::_exit(i32::from(sum != 8 * 7 * LENGTH)) };
    }
    assert_eq!(wait_for(u32::try_from(pid)?), 0, "a child of the copy reads what the copy has");
    let table = table.freeze()?;
    assert_eq!(context.process().start(table, |table| table[0])?.join()?, 1);
    Ok(())
}
