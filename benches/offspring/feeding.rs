//! What it costs to give a task to a warm worker and have its answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use offspring::{Context, Pool};

use crate::bare::ring::{RingPool, Shape};
use crate::plan::{Plan, calibrate};
use crate::table::{Pair, Printer, Samples, Table, Target};
use crate::{Outcome, large, round_trips, workers};

/// As many words as the caller packs into one task, where it does.
const CHUNK: usize = 64;
/// What `PoolBuilder::timeline` recommends.
const INTERVALS: usize = 4096;
/// Words in an item of 1 KiB.
const ITEM: usize = 128;

/// The task of most measurements: next to nothing, and its answer can be checked.
pub(crate) fn work(number: u64) -> u64 {
    number.wrapping_mul(3).wrapping_add(1)
}

/// The sum of all whole words.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(8).fold(0, |sum, chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        sum.wrapping_add(u64::from_ne_bytes(word))
    })
}

/// Something that can be known only by looking at both ends.
pub(crate) fn ends(bytes: &[u8]) -> u64 {
    let end = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or(0));
    bytes.len() as u64 + (end(bytes.first()) << 40) + (end(bytes.last()) << 48)
}

/// The median of some short batches: who was without a processor during a few of them does not matter.
pub(crate) fn typical(batch: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let batches: Outcome<Vec<f64>> = std::iter::repeat_with(batch).take(9).collect();
    Ok(Samples::new(batches?).median())
}

/// A task with one number in flight.
pub(crate) fn there_and_back(pool: &Pool<()>, number: u64) -> Outcome<u64> {
    Ok(pool.submit(number, |(), number| work(number))?.join()?)
}

/// Many numbers, answers in order. In seconds.
pub(crate) fn in_order(pool: &Pool<()>, tasks: u64) -> Outcome<f64> {
    let begin = Instant::now();
    let mut count = 0;
    for answer in pool.map(0..tasks, |(), number| work(number)) {
        assert_eq!(answer?, work(count));
        count += 1;
    }
    assert_eq!(count, tasks);
    Ok(begin.elapsed().as_secs_f64())
}

/// Many numbers, answers as they come. In seconds.
fn as_they_come(pool: &Pool<()>, tasks: u64) -> Outcome<f64> {
    let begin = Instant::now();
    let (mut count, mut total) = (0, 0u64);
    for answer in pool.map_unordered(0..tasks, |(), number| work(number)) {
        total = total.wrapping_add(answer?);
        count += 1;
    }
    assert_eq!((count, total), (tasks, all_work(tasks)));
    Ok(begin.elapsed().as_secs_f64())
}

/// The sum of `work` over all numbers below `count`.
fn all_work(count: u64) -> u64 {
    (0..count).map(work).fold(0, u64::wrapping_add)
}

/// A bare pool for this one repetition: its workers never sleep, so they must not live while something
/// else is measured. Starting and stopping it is not in the time. In seconds.
pub(crate) fn bare_ring(
    shape: Shape,
    tasks: u64,
    job: impl Fn(&[AtomicU64], &[AtomicU64]),
    fill: impl FnMut(u64, &[AtomicU64]),
    expected: u64,
) -> Outcome<f64> {
    let pool = RingPool::start(shape, job)?;
    let mut total = 0u64;
    let begin = Instant::now();
    pool.run(tasks, fill, |answer| {
        total = answer.iter().map(load).fold(total, u64::wrapping_add);
    });
    let took = begin.elapsed().as_secs_f64();
    pool.stop()?;
    assert_eq!(total, expected);
    Ok(took)
}

pub(crate) fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn bare_numbers(tasks: u64, width: usize) -> Outcome<f64> {
    let shape = Shape { workers: 2, task: width, answer: width, slots: 1024 };
    let each = width as u64;
    let job = |task: &[AtomicU64], answer: &[AtomicU64]| {
        for (task, answer) in task.iter().zip(answer) {
            answer.store(work(load(task)), Ordering::Relaxed);
        }
    };
    let fill = |index: u64, slot: &[AtomicU64]| {
        let numbers = index * each..;
        slot.iter().zip(numbers).for_each(|(word, number)| word.store(number, Ordering::Relaxed));
    };
    bare_ring(shape, tasks, job, fill, all_work(tasks * each))
}

fn bare_items(tasks: u64) -> Outcome<f64> {
    let shape = Shape { workers: 2, task: ITEM, answer: 1, slots: 1024 };
    let job = |task: &[AtomicU64], answer: &[AtomicU64]| {
        let total = task.iter().map(load).fold(0, u64::wrapping_add);
        answer[0].store(total, Ordering::Relaxed);
    };
    let fill = |index: u64, slot: &[AtomicU64]| {
        slot.iter().for_each(|word| word.store(word_of_item(index), Ordering::Relaxed));
    };
    bare_ring(shape, tasks, job, fill, all_items(tasks))
}

/// What an item of 1 KiB is full of.
fn word_of_item(index: u64) -> u64 {
    u64::from_ne_bytes([index.to_ne_bytes()[0]; 8])
}

