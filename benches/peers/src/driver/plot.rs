//! A picture of one measure: a point for each library on a logarithmic scale, with the range of its runs.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use peers::Outcome;

use crate::catalogue::{OURS, THREADS};
use crate::report::time;
use crate::results::Results;

const WIDTH: f64 = 930.0;
/// Where names end and the scale begins, and where it ends and times begin.
const LEFT: f64 = 330.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 56.0;
const ROW: f64 = 22.0;

/// Times at places.
struct Scale {
    /// Powers of ten.
    from: f64,
    to: f64,
}

impl Scale {
    fn of(results: &Results) -> Option<Self> {
        let ranges = results.rows.iter().filter_map(|row| row.range());
        let (low, high) = ranges.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
        let from = low.log10().floor();
        Some(Self { from, to: high.log10().ceil().max(from + 1.0) })
    }

    fn place(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds.log10() - self.from) / (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.from), |at| Some(at + 1.0))
            .take_while(|at| *at <= self.to)
            .map(|at| 10f64.powf(at))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A line of text that ends (`end`), begins (`start`) or is centred (`middle`) at a place.
fn label(text: &mut String, x: f64, y: f64, anchor: &str, style: &str, words: &str) {
    // A `String` takes everything.
    let _ = writeln!(
        text,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {style}>{}</text>"#,
        escaped(words)
    );
}

/// Writes `<id>.svg`, unless nothing was measured.
pub fn write(directory: &Path, results: &Results) -> Outcome<()> {
    let Some(scale) = Scale::of(results) else { return Ok(()) };
    let bottom = TOP + ROW * results.rows.len() as f64;
    let height = bottom + 34.0;
    let mut text = format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" "#,
            r#"font-family="sans-serif" font-size="13" fill="black">"#,
            "\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
        ),
        WIDTH, height
    );
    let measure = &results.measure;
    label(&mut text, 12.0, 22.0, "start", r#"font-size="16" font-weight="bold""#, measure.title);
    let mut subtitle =
        format!("{} (each line on the scale is ten times the one before)", measure.unit);
    if !results.rows.iter().all(|row| results.is_whole(row) || row.median().is_none()) {
        subtitle.push_str("; hollow: tasks or the pool were lost");
    }
    label(&mut text, 12.0, 42.0, "start", "fill=\"dimgray\"", &subtitle);
    for decade in scale.decades() {
        let x = scale.place(decade);
        let _ = writeln!(
            text,
            r#"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{bottom}" stroke="gainsboro"/>"#
        );
        let words = time(decade * 1.000_001).replace(".00", "").replace(".0", "");
        label(&mut text, x, bottom + 18.0, "middle", "fill=\"dimgray\"", &words);
    }
    for (index, row) in results.rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let entry = results.entry(row);
        let (colour, weight) = match entry.program {
            OURS => ("firebrick", r#"font-weight="bold""#),
            THREADS => ("gray", ""),
            _ => ("steelblue", ""),
        };
        label(&mut text, LEFT - 14.0, y + 4.5, "end", weight, entry.label);
        let (Some(median), Some((low, high))) = (row.median(), row.range()) else {
            let why = row.remarks.first().map_or("no result", String::as_str);
            let why: String = why.chars().take(60).collect();
            label(&mut text, LEFT + 8.0, y + 4.5, "start", r#"fill="firebrick""#, &why);
            continue;
        };
        let x = scale.place(median);
        let _ = writeln!(
            text,
            concat!(
                r#"<line x1="{:.1}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="{c}" stroke-width="3" opacity="0.4"/>"#,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="5" stroke="{c}" stroke-width="2" fill="{f}"/>"#
            ),
            scale.place(low),
            scale.place(high),
            y = y,
            x = x,
            c = colour,
            f = if results.is_whole(row) { colour } else { "white" }
        );
        label(&mut text, RIGHT + 14.0, y + 4.5, "start", weight, &time(median));
    }
    text.push_str("</svg>\n");
    fs::create_dir_all(directory)?;
    fs::write(directory.join(format!("{}.svg", measure.id)), text)?;
    Ok(())
}
