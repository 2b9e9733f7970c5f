//! At every point of a worker's life, in every way to die: the outcome is the one in the table.
//!
//! A case is one way on one context; within it, each point with each size, in an order and with neighbours
//! that are random. The table is `expect.rs`. `OFFSPRING_MATRIX_ROUNDS` says how often each cell is run;
//! given, the first round goes up to 64 MiB.

mod harness;
mod torture;

#[path = "crash_matrix/early.rs"]
mod early;
#[path = "crash_matrix/ends.rs"]
mod ends;
#[path = "crash_matrix/expect.rs"]
mod expect;
#[path = "crash_matrix/fuse.rs"]
mod fuse;
#[path = "crash_matrix/inside.rs"]
mod inside;
#[cfg(target_os = "linux")]
#[path = "crash_matrix/outside.rs"]
mod outside;
#[path = "crash_matrix/scene.rs"]
mod scene;

use std::process::ExitCode;

use fuse::Way;
use harness::{Outcome, PROCESSES};
use offspring::Context;
use torture::Random;

fn main() -> ExitCode {
    early::pass();
    harness::main(&[cases![on PROCESSES =>
        killed,
        aborted,
        crashed,
        exits_with_success,
        exits_with_failure,
        leaves_without_a_word,
        panics,
        stopped_and_then_killed,
    ]])
}

/// Sizes of the argument or the result, in bytes: through the ring, over the socket, more than that holds.
const SIZES: [usize; 4] = [0, 1, (64 << 10) - 1, 300_000];
/// The largest one, and that of the first round if rounds are asked for.
const LARGE: usize = 8 << 20;
const HUGE: usize = 64 << 20;

fn killed(context: Context) -> Outcome {
    all_points(context, Way::Kill)
}

fn aborted(context: Context) -> Outcome {
    all_points(context, Way::Abort)
}

fn crashed(context: Context) -> Outcome {
    all_points(context, Way::Crash)
}

fn exits_with_success(context: Context) -> Outcome {
    all_points(context, Way::Success)
}

fn exits_with_failure(context: Context) -> Outcome {
    all_points(context, Way::Failure)
}

fn leaves_without_a_word(context: Context) -> Outcome {
    all_points(context, Way::Leave)
}

fn panics(context: Context) -> Outcome {
    all_points(context, Way::Panic)
}

fn stopped_and_then_killed(context: Context) -> Outcome {
    all_points(context, Way::Stop)
}

fn all_points(context: Context, way: Way) -> Outcome {
    torture::no_core_files();
    let mut random = Random::new();
    let (mut cells, rounds) = (0, torture::scale("OFFSPRING_MATRIX_ROUNDS", 0));
    for round in 0..rounds.max(1) {
        let largest = if round == 0 && rounds > 0 { HUGE } else { LARGE };
        cells += inside::run(context, way, largest, &mut random)?;
        cells += ends::run(context, way)?;
        cells += early::run(context, way)?;
        #[cfg(target_os = "linux")]
        if way != Way::Panic {
            // Nothing from outside makes a worker panic.
            cells += outside::run(context, way, &mut random)?;
        }
    }
    scene::clear()?;
    torture::report(format_args!("matrix {context} {way:?}: {cells} cells as the table says"));
    Ok(())
}
