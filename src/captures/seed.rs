//! Seeds of random number generators.

use crate::capture::{CaptureGuard, capture};
use crate::error::Error;

/// Before each task, `seed` runs in the child with a number that is made of what `get` returned here, the index
/// of the worker, its generation and the number of tasks it has finished: no two tasks of a pool draw the same
/// random numbers, and another run with the same seed, on which the same workers run the same tasks, draws the
/// same again. That is so with [`round_robin`](crate::Map::round_robin), or with one worker.
///
/// `seed` is a function that captures nothing, as all that run in children, and puts the number where the
/// generator of the program finds it. A process that is no worker gets the number that a first worker would.
/// On Inline with [`Reuse::PerTask`](crate::Reuse::PerTask) each task is the first of a first worker.
///
/// # Errors
///
/// As [`capture`](fn@crate::capture); its name is `seed`.
///
/// # Examples
///
/// ```standalone_crate
/// use std::cell::Cell;
///
/// use offspring::{Context, captures};
///
/// thread_local! {
///     static STATE: Cell<u64> = const { Cell::new(0) };
/// }
///
/// /// A generator for the example.
/// fn random() -> u64 {
///     STATE.set(STATE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
///     STATE.get() >> 33
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let _guard = captures::seed(|| 42, |seed| STATE.set(seed))?;
///     let draw = || -> offspring::Result<Vec<u64>> {
///         let pool = Context::Spawn.pool().workers(2).build()?;
///         let numbers = pool.map(0..6, |_: &mut (), _: i32| random()).round_robin();
///         Ok(numbers.collect::<Result<_, _>>()?)
///     };
///     let numbers = draw()?;
///     assert_eq!(numbers, draw()?, "the same seed");
///     assert!(numbers[1..].iter().all(|number| *number != numbers[0]), "each task its own");
///     Ok(())
/// }
/// ```
pub fn seed<G, F>(get: G, seed: F) -> Result<CaptureGuard, Error>
where
    G: Fn() -> u64 + Send + Sync + 'static,
    F: Fn(u64) + Copy + 'static,
{
    capture("seed", get, move |base: u64| seed(own(base)))
}

/// The seed of this task.
fn own(base: u64) -> u64 {
    let parts = crate::worker()
        .map_or([0; 3], |worker| [worker.index() as u64, worker.generation(), worker.tasks_done()]);
    parts.into_iter().fold(mixed(base), |seed, part| mixed(seed ^ part.wrapping_add(1)))
}

/// The finaliser of splitmix64: numbers that differ in one bit become numbers that have nothing in common.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
