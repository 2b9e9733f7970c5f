//! One task in flight: with a worker that sleeps until it comes, with one that watches, and with one on the same
//! processor.

use std::time::Instant;

use offspring::{Context, Pool};

use crate::bare::bell::{self, Sleeper};
use crate::bare::processor;
use crate::feeding::{there_and_back, typical, work};
use crate::plan::{Budget, Plan};
use crate::sleeping::Sleeping;
use crate::table::{Pair, Printer, Table, Target};
use crate::{Outcome, system, workers};

pub(crate) fn measure(plan: &Plan, printer: &Printer, table: &mut Table) -> Outcome<()> {
    let count = plan.pick(1_000, 5_000);
    if plan.wants("feeding/round-trip-asleep") {
        asleep(plan, printer, table, count)?;
    }
    if plan.wants("feeding/round-trip-awake") {
        let pool = workers::warm(Context::Spawn, 1)?;
        let ours = || typical(|| round_trips(&pool, count));
        let pair = plan.repetitions().compare(|| bell::watchful_round_trips(count), ours)?;
        workers::shut_down(pool)?;
        let what = "round trip, one worker, processors free (limit: both watch a word)";
        table.pair(what, &pair, Target::Time(2e-6));
    }
    if plan.wants("feeding/round-trip-one-processor") {
        one_processor(plan, printer, table, count)?;
    }
    Ok(())
}

/// Seconds for each of so many, one after the other.
fn round_trips(pool: &Pool<()>, count: u64) -> Outcome<f64> {
    let begin = Instant::now();
    for number in 0..count {
        assert_eq!(there_and_back(pool, number)?, work(number));
    }
    Ok(begin.elapsed().as_secs_f64() / count as f64)
}

/// Nobody is asked before the system says that it has gone to sleep again. The worker and the bare child have a
/// processor of their own, the same, and this process has another: else it is the scheduler's choice that is measured.
fn asleep(plan: &Plan, printer: &Printer, table: &mut Table, count: u64) -> Outcome<()> {
    if system::sleep(std::process::id()).is_none() {
        printer.note("feeding/round-trip-asleep: skipped, this system does not say who sleeps");
        return Ok(());
    }
    let sleeper = Sleeper::start()?;
    // It has had tasks, so everybody knows by now that there are several processors.
    let pool = workers::warm(Context::Spawn, 1)?;
    let worker = *workers::greet(&pool)?.values().next().ok_or("one worker answered")?;
    let Some(kept) = processor::keep_apart(&[sleeper.process(), worker])? else {
        printer.note("feeding/round-trip-asleep: skipped, it needs two processors");
        return Ok(());
    };
    let (mut bare, mut ours) = (Sleeping::of(sleeper.process()), Sleeping::of(worker));
    let pair = plan.repetitions().compare(
        || bare.each(count, |number| Ok(sleeper.ask(number)?)),
        || ours.each(count, |number| there_and_back(&pool, number)),
    )?;
    kept.release()?;
    workers::shut_down(pool)?;
    sleeper.stop()?;
    let what =
        "round trip, a worker that sleeps, on another processor (limit: two eventfds, likewise)";
    table.pair(what, &pair, Target::Ratio(1.5));
    Ok(())
}

/// All on one processor, in a process of its own: how many there are is asked but once in the life of a process, and
/// whoever believes in more of them watches in vain.
fn one_processor(plan: &Plan, printer: &Printer, table: &mut Table, count: u64) -> Outcome<()> {
    let Some(kept) = processor::keep_one()? else {
        printer.note("feeding/round-trip-one-processor: skipped, this system has no such call");
        return Ok(());
    };
    let Budget { least, most, seconds } = plan.repetitions();
    let child = Context::Spawn.process().start((least, most, seconds, count), kept_on_one)?;
    kept.release()?;
    let pair = Pair::new(&child.join()??);
    let what = "round trip, one worker, one processor for all (limit: two eventfds, likewise)";
    table.pair(what, &pair, Target::Ratio(1.5));
    Ok(())
}

/// In a child that may use one processor: the seconds of both sides, in turns.
fn kept_on_one(
    (least, most, seconds, count): (usize, usize, f64, u64),
) -> Result<Vec<(f64, f64)>, String> {
    let measure = || {
        let sleeper = Sleeper::start()?;
        let pool = workers::warm(Context::Spawn, 1)?;
        let pairs = Budget { least, most, seconds }
            .rounds(|| sleeper.round_trips(count), || round_trips(&pool, count))?;
        workers::shut_down(pool)?;
        sleeper.stop()?;
        Outcome::Ok(pairs)
    };
    measure().map_err(|error| error.to_string())
}
