//! Takes the measures in turns, and reduces them to medians and ratios of pairs.

use std::time::{Duration, Instant};

use peers::Outcome;

use crate::catalogue::{CRASH, Entry, Measure, OURS, PYTHON};
use crate::plan::Plan;
use crate::program::{End, Programs, Run};

/// What a program says when only the killed task was lost.
const WHOLE: &str = "19 of 19 others answered; then usable";

pub struct Results {
    pub measure: Measure,
    /// One for each entry that was measured, in their order.
    pub rows: Vec<Row>,
}

/// What the runs of one entry gave.
#[derive(Default)]
pub struct Row {
    pub entry: usize,
    /// The median of each run, by repetition; `None` where it was not run or gave nothing.
    runs: Vec<Option<f64>>,
    /// Each once, in the order in which they were first heard.
    pub remarks: Vec<String>,
    took: Duration,
    /// It will not be run again.
    given_up: bool,
}

/// The middle one; of two, their mean.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

impl Row {
    pub fn count(&self) -> usize {
        self.runs.iter().flatten().count()
    }

    pub fn median(&self) -> Option<f64> {
        median(self.runs.iter().flatten().copied().collect())
    }

    /// The fastest and the slowest run.
    pub fn range(&self) -> Option<(f64, f64)> {
        let of = |choose: fn(f64, f64) -> f64| self.runs.iter().flatten().copied().reduce(choose);
        Some((of(f64::min)?, of(f64::max)?))
    }

    /// How many times `other`, repetition by repetition.
    pub fn ratio(&self, other: &Self) -> Option<f64> {
        let pairs = self.runs.iter().zip(&other.runs);
        median(pairs.filter_map(|(ours, theirs)| Some((*ours)? / (*theirs)?)).collect())
    }

    fn add(&mut self, run: Run) {
        let mut remarks = run.notes;
        match run.end {
            End::Well => self.runs.push(median(run.values)),
            End::Hangs(seconds) => {
                self.given_up = true;
                remarks.push(format!("hangs: killed after {seconds} s"));
                // An outcome that it had before is told.
                self.runs.push(median(run.values));
            }
            End::Fails(reason) => {
                self.given_up = true;
                remarks.push(reason);
                self.runs.push(None);
            }
        }
        if !remarks.is_empty() {
            let remark = remarks.join("; ");
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
    }
}

impl Results {
    pub fn entry(&self, row: &Row) -> &Entry {
        &self.measure.entries[row.entry]
    }

    /// Whether all did what they should. Where a worker is killed, tasks or the pool may be lost.
    pub fn is_whole(&self, row: &Row) -> bool {
        row.median().is_some()
            && (self.measure.id != CRASH || row.remarks.iter().all(|remark| remark == WHOLE))
    }

    /// What a row is compared with.
    pub fn beside(&self, row: &Row) -> Option<&Row> {
        let beside = self.entry(row).beside;
        let ours = |row: &&Row| {
            let entry = self.entry(row);
            entry.program == OURS && entry.variant == beside
        };
        self.rows.iter().find(ours)
    }
}

/// Runs all programs of a measure in turns. Each begins another turn, since whoever comes first meets colder
/// caches.
pub fn take(plan: &Plan, programs: &Programs, measure: Measure) -> Outcome<Results> {
    let wanted = (0..measure.entries.len())
        .filter(|&entry| programs.python.is_some() || measure.entries[entry].program != PYTHON);
    let mut rows: Vec<Row> = wanted.map(|entry| Row { entry, ..Row::default() }).collect();
    for repetition in 0..plan.repetitions() {
        for turn in 0..rows.len() {
            let index = (turn + repetition) % rows.len();
            let row = &mut rows[index];
            let entry = &measure.entries[row.entry];
            // Ours is run always, since all others are compared with it.
            if row.given_up || (row.took > plan.patience() && entry.program != OURS) {
                row.runs.push(None);
                continue;
            }
            eprintln!("{} {}: {}", measure.id, repetition + 1, entry.label);
            let begin = Instant::now();
            row.add(programs.run(entry, plan.seconds(), Duration::from_secs(measure.deadline))?);
            row.took += begin.elapsed();
        }
    }
    Ok(Results { measure, rows })
}
