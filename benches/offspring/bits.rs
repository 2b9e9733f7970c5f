//! A small job from start to end: count the on bits of all 16-bit numbers, one number a task.

use std::sync::atomic::Ordering;
use std::time::Instant;

use offspring::{Context, SharedSlice};

use crate::bare::ring::{RingPool, Shape};
use crate::feeding::load;
use crate::plan::Plan;
use crate::table::{Printer, Table, Target};
use crate::{CONTEXTS, Outcome, workers};

const NUMBERS: u64 = 1 << 16;
/// Each of 16 bits is on in half of all numbers.
const BITS: u64 = NUMBERS * 8;

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let title = "65,536 tasks of one table look-up each, start and end of 2 workers included";
    let mut table = Table::of_ratios(title);
    let bits: SharedSlice<u8> =
        SharedSlice::from_iter((0..=u16::MAX).map(|number| number.count_ones() as u8))?;
    let runs = CONTEXTS.into_iter().chain([Context::Inline]);
    for context in runs {
        if !plan.wants(&format!("bits/{context}")) {
            continue;
        }
        let pair = plan.repetitions().compare(|| bare(&bits), || ours(context, &bits))?;
        let (limit, target) = match context {
            Context::Inline => ("no process", Target::Words("for debugging")),
            Context::Spawn => ("2 workers", Target::Time(15e-3)),
            _ => ("2 workers", Target::Time(10e-3)),
        };
        let what = format!("{context}, {limit} (limit: 2 forks and rings)");
        table.pair(&what, &pair, target);
    }
    if plan.wants("bits/thread") {
        let pair = plan.repetitions().compare(|| bare(&bits), || alone(&bits))?;
        let what = "a loop in this thread, no offspring at all (same limit)";
        table.pair(what, &pair, Target::Words("do this instead"));
    }
    printer.print(&table);
    Ok(())
}

/// On the least pool that can be made. In seconds.
fn bare(bits: &[u8]) -> Outcome<f64> {
    let begin = Instant::now();
    // Small rings: the first touch of their memory is part of this.
    let shape = Shape { workers: 2, task: 1, answer: 1, slots: 256 };
    let pool = RingPool::start(shape, |task, answer| {
        let found = usize::try_from(load(&task[0])).map_or(0, |number| bits[number]);
        answer[0].store(u64::from(found), Ordering::Relaxed);
    })?;
    let mut total = 0;
    pool.run(
        NUMBERS,
        |number, slot| slot[0].store(number, Ordering::Relaxed),
        |answer| total += load(&answer[0]),
    );
    pool.stop()?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(total, BITS);
    Ok(took)
}

/// As examples/bits.rs does it. In seconds.
fn ours(context: Context, bits: &SharedSlice<u8>) -> Outcome<f64> {
    let begin = Instant::now();
    let pool = context.pool().workers(2).init(bits.clone(), |bits| bits).build()?;
    let mut total = 0;
    for answer in pool.map(0..=u16::MAX, |bits, number| u64::from(bits[usize::from(number)])) {
        total += answer?;
    }
    workers::shut_down(pool)?;
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(total, BITS);
    Ok(took)
}

/// Without any process. In seconds.
fn alone(bits: &[u8]) -> Outcome<f64> {
    let begin = Instant::now();
    let numbers = std::hint::black_box(0..=u16::MAX);
    let total: u64 = numbers.map(|number| u64::from(bits[usize::from(number)])).sum();
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(std::hint::black_box(total), BITS);
    Ok(took)
}