fn all_items(tasks: u64) -> u64 {
    let item = |index| word_of_item(index).wrapping_mul(ITEM as u64);
    (0..tasks).map(item).fold(0, u64::wrapping_add)
}

/// Caller's chunks of numbers. In seconds.
fn in_chunks(pool: &Pool<()>, chunks: u64) -> Outcome<f64> {
    let each = CHUNK as u64;
    let begin = Instant::now();
    let mut total = 0u64;
    let inputs = (0..chunks).map(|chunk| (chunk * each..(chunk + 1) * each).collect());
    for answer in pool.map(inputs, |(), chunk: Vec<u64>| chunk.into_iter().map(work).collect()) {
        let answer: Vec<u64> = answer?;
        total = answer.into_iter().fold(total, u64::wrapping_add);
    }
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(total, all_work(chunks * each));
    Ok(took)
}

/// Items of 1 KiB to the workers, a number back. In seconds.
fn as_items(pool: &Pool<()>, tasks: u64) -> Outcome<f64> {
    let begin = Instant::now();
    let mut total = 0u64;
    let inputs = (0..tasks).map(|index| vec![index.to_ne_bytes()[0]; ITEM * 8]);
    for answer in pool.map(inputs, |(), item: Vec<u8>| sum(&item)) {
        total = total.wrapping_add(answer?);
    }
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(total, all_items(tasks));
    Ok(took)
}

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut table = Table::of_ratios("Feeding 2 warm workers (Spawn; time for each item)");
    streams(plan, &mut table)?;
    round_trips::measure(plan, printer, &mut table)?;
    large::vector(plan, &mut table)?;
    large::slices(plan, &mut table)?;
    printer.print(&table);
    large::sizes(plan, printer)?;
    insight(plan, printer)
}

/// Many tasks in flight.
fn streams(plan: &Plan, table: &mut Table) -> Outcome<()> {
    type Bare = fn(u64) -> Outcome<f64>;
    type Ours = fn(&Pool<()>, u64) -> Outcome<f64>;
    let numbers: Bare = |tasks| bare_numbers(tasks, 1);
    let chunks: Bare = |tasks| bare_numbers(tasks, CHUNK);
    let rows: [(&str, &str, Bare, Ours, usize, f64); 4] = [
        ("ordered", "number to number, in order (limit: ring)", numbers, in_order, 1, 150e-9),
        ("unordered", "the same, as they come (limit: ring)", numbers, as_they_come, 1, 150e-9),
        ("chunks", "the same in chunks of 64 (limit: ring)", chunks, in_chunks, CHUNK, 30e-9),
        ("items", "1 KiB there, a number back (limit: ring)", bare_items, as_items, 1, 333e-9),
    ];
    for (name, what, bare, ours, items, target) in rows {
        if plan.wants(&format!("feeding/{name}")) {
            let pair = stream(plan, bare, ours, items)?;
            table.pair(what, &pair, Target::Time(target));
        }
    }
    Ok(())
}

/// Seconds for each item of a stream, of which one task holds `items`.
fn stream(
    plan: &Plan,
    bare: impl Fn(u64) -> Outcome<f64>,
    ours: impl Fn(&Pool<()>, u64) -> Outcome<f64>,
    items: usize,
) -> Outcome<Pair> {
    let pool = workers::warm(Context::Spawn, 2)?;
    let bare_tasks = calibrate(plan.stream_seconds(), &bare)?;
    let our_tasks = calibrate(plan.stream_seconds(), |tasks| ours(&pool, tasks))?;
    let each = |seconds: f64, tasks: u64| seconds / tasks as f64 / items as f64;
    let pair = plan.repetitions().compare(
        || Ok(each(bare(bare_tasks)?, bare_tasks)),
        || Ok(each(ours(&pool, our_tasks)?, our_tasks)),
    )?;
    workers::shut_down(pool)?;
    Ok(pair)
}

/// The same tasks with and without a timeline.
fn insight(plan: &Plan, printer: &Printer) -> Outcome<()> {
    if !plan.wants("feeding/timeline") {
        return Ok(());
    }
    let title = "What a timeline costs (Spawn, 2 workers; time for each item)";
    let mut table = Table::new(title, &["what", "without", "with", "ratio", "target"]);
    let without = workers::warm(Context::Spawn, 2)?;
    let with = Context::Spawn.pool().workers(2).timeline(INTERVALS).build()?;
    workers::greet(&with)?;
    let tasks = calibrate(plan.stream_seconds(), |tasks| in_order(&with, tasks))?;
    let each = |seconds: f64| seconds / tasks as f64;
    let pair = plan
        .repetitions()
        .compare(|| in_order(&without, tasks).map(each), || in_order(&with, tasks).map(each))?;
    workers::shut_down(without)?;
    workers::shut_down(with)?;
    table.pair("number to number, in order", &pair, Target::Words("–"));
    printer.print(&table);
    Ok(())
}
