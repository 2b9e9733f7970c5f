//! Processes that start and end, again and again: nothing grows, neither here nor in the template.
//!
//! `OFFSPRING_CYCLE_ROUNDS` says how many on each context. How long a start and an end took is written to the file
//! that `OFFSPRING_TORTURE_REPORT` names, and asserted nowhere.

// Only Linux shows in `/proc` what a process holds.
#![cfg(target_os = "linux")]

mod harness;
mod torture;

use std::time::Instant;

use harness::leaks::{children_of, descriptors_of};
use harness::{Outcome, eventually};
use offspring::Context;

/// Until here what is made once was made: caches of the allocator, lists with their room.
const WARM: u64 = 200;
/// More than one page that was touched late; far less than a byte for each of many rounds.
const MOST_GROWTH: u64 = 1 << 20;

/// How many descriptors, children and bytes of its own a process has.
fn held(pid: u32) -> (usize, usize, u64) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let rollup = rollup.unwrap_or_default();
    let own = rollup.lines().filter_map(|line| line.strip_prefix("Private_Dirty:"));
    let kibibytes = own.filter_map(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    (descriptors_of(pid).len(), children_of(pid).len(), kibibytes.sum::<u64>() * 1024)
}

fn all_held() -> Vec<(usize, usize, u64)> {
    let own = std::process::id();
    // What was sent and has arrived is let go.
    harness::leaks::descriptors();
    std::iter::once(own).chain(children_of(own)).map(held).collect()
}

/// Descriptors and children.
fn numbers(held: &[(usize, usize, u64)]) -> Vec<(usize, usize)> {
    held.iter().map(|(descriptors, children, _)| (*descriptors, *children)).collect()
}

/// What is held when that does not change any more: the template closes what its newest child got a moment after it
/// has forked it.
fn settled() -> Vec<(usize, usize, u64)> {
    let mut last = all_held();
    let mut same = 0;
    eventually("nothing changes in the template", || {
        let now = all_held();
        same = if numbers(&now) == numbers(&last) { same + 1 } else { 0 };
        last = now;
        same == 100
    });
    last
}

fn one_round(context: Context, n: u64) -> Result<(), offspring::Error> {
    let child = context.process().start(n, |n| n + 1)?;
    assert_eq!(child.join()?, n + 1, "the result of round {n}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer), timeout = "5min")]
fn starts_and_ends(context: Context) -> Outcome {
    let rounds = torture::scale("OFFSPRING_CYCLE_ROUNDS", 300);
    // Room for all measurements, so that they do not count as growth.
    let mut times = vec![std::time::Duration::MAX; rounds as usize];
    for n in 0..WARM {
        one_round(context, n)?;
    }
    eventually("the template has its spare child", || {
        children_of(std::process::id()).iter().all(|template| children_of(*template).len() == 1)
    });
    let before = settled();
    for (n, time) in (0..).zip(&mut times) {
        let start = Instant::now();
        one_round(context, n)?;
        *time = start.elapsed();
    }
    // The template forks the child of the next start in its own time.
    eventually("as many descriptors and children as before, here and in the template", || {
        numbers(&all_held()) == numbers(&before)
    });
    let after = all_held();
    torture::report(format_args!(
        "cycles on {context}: {}; (descriptors, children, bytes) of this process and the template before \
         {before:?}, after {after:?}",
        torture::summary(&mut times),
    ));
    for (before, after) in before.iter().zip(&after) {
        let most = before.2 + MOST_GROWTH;
        assert!(after.2 < most, "it grew from {} to {} bytes", before.2, after.2);
    }
    Ok(())
}
