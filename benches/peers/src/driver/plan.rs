//! What to measure and how often, as the command line says.

use std::path::PathBuf;
use std::time::Duration;

use peers::Outcome;

pub const USAGE: &str = "\
bash benches/peers/run [--quick] [--only <substring>]… [--markdown] [--svg <directory>]

  --quick              3 repetitions instead of 7, and shorter ones: about ten minutes
  --only <substring>   only measures with this in their name: start, start-1gib, pool, tasks, chunks,
                       round-trip, bytes, bits, bits-chunks, table, crash; may be given several times
  --markdown           print tables for a document
  --svg <directory>    write a picture of each measure there";

/// The wishes of the caller.
pub struct Plan {
    pub quick: bool,
    pub markdown: bool,
    pub svg: Option<PathBuf>,
    only: Vec<String>,
}

impl Plan {
    /// `None` when only help is wanted.
    pub fn from_arguments() -> Outcome<Option<Self>> {
        let mut plan = Self { quick: false, markdown: false, svg: None, only: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => plan.quick = true,
                "--markdown" => plan.markdown = true,
                "--svg" => {
                    plan.svg = Some(arguments.next().ok_or("--svg needs a directory")?.into())
                }
                "--only" => plan.only.push(arguments.next().ok_or("--only needs a substring")?),
                "--help" | "-h" => return Ok(None),
                other => return Err(format!("`{other}` is not understood; try --help").into()),
            }
        }
        Ok(Some(plan))
    }

    pub fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| id.contains(only.as_str()))
    }

    pub fn repetitions(&self) -> usize {
        if self.quick { 3 } else { 7 }
    }

    /// How long one run of a program measures.
    pub fn seconds(&self) -> f64 {
        if self.quick { 0.2 } else { 1.0 }
    }

    /// A program that has run for so long in all is not run again.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(if self.quick { 12 } else { 60 })
    }
}
