//! What it costs to give a worker many bytes: as a vector, and as a slice in shared memory.

use std::time::Instant;

use offspring::{Context, Pool, SharedSlice};

use crate::bare::copy::{Copier, Mapper};
use crate::feeding::{ends, sum, work};
use crate::plan::Plan;
use crate::table::{Printer, Table, Target};
use crate::{Outcome, workers};

const MIB: usize = 1 << 20;
/// How many slices are sent, one after the other, in one repetition.
const MAPPINGS: u32 = 500;

fn content(length: usize) -> Vec<u8> {
    (0..length as u64 / 8).flat_map(|word| work(word).to_ne_bytes()).collect()
}

/// Beside one copy into memory that both have touched before. The argument is given away on both sides: each
/// repetition has one of its own, made before the clock starts, and its end is in the time.
pub(crate) fn vector(plan: &Plan, table: &mut Table) -> Outcome<()> {
    if !plan.wants("feeding/64mib-vec") {
        return Ok(());
    }
    let bytes = content(64 * MIB);
    let expected = sum(&bytes);
    let copier = Copier::start(bytes.len())?;
    let pool = workers::warm(Context::Spawn, 1)?;
    let ours = || {
        let argument = bytes.clone();
        let begin = Instant::now();
        let answer = pool.map([argument], |(), bytes: Vec<u8>| sum(&bytes)).next();
        let took = begin.elapsed().as_secs_f64();
        assert_eq!(answer.ok_or("one task has one outcome")??, expected);
        Ok(took)
    };
    let bare = || copier.send(bytes.clone(), expected);
    let pair = plan.repetitions().compare(bare, ours)?;
    workers::shut_down(pool)?;
    copier.stop()?;
    let what = "64 MiB Vec<u8>, one worker, until summed (limit: copy to shared memory)";
    table.pair(what, &pair, Target::Ratio(1.3));
    Ok(())
}

/// Seconds for each of some times that a worker is sent the slice and looks at both ends.
fn send(pool: &Pool<()>, slice: &SharedSlice<u8>, expected: u64) -> Outcome<f64> {
    let begin = Instant::now();
    for _ in 0..MAPPINGS {
        let task = |(): &mut (), slice: SharedSlice<u8>| ends(&slice);
        let answer = pool.map([slice.clone()], task).next();
        assert_eq!(answer.ok_or("one task has one outcome")??, expected);
    }
    Ok(begin.elapsed().as_secs_f64() / f64::from(MAPPINGS))
}

/// Beside a file in memory that is sent, mapped, looked at and unmapped.
pub(crate) fn slices(plan: &Plan, table: &mut Table) -> Outcome<()> {
    for (name, size, length) in [("64kib", "64 KiB", MIB / 16), ("64mib", "64 MiB", 64 * MIB)] {
        if !plan.wants(&format!("feeding/{name}-shared")) {
            continue;
        }
        let bytes = content(length);
        let slice = SharedSlice::from_slice(&bytes)?;
        let mapper = Mapper::start(&bytes)?;
        let pool = workers::warm(Context::Spawn, 1)?;
        let pair = plan
            .repetitions()
            .compare(|| mapper.send(MAPPINGS), || send(&pool, &slice, ends(&bytes)))?;
        workers::shut_down(pool)?;
        mapper.stop()?;
        let what =
            format!("{size} SharedSlice, one worker, until looked at (limit: descriptor, mmap)");
        table.pair(&what, &pair, Target::Words("–"));
    }
    Ok(())
}

/// One size beside the other, in turns: what travels is a descriptor.
pub(crate) fn sizes(plan: &Plan, printer: &Printer) -> Outcome<()> {
    if !plan.wants("feeding/shared-sizes") {
        return Ok(());
    }
    let title =
        "A large slice beside a small one (Spawn, 1 worker, until looked at; both offspring)";
    let mut table = Table::new(title, &["what", "64 KiB", "64 MiB", "ratio", "target"]);
    let [small, large] = [MIB / 16, 64 * MIB].map(content);
    let slices = (SharedSlice::from_slice(&small)?, SharedSlice::from_slice(&large)?);
    let pool = workers::warm(Context::Spawn, 1)?;
    let pair = plan.repetitions().compare(
        || send(&pool, &slices.0, ends(&small)),
        || send(&pool, &slices.1, ends(&large)),
    )?;
    workers::shut_down(pool)?;
    table.pair("SharedSlice", &pair, Target::Ratio(1.25));
    printer.print(&table);
    Ok(())
}
