//! Children that log more than anybody reads: bounded on both sides, no end of waiting, and nothing lost that is
//! not counted.

use std::sync::atomic::{AtomicU64, Ordering};

use log::info;
use offspring::sync::Event;
use offspring::{Context, SharedArray};

use crate::harness::{Case, Outcome, PROCESSES, eventually};
use crate::{cases, collect, got, told_dropped};

pub(super) const CASES: &[Case] = cases![on PROCESSES =>
    nobody_reads_for_long,
    a_worker_of_which_nobody_reads,
    dead_with_a_full_ring,
    many_workers_and_a_reader,
    texts_without_end,
];

pub(super) const LINUX: &[Case] = cases![on PROCESSES =>
    #[cfg(target_os = "linux")]
    a_million_records_take_no_memory,
];

/// Delivered and dropped records are all there were, and those delivered are in order.
fn check_all_accounted_for(total: u64, got: &[crate::Got]) -> u64 {
    let mut last = None;
    let mut count = 0;
    for got in got.iter().filter(|got| got.target != "offspring") {
        let number: u64 = got.message.parse().expect("a number");
        assert!(last.is_none_or(|last| last < number), "{number} after {last:?}");
        last = Some(number);
        count += 1;
    }
    let dropped = told_dropped(got);
    assert_eq!(count + dropped, total, "{count} delivered, {dropped} dropped");
    dropped
}

/// The function goes on, whoever does not read.
fn nobody_reads_for_long(context: Context) -> Outcome {
    collect();
    let done = Event::new()?;
    let child = context.process().start(done.clone(), |done: Event| {
        (0..10_000).for_each(|n| info!("{n}"));
        done.set();
    })?;
    done.wait();
    let pid = child.id();
    child.join()?;
    let got = got();
    let dropped = check_all_accounted_for(10_000, &got);
    assert!(dropped > 0, "all fitted, which this test does not expect");
    let told = got.last().expect("records");
    assert_eq!(told.level, log::Level::Warn);
    assert!(told.message.contains(&format!("(pid {pid})")), "{}", told.message);
    assert_eq!(told.source.map(|source| source.pid()), Some(pid));
    Ok(())
}

fn a_worker_of_which_nobody_reads(context: Context) -> Outcome {
    collect();
    let done = Event::new()?;
    let pool = context.pool().workers(2).init(done.clone(), |done| done).build()?;
    // From then on a task needs nobody who waits for it.
    pool.ready(std::time::Duration::MAX)?;
    let task = |done: &mut Event, ()| {
        (0..10_000).for_each(|n| info!("{n}"));
        done.set();
        offspring::worker().expect("a worker").index()
    };
    let task = pool.submit((), task)?;
    done.wait();
    let worker = task.join()?;
    let got_first = got();
    check_all_accounted_for(10_000, &got_first);
    let told = got_first.last().expect("records");
    assert!(told.message.contains(&format!("worker {worker} ")), "{}", told.message);
    // Now somebody reads again, and nothing more is dropped.
    for done in pool.broadcast((), |_: &mut Event, ()| info!("10"))? {
        done?;
    }
    let messages: Vec<_> = got().into_iter().map(|got| got.message).collect();
    assert_eq!(messages, ["10", "10"]);
    Ok(())
}

fn dead_with_a_full_ring(context: Context) -> Outcome {
    collect();
    let count = SharedArray::<AtomicU64>::new(1)?;
    let mut child =
        context.process().start(count.clone(), |count: SharedArray<AtomicU64>| -> () {
            for n in 0.. {
                info!("{n}");
                count[0].store(n + 1, Ordering::Relaxed);
            }
        })?;
    eventually("it logs on", || count[0].load(Ordering::Relaxed) > 20_000);
    child.kill()?;
    eventually("it has ended", || !child.is_alive());
    child.join().expect_err("it was killed");
    let got = got();
    // It may have been killed between a record and the count of it.
    let total = count[0].load(Ordering::Relaxed);
    let last: u64 = got.iter().filter(|got| got.target != "offspring").count() as u64;
    let all = last + told_dropped(&got);
    assert!(all == total || all == total + 1, "{all} of {total}");
    Ok(())
}

fn many_workers_and_a_reader(context: Context) -> Outcome {
    collect();
    let pool = context.pool().workers(4).build()?;
    let task = |_: &mut (), first: u64| (first..first + 2_000).for_each(|n| info!("{n}"));
    for done in pool.map((0..8).map(|part| part * 2_000), task) {
        done?;
    }
    let got = got();
    let dropped = told_dropped(&got);
    let mut numbers: Vec<u64> = got
        .iter()
        .filter(|got| got.target != "offspring")
        .map(|got| got.message.parse().expect("a number"))
        .collect();
    let count = numbers.len() as u64;
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len() as u64, count, "none twice");
    assert_eq!(count + dropped, 16_000, "{count} delivered, {dropped} dropped");
    Ok(())
}

fn texts_without_end(context: Context) -> Outcome {
    collect();
    let child = context.process().start((), |()| {
        info!("{}", "ä".repeat(1 << 20));
        info!(key = "b".repeat(1 << 20).as_str(); "with a long value");
        info!("short");
    })?;
    child.join()?;
    let got = got();
    assert_eq!(got.len(), 3, "{} records", got.len());
    assert!(got[0].message.starts_with("ääää"), "the beginning is there");
    assert!(got[0].message.ends_with(" more bytes)"), "it says that it was cut");
    assert!(got[0].message.len() < 20 << 10, "{} bytes", got[0].message.len());
    assert_eq!(got[1].message, "with a long value");
    assert!(got[1].pairs[0].1.ends_with(" more bytes)"), "it says that it was cut");
    assert_eq!(got[2].message, "short");
    Ok(())
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the system tells");
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number");
    pages * 4096
}

#[cfg(target_os = "linux")]
fn a_million_records_take_no_memory(context: Context) -> Outcome {
    const COUNT: u64 = 1_000_000;
    collect();
    let done = Event::new()?;
    let before = resident();
    let child = context.process().start(done.clone(), |done: Event| {
        info!("0");
        let before = resident();
        (1..COUNT).for_each(|n| info!("{n}"));
        let grown = resident().saturating_sub(before);
        done.set();
        grown
    })?;
    done.wait();
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "this process has grown by {grown} bytes");
    let grown = child.join()?;
    assert!(grown < 4 << 20, "the child has grown by {grown} bytes");
    check_all_accounted_for(COUNT, &got());
    Ok(())
}
