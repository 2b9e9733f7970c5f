//! Tables of results, for people or for a document.

use std::fmt::Write;

use crate::catalogue::{OURS, THREADS};
use crate::results::{Results, Row};

/// What "one task for each" shall reach beside procspawn.
const AIM: f64 = 300.0;

/// Seconds in the unit that suits them.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 0.1 => format!("{v:.4}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

fn ratio(results: &Results, row: &Row) -> Option<f64> {
    row.ratio(results.beside(row)?)
}

/// Name, time, ratio, runs, remarks.
fn cells(results: &Results, row: &Row) -> [String; 5] {
    let entry = results.entry(row);
    let dash = || "–".to_owned();
    let times = ratio(results, row).filter(|_| entry.program != OURS && results.is_whole(row));
    [
        entry.label.to_owned(),
        row.median().map_or_else(dash, time),
        times.map_or_else(dash, |times| format!("{} × {}", three_digits(times), entry.beside)),
        row.count().to_string(),
        row.remarks.join(" / ").replace('|', "\\|"),
    ]
}

pub fn table(results: &Results, markdown: bool) -> String {
    let measure = &results.measure;
    let head =
        ["library and way", measure.unit, "× offspring", "runs", "remarks"].map(str::to_owned);
    let rows: Vec<[String; 5]> = results.rows.iter().map(|row| cells(results, row)).collect();
    let mut text = String::new();
    // A `String` takes everything.
    let _ = match markdown {
        true => writeln!(text, "### {}\n", measure.title),
        false => writeln!(text, "{} ({})", measure.title, measure.id),
    };
    let width = |column: usize| {
        std::iter::once(&head)
            .chain(&rows)
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3, 4].map(width);
    let line = |cells: &[String; 5]| match markdown {
        true => format!("| {} |", cells.join(" | ")),
        false => {
            let [name, time, ratio, runs, remarks] = cells;
            let [a, b, c, d, _] = widths;
            format!("  {name:<a$}  {time:>b$}  {ratio:>c$}  {runs:>d$}  {remarks}")
                .trim_end()
                .to_owned()
        }
    };
    let _ = writeln!(text, "{}", line(&head));
    if markdown {
        let _ = writeln!(text, "| --- | ---: | ---: | ---: | --- |");
    }
    rows.iter().for_each(|row| {
        let _ = writeln!(text, "{}", line(row));
    });
    text
}

/// What each measure says in a line: offspring's best way beside the best peer, and the aim of one task.
pub fn headlines(all: &[Results], markdown: bool) -> String {
    let mut text = if markdown { "### In short\n\n" } else { "In short\n" }.to_owned();
    for results in all {
        let fastest = |is_ours: bool| {
            let wanted = |row: &&Row| {
                let program = results.entry(row).program;
                program != THREADS && (program == OURS) == is_ours && results.is_whole(row)
            };
            let by_time = |row: &&Row| row.median().unwrap_or(f64::INFINITY).to_bits();
            results.rows.iter().filter(wanted).min_by_key(by_time)
        };
        let (Some(ours), Some(peer)) = (fastest(true), fastest(false)) else { continue };
        let words = |row: &Row| {
            format!("{} {}", results.entry(row).label, row.median().map_or_else(String::new, time))
        };
        let _ = writeln!(
            text,
            "* {}: {}; the fastest peer: {} ({} ×)",
            results.measure.title,
            words(ours),
            words(peer),
            peer.ratio(ours).map_or_else(String::new, three_digits),
        );
    }
    let tasks = all.iter().find(|results| results.measure.id == "tasks");
    let procspawn = tasks.and_then(|tasks| {
        let row = tasks.rows.iter().find(|row| tasks.entry(row).program == "procspawn")?;
        ratio(tasks, row)
    });
    if let Some(times) = procspawn {
        let verdict = if times >= AIM { "met" } else { "missed" };
        let times = three_digits(times);
        let _ = writeln!(
            text,
            "* One task costs procspawn {times} × offspring's time (aim: {AIM} ×): {verdict}"
        );
    }
    text
}
