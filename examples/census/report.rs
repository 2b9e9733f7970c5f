//! What is printed.
//!
//! With `write!`, which reports a closed pipe as an error, where `println!` panics.

use std::cmp::Reverse;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use offspring::Context;

use crate::Run;
use crate::count::Count;
use crate::files::Task;
use crate::options::HELP;
use crate::table::Table;

const LEGEND: &str = "\
wall        until all processes of the pool are gone; like the 1st result, from before it is built
memory      proportional (PSS), of this process, supervisors and workers together; of it the table, and
            how many of these processes have it mapped (known on Linux only)";

/// How many of the unknown words are shown.
const TOP: usize = 10;

pub(crate) fn help() -> io::Result<()> {
    io::stdout().write_all(HELP.as_bytes())
}

pub(crate) fn dictionary(table: &Table, took: Duration) -> io::Result<()> {
    let (words, size) = (table.len(), mib(table.size() as u64));
    writeln!(io::stdout(), "dictionary  {words} words, {size} of shared memory, made in {took:.1?}")
}

pub(crate) fn input(tasks: &[Task]) -> io::Result<()> {
    let files: usize = tasks.iter().map(|task| task.paths.len()).sum();
    let bytes = mib(tasks.iter().map(|task| task.bytes).sum());
    writeln!(io::stdout(), "input       {files} files, {bytes}, in {} tasks\n", tasks.len())
}

pub(crate) fn heading() -> io::Result<()> {
    line(["context", "workers", "words", "unknown", "wall", "1st result", "memory", "of it table"])
}

pub(crate) fn row(context: Context, count: &Count, run: &Run) -> io::Result<()> {
    let unknown = count.words - count.known;
    let first = run.first_result.map_or("none".into(), |took| format!("{took:.1?}"));
    let (memory, table) = run.memory.as_ref().map_or(("n/a".into(), "n/a".into()), |memory| {
        (mib(memory.total), format!("{} in {}", mib(memory.table), memory.sharers))
    });
    line([
        &context.to_string(),
        &run.workers.to_string(),
        &count.words.to_string(),
        &unknown.to_string(),
        &format!("{:.1?}", run.wall),
        &first,
        &memory,
        &table,
    ])
}

fn line(columns: [&str; 8]) -> io::Result<()> {
    let [context, workers, words, unknown, wall, first, memory, table] = columns;
    writeln!(
        io::stdout(),
        "{context:10} {workers:>7} {words:>10} {unknown:>9} {wall:>9} {first:>10} {memory:>10} {table:>16}"
    )
}

/// Why a context has no row.
pub(crate) fn failure(context: Context, error: &dyn Error) -> io::Result<()> {
    writeln!(io::stdout(), "{context:10} {error}")?;
    let mut error = error.source();
    while let Some(cause) = error {
        writeln!(io::stdout(), "{:10} because: {cause}", "")?;
        error = cause.source();
    }
    Ok(())
}

/// The answer, which is the same for all contexts, or else that it is not.
pub(crate) fn answer(count: Option<&Count>, agree: bool) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "\n{LEGEND}\n")?;
    if let Some(count) = count {
        let Count { files, binary, unreadable, words, known, .. } = count;
        writeln!(out, "files       {files} of text, {binary} binary, {unreadable} unreadable")?;
        writeln!(out, "words       {words}: {known} known, {} unknown", words - known)?;
        writeln!(out, "unknown     {} different; most often:", count.unknown.len())?;
        for (word, times) in most_often(count) {
            writeln!(out, "  {times:>8}  {word}")?;
        }
    }
    writeln!(
        out,
        "\n{}",
        if agree { "all contexts agree" } else { "NOT all contexts gave the same answer" }
    )
}

/// Words that occur equally often are in alphabetical order, so that each run prints the same.
fn most_often(count: &Count) -> Vec<(&str, u64)> {
    let mut words: Vec<_> =
        count.unknown.iter().map(|(word, &times)| (word.as_str(), times)).collect();
    words.sort_unstable_by_key(|&(word, times)| (Reverse(times), word));
    words.truncate(TOP);
    words
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
