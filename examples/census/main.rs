//! Counts the words of all text files below some folders, and those that no dictionary knows.
//!
//! ```sh
//! cargo run --release --example census -- [options] [paths]     # --help says which
//! ```
//!
//! The dictionary is a table in shared memory, built once. Workers read the files and look the
//! words up, on one context after the other, with the same code. You will see what each context costs, that the
//! table is in memory once however many processes map it, and that the answer is the same.

mod count;
mod files;
mod memory;
mod options;
mod progress;
mod report;
mod table;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use offspring::Context;

use count::{Count, count_files};
use files::Task;
use memory::Memory;
use options::Options;
use table::Table;

fn main() -> ExitCode {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();

    let exit = match options::read(std::env::args_os().skip(1)) {
        Ok(Some(options)) => census(&options),
        Ok(None) => report::help().map(|()| ExitCode::SUCCESS).map_err(Box::from),
        Err(message) => Err(format!("{message}; --help says more").into()),
    };
    exit.unwrap_or_else(|error| {
        // If even standard error is closed, nobody is there to be told.
        let _ = writeln!(io::stderr(), "census: {error}");
        ExitCode::FAILURE
    })
}

fn census(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let started = Instant::now();
    let table = Table::build(options.table_mib)?;
    report::dictionary(&table, started.elapsed())?;

    let tasks = files::find(&options.paths)?;
    if tasks.is_empty() {
        return Err("there is no file to count in".into());
    }
    report::input(&tasks)?;

    report::heading()?;
    let mut answer: Option<Count> = None;
    let mut agree = true;
    for &context in &options.contexts {
        // A context may be refused, and the others are still worth seeing.
        match run(context, options.workers, &table, &tasks) {
            Ok((count, run)) => {
                report::row(context, &count, &run)?;
                match &answer {
                    Some(answer) => agree &= *answer == count,
                    None => answer = Some(count),
                }
            }
            Err(error) => {
                report::failure(context, &*error)?;
                agree = false;
            }
        }
    }
    report::answer(answer.as_ref(), agree)?;
    Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run on one context took.
struct Run {
    workers: usize,
    /// From before the pool was built until all its processes were gone.
    wall: Duration,
    /// From before the pool was built.
    first_result: Option<Duration>,
    /// While the workers were there. `None` where the system does not tell.
    memory: Option<Memory>,
}

/// Counts on one context. The code is the same for all; `context` is a value like any other.
fn run(
    context: Context,
    workers: Option<usize>,
    table: &Table,
    tasks: &[Task],
) -> Result<(Count, Run), Box<dyn Error>> {
    let started = Instant::now();
    // The table travels to each worker as two descriptors, and is what each worker keeps as its state.
    let mut builder = context.pool().init(table.clone(), |table| table);
    if let Some(workers) = workers {
        builder = builder.workers(workers);
    }
    let pool = builder.build()?;

    let mut count = Count::default();
    let mut first_result = None;
    let parts = pool.map_unordered(tasks.iter().map(|task| task.paths.clone()), count_files);
    for part in progress::of_tasks(context, tasks.len())?.wrap_iter(parts) {
        first_result.get_or_insert_with(|| started.elapsed());
        count.add(part?);
    }
    let worked = started.elapsed();

    let memory = memory::of_all_processes(&table.addresses());
    let workers = pool.workers();

    let ending = Instant::now();
    pool.shutdown()?;
    Ok((count, Run { workers, wall: worked + ending.elapsed(), first_result, memory }))
}
