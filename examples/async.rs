//! Factors numbers by two methods at once, takes what comes first, and ends the other: tasks as futures.
//!
//! ```sh
//! cargo run --release --example async -- [context]     # fork, spawn (the default), forkserver, inline
//! ```
//!
//! You will see that each method is fast with numbers that take the other one years or seconds; that the task of
//! the slower one is cancelled, in the middle of a loop that never looks whether it should go on; that both are,
//! when the time is up; that other futures go on meanwhile; and that the workers then still answer.
//!
//! Tasks are plain futures, for any runtime. This one has a single thread.
//!
//! On Inline a task runs when it is submitted, in this process. There the race is left out.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool};
use tokio::time::{interval, sleep};

/// The smallest factor. Fast if that is small.
fn by_trial(number: u64) -> u64 {
    (2..=number.isqrt()).find(|factor| number % factor == 0).unwrap_or(number)
}

/// The smaller of two factors (Fermat): looks for two squares whose difference is the number. Fast if the factors
/// are almost equal.
fn by_squares(number: u64) -> u64 {
    let number = u128::from(number);
    let mut sum = number.isqrt();
    loop {
        if let Some(square) = (sum * sum).checked_sub(number) {
            let difference = square.isqrt();
            if difference * difference == square {
                return (sum - difference) as u64;
            }
        }
        sum += 1;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Race {
    Trial(u64),
    Squares(u64),
    TimeIsUp,
}

/// Who is first, and how many tasks were ended for that.
async fn race(pool: &Pool<()>, number: u64, limit: Duration) -> offspring::Result<(Race, usize)> {
    let mut trial = pool.submit(number, |(), number| by_trial(number))?;
    let mut squares = pool.submit(number, |(), number| by_squares(number))?;
    let first = tokio::select! {
        factor = &mut trial => Race::Trial(factor?),
        factor = &mut squares => Race::Squares(factor?),
        () = sleep(limit) => Race::TimeIsUp,
    };
    let mut ended = 0;
    for task in [trial, squares] {
        // To drop a task is not enough: that lets it run, and drops its result.
        task.cancel();
        match task.await {
            Err(error) if error.kind() == ErrorKind::Cancelled => ended += 1,
            // Its result was taken: this is the one that was first.
            Err(error) if error.kind() == ErrorKind::Closed => {}
            other => drop(other?),
        }
    }
    Ok((first, ended))
}

/// Counts steps of 10 ms, until it is dropped.
async fn beat(beats: &mut u32) -> Infallible {
    let mut clock = interval(Duration::from_millis(10));
    loop {
        clock.tick().await;
        *beats += 1;
    }
}

async fn races(pool: &Pool<()>) -> offspring::Result<()> {
    let day = Duration::from_secs(24 * 60 * 60);
    // 2^61 - 1 is a prime.
    let (first, ended) = race(pool, 3 * ((1 << 61) - 1), day).await?;
    println!("3 and a large prime: {first:?}, {ended} task ended");
    assert_eq!((first, ended), (Race::Trial(3), 1));

    // The largest primes below 2^32.
    let (first, ended) = race(pool, 4_294_967_291 * 4_294_967_279, day).await?;
    println!("two primes of 32 bits: {first:?}, {ended} task ended");
    assert_eq!((first, ended), (Race::Squares(4_294_967_279), 1));

    // Hard for both. While we wait, something else goes on.
    let mut beats = 0;
    let (first, ended) = tokio::select! {
        result = race(pool, 4_294_967_291 * 2_147_483_647, Duration::from_millis(200)) => result?,
        never = beat(&mut beats) => match never {},
    };
    println!("a prime of 32 bits and one of 31: {first:?}, {ended} tasks ended");
    assert_eq!((first, ended), (Race::TimeIsUp, 2));
    assert!(beats > 1, "{beats} beats in 200 ms");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::args().nth(1).map_or(Ok(Context::Spawn), |name| name.parse())?;

    // Before anything is awaited: that takes a thread for as long as it lasts, beside which Fork is refused.
    let pool = context.pool().workers(2).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        if context.is_isolated() {
            races(&pool).await?;
        }
        // All are submitted at once, and awaited one after the other.
        let tasks = (1..=100).map(|number| pool.submit(number * 7, |(), number| by_trial(number)));
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        let mut sum = 0;
        for task in tasks {
            sum += task.await?;
        }
        let expected: u64 = (1..=100).map(|number| by_trial(number * 7)).sum();
        assert_eq!(sum, expected);
        println!("{context}: the smallest factors of 100 numbers are {sum} together");
        Ok::<_, Box<dyn Error>>(())
    })?;
    pool.shutdown()?;
    Ok(())
}
