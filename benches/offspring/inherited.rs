//! What it saves to inherit the inputs: `fork::map` beside `Pool::map`, on the same items.

use std::time::Instant;

use offspring::{Context, TaskError, fork};

use crate::Outcome;
use crate::feeding::{sum, work};
use crate::plan::Plan;
use crate::table::{Printer, Table, Target};

const WORKERS: usize = 2;
/// Bytes in a large item.
const ITEM: usize = 1 << 10;

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut table = Table::new(
        "Inputs that are sent, and inputs that are inherited (Fork, 2 workers, start and end included; time for each)",
        &["what", "map", "fork::map", "ratio", "target"],
    );
    let count: u64 = plan.pick(100_000, 1_000_000);
    if plan.wants("inherited/numbers") {
        let items: Vec<u64> = (0..count).collect();
        let expected = items.iter().copied().map(work).fold(0, u64::wrapping_add);
        let pair = plan.repetitions().compare(
            || {
                let begin = Instant::now();
                let pool = Context::Fork.pool().workers(WORKERS).build()?;
                let total = total(pool.map(items.iter().copied(), |(), number| work(number)))?;
                pool.shutdown()?;
                each(begin, total, expected, items.len())
            },
            || {
                let begin = Instant::now();
                let total = total(fork::workers(WORKERS).map(&items, |number| work(*number))?)?;
                each(begin, total, expected, items.len())
            },
        )?;
        table.pair("number to number", &pair, Target::Words("–"));
    }
    if plan.wants("inherited/items") {
        let items: Vec<Vec<u8>> =
            (0..count / 10).map(|index| vec![index.to_ne_bytes()[0]; ITEM]).collect();
        let expected = items.iter().map(|item| sum(item)).fold(0, u64::wrapping_add);
        let pair = plan.repetitions().compare(
            || {
                let begin = Instant::now();
                let pool = Context::Fork.pool().workers(WORKERS).build()?;
                let inputs = items.iter().cloned();
                let total = total(pool.map(inputs, |(), item: Vec<u8>| sum(&item)))?;
                pool.shutdown()?;
                each(begin, total, expected, items.len())
            },
            || {
                let begin = Instant::now();
                let total = total(fork::workers(WORKERS).map(&items, |item| sum(item))?)?;
                each(begin, total, expected, items.len())
            },
        )?;
        table.pair("1 KiB to number", &pair, Target::Words("–"));
    }
    printer.print(&table);
    Ok(())
}

fn total(answers: impl Iterator<Item = Result<u64, TaskError>>) -> Result<u64, TaskError> {
    answers.into_iter().try_fold(0u64, |total, answer| Ok(total.wrapping_add(answer?)))
}

/// Seconds for each, if the total is right.
fn each(begin: Instant, total: u64, expected: u64, count: usize) -> Outcome<f64> {
    let took = begin.elapsed().as_secs_f64();
    assert_eq!(total, expected);
    Ok(took / count as f64)
}
