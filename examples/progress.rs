//! Looks for the largest prime below each power of two, with a bar that shows how far it is.
//!
//! ```sh
//! cargo run --release --example progress -- [context]     # inline, fork, spawn (the default), forkserver
//! ```
//!
//! You will see each prime as soon as it is found, whichever comes first, and on a terminal a bar below them; and at
//! the end which took longest. Each power takes about half as long again as the one before it, so the end of the
//! bar is most of the work.
//!
//! The results are an iterator that knows its length, which is all that a bar wants.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use offspring::Context;

/// 2 to the power of these is what is looked below.
const POWERS: Range<u32> = 2..55;
/// How far below each there is a prime, from a table (A013603 of the OEIS).
const EXPECTED: [u64; 53] = [
    1, 1, 3, 1, 3, 1, 5, 3, 3, 9, 3, 1, 3, 19, 15, 1, 5, 1, 3, 9, 3, 15, 3, 39, 5, 39, 57, 3, 35,
    1, 5, 9, 41, 31, 5, 25, 45, 7, 87, 21, 11, 57, 17, 55, 21, 115, 59, 81, 27, 129, 47, 111, 33,
];

/// The task: how far below this power of two there is a prime.
fn distance(power: u32) -> Option<u64> {
    (1..1 << power).find(|distance| is_prime((1 << power) - distance))
}

fn is_prime(number: u64) -> bool {
    number > 1 && (2..=number.isqrt()).all(|divisor| number % divisor != 0)
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::args().nth(1).map_or(Ok(Context::Spawn), |name| name.parse())?;

    let pool = context.pool().build()?;
    let results = pool.map_unordered(POWERS, |(), power| (power, distance(power)));
    // Drawn when a result comes, and only on a terminal. A bar that ticks by itself has a thread, and a pool
    // that is then built on Fork would be refused.
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}")?;
    let bar = ProgressBar::new(results.len() as u64).with_style(style);
    let bar = bar.with_finish(ProgressFinish::AndClear);

    let mut found = BTreeMap::new();
    for result in bar.wrap_iter(results) {
        let (power, distance) = result?;
        let distance = distance.ok_or("there is a prime below each power from 2 on")?;
        // Above the bar, if there is one.
        bar.suspend(|| println!("2^{power} - {distance}"));
        found.insert(power, distance);
    }
    assert!(found.into_iter().eq(POWERS.zip(EXPECTED)));

    let report = pool.shutdown()?;
    assert_eq!(report.tasks(), EXPECTED.len() as u64);
    println!("{context}: {} primes, as in the table", report.tasks());
    for task in report.slowest() {
        let power = u64::from(POWERS.start) + task.index;
        println!("2^{power} took {:?} in worker {}", task.took, task.worker);
    }
    // On Inline tasks are not timed.
    assert_eq!(report.slowest().is_empty(), !context.is_isolated());
    assert!(report.slowest().is_sorted_by(|one, two| one.took >= two.took));
    Ok(())
}
