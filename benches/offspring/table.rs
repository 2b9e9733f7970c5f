//! Medians, quantiles and ratios, and how they are printed.

use std::fmt::Write;

/// Measured values, in ascending order.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of a hundred samples do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent + 50) / 100).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }
}

/// The bare limit and offspring, measured in turns; in seconds.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) bare: Samples,
    pub(crate) ours: Samples,
    ratio: f64,
}

impl Pair {
    pub(crate) fn new(pairs: &[(f64, f64)]) -> Self {
        Self {
            bare: Samples::new(pairs.iter().map(|pair| pair.0).collect()),
            ours: Samples::new(pairs.iter().map(|pair| pair.1).collect()),
            // Pair by pair, since the machine's speed drifts from one to the next.
            ratio: Samples::new(pairs.iter().map(|pair| pair.1 / pair.0).collect()).median(),
        }
    }
}

/// What is aimed at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// At most so many times the bare limit.
    Ratio(f64),
    /// At most so many seconds.
    Time(f64),
    /// Something that one number cannot tell.
    Words(&'static str),
}

impl Target {
    fn text(self, ratio: f64, ours: f64) -> String {
        let verdict = |met: bool| if met { "met" } else { "missed" };
        match self {
            Self::Ratio(most) => format!("≤ {most} ×: {}", verdict(ratio <= most)),
            Self::Time(most) => format!("≤ {}: {}", time(most), verdict(ours <= most)),
            Self::Words(words) => words.to_owned(),
        }
    }
}

/// Rows under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|&cell| cell.to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new() }
    }

    /// A table of bare limits and offspring.
    pub(crate) fn of_ratios(title: &str) -> Self {
        Self::new(title, &["what", "bare limit", "offspring", "ratio", "target"])
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn pair(&mut self, what: &str, pair: &Pair, target: Target) {
        self.ratio(what, pair.bare.median(), pair.ours.median(), pair.ratio, target);
    }

    /// A row whose ratio was not taken pair by pair.
    pub(crate) fn medians(&mut self, what: &str, base: &Samples, ours: &Samples, target: Target) {
        let (base, ours) = (base.median(), ours.median());
        self.ratio(what, base, ours, ours / base, target);
    }

    fn ratio(&mut self, what: &str, bare: f64, ours: f64, ratio: f64, target: Target) {
        let target = target.text(ratio, ours);
        self.row(vec![what.to_owned(), time(bare), time(ours), format!("{ratio:.2} ×"), target]);
    }
}

/// Writes tables to standard output, for people or for a document.
#[derive(Debug)]
pub(crate) struct Printer {
    markdown: bool,
}

impl Printer {
    pub(crate) fn new(markdown: bool) -> Self {
        Self { markdown }
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{text}\n");
    }

    /// Nothing, if there are no rows.
    pub(crate) fn print(&self, table: &Table) {
        if !table.rows.is_empty() {
            println!("{}", if self.markdown { as_markdown(table) } else { as_text(table) });
        }
    }
}

fn as_markdown(table: &Table) -> String {
    let mut text = format!("### {}\n\n", table.title);
    let mut line = |cells: &[String]| {
        // A `String` takes everything.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(&table.head);
    let rule: Vec<String> = (0..table.head.len())
        .map(|column| if column == 0 { "---" } else { "---:" }.to_owned())
        .collect();
    line(&rule);
    table.rows.iter().for_each(|row| line(row));
    text
}

fn as_text(table: &Table) -> String {
    let lines = || std::iter::once(&table.head).chain(&table.rows);
    let width = |column: usize| {
        lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> =
        (0..table.head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = format!("{}\n", table.title);
    for row in lines() {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right.
            let _ = match column {
                0 => write!(line, "  {cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Seconds in the unit that suits them.
pub(crate) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    match value {
        v if v < 10.0 => format!("{v:.2} {unit}"),
        v if v < 100.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

/// Bytes in MiB, or a dash if nobody can say.
pub(crate) fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(unknown, |bytes| format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20)))
}

/// What stands where this system has no answer.
pub(crate) fn unknown() -> String {
    "–".to_owned()
}
