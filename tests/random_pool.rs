//! A pool is used at random, beside a model that knows what may come of each task.
//!
//! `OFFSPRING_TEST_SEED` repeats a run, as far as the system lets it; `OFFSPRING_RANDOM_STEPS` makes it
//! longer: 5,000 take about a minute.

mod harness;
#[path = "random_pool/model.rs"]
mod model;
#[path = "random_pool/steps.rs"]
mod steps;

use std::process::ExitCode;

use harness::props::{Random, from_env};
use harness::{Outcome, PROCESSES};
use offspring::Context;

fn main() -> ExitCode {
    harness::main(&[
        cases![on PROCESSES => with_kills, without_kills],
        cases![on &[Context::Inline] => without_processes],
    ])
}

/// Several pools one after the other, each with its own mixture and its own end.
fn run(context: Context, kills: bool) -> Outcome {
    let mut random = Random::new();
    let mut left = from_env("OFFSPRING_RANDOM_STEPS").unwrap_or(400);
    while left > 0 {
        let steps = left.min(100 + random.below(900));
        steps::run(context, &mut random, steps, kills)?;
        left -= steps;
    }
    Ok(())
}

fn with_kills(context: Context) -> Outcome {
    run(context, true)
}

fn without_kills(context: Context) -> Outcome {
    run(context, false)
}

fn without_processes(context: Context) -> Outcome {
    run(context, false)
}
