//! How cost grows with the number of workers, and with the number of tasks.

use std::collections::BTreeMap;
use std::time::Instant;

use offspring::{Context, Pool};

use crate::feeding::in_order;
use crate::plan::{Plan, calibrate};
use crate::table::{Printer, Samples, Table, mebibytes, time, unknown};
use crate::{CONTEXTS, Outcome, system, workers};

/// A row of 10 million tasks that would take longer than this is left out.
const LONGEST: f64 = 60.0;

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    with_workers(plan, printer)?;
    with_contexts(plan, printer)?;
    with_tasks(plan, printer)
}

const HEAD: [&str; 6] = [
    "what",
    "until all have answered",
    "for each task",
    "private memory of an idle worker",
    "descriptors in the parent",
    "shutdown",
];

fn with_workers(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let mut table = Table::new("More workers (ForkServer)", &HEAD);
    for count in [1, 2, 4, 8, 32, 200] {
        if plan.wants(&format!("growth/workers/{count}")) {
            let name = if count == 1 { "1 worker".into() } else { format!("{count} workers") };
            table.row(pool_row(plan, &name, Context::ForkServer, count)?);
        }
    }
    printer.print(&table);
    Ok(())
}

fn with_contexts(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let title =
        "8 workers on each context; targets: 1 MiB private (Fork, ForkServer), 3 descriptors";
    let mut table = Table::new(title, &HEAD);
    for context in CONTEXTS {
        if plan.wants(&format!("growth/contexts/{context}")) {
            table.row(pool_row(plan, &context.to_string(), context, 8)?);
        }
    }
    printer.print(&table);
    Ok(())
}

/// All there is to know about pools of one size, as medians of a few.
fn pool_row(plan: &Plan, name: &str, context: Context, count: usize) -> Outcome<Vec<String>> {
    // The template of the fork server is no worker's descriptor, so it shall be there before.
    context.process().start((), |()| ())?.join()?;
    let mut seen: Vec<Looks> = Vec::new();
    for _ in 0..plan.pick(2, 5) {
        seen.push(look(plan, context, count)?);
    }
    let median = |value: fn(&Looks) -> f64| Samples::new(seen.iter().map(value).collect()).median();
    let last = seen.last().ok_or("at least one pool was made")?;
    let all = if last.answered == count {
        time(median(|looks| looks.ready))
    } else {
        format!("{} of {count} had a task", last.answered)
    };
    let descriptors = last.descriptors;
    Ok(vec![
        name.to_owned(),
        all,
        time(median(|looks| looks.task)),
        mebibytes(last.private),
        descriptors.map_or_else(unknown, |open| each_descriptor(open, count)),
        time(median(|looks| looks.shutdown)),
    ])
}

fn each_descriptor(open: usize, workers: usize) -> String {
    format!("{open} ({:.1} a worker)", open as f64 / workers as f64)
}

/// What was seen of one pool; times in seconds.
struct Looks {
    ready: f64,
    answered: usize,
    task: f64,
    private: Option<u64>,
    descriptors: Option<usize>,
    shutdown: f64,
}

fn look(plan: &Plan, context: Context, count: usize) -> Outcome<Looks> {
    let before = system::descriptors();
    let begin = Instant::now();
    let pool = context.pool().workers(count).build()?;
    let processes = workers::greet(&pool)?;
    let ready = begin.elapsed().as_secs_f64();
    let descriptors =
        system::descriptors().zip(before).map(|(after, before)| after.saturating_sub(before));
    let private = median_private(&processes);
    let task = each_task(plan, &pool)?;
    let shutdown = workers::shut_down(pool)?;
    Ok(Looks { ready, answered: processes.len(), task, private, descriptors, shutdown })
}

/// The middle one of all workers.
fn median_private(processes: &BTreeMap<usize, u32>) -> Option<u64> {
    let all: Option<Vec<u64>> = processes.values().map(|&id| system::private_memory(id)).collect();
    let mut all = all?;
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

fn each_task(plan: &Plan, pool: &Pool<()>) -> Outcome<f64> {
    let tasks = calibrate(plan.stream_seconds(), |tasks| in_order(pool, tasks))?;
    Ok(in_order(pool, tasks)? / tasks as f64)
}

fn with_tasks(plan: &Plan, printer: &Printer) -> Outcome<()> {
    let head = ["what", "for each task", "in all", "growth of this process's peak memory"];
    let mut table = Table::new("More tasks in one map (Spawn, 2 workers)", &head);
    for exponent in 3..=plan.pick(6, 7) {
        let tasks = 10u64.pow(exponent);
        if !plan.wants(&format!("growth/tasks/{tasks}")) {
            continue;
        }
        let pool = workers::warm(Context::Spawn, 2)?;
        let sample = in_order(&pool, 1_000)?;
        let expected = sample / 1_000.0 * tasks as f64;
        let name = format!("{tasks} tasks");
        if expected > LONGEST {
            let skipped = format!("left out: about {}", time(expected));
            table.row(vec![name, unknown(), skipped, unknown()]);
        } else {
            let before = system::forget_peak();
            let took = in_order(&pool, tasks)?;
            let after = system::peak_memory();
            let grown = after.zip(before).map(|(after, before)| after.saturating_sub(before));
            table.row(vec![name, time(took / tasks as f64), time(took), mebibytes(grown)]);
        }
        workers::shut_down(pool)?;
    }
    printer.print(&table);
    Ok(())
}
