//! Producers, workers and a collector, in processes of their own, over bounded queues.
//!
//! ```sh
//! cargo run --release --example pipeline
//! ```
//!
//! You will see the same answer from each context that has processes: that each of 2,000 numbers came through both
//! queues once, and which of them takes most steps.

use std::collections::BTreeMap;

use offspring::channel::{Receiver, Sender, queue};
use offspring::{Context, Result};

/// Finds numbers to look at.
fn produce((from, to, found): (u64, u64, Sender<u64>)) -> Result<()> {
    for number in from..to {
        found.send(number)?;
    }
    Ok(())
}

/// Counts the steps of each to 1, by the rule of Collatz.
fn work((numbers, counted): (Receiver<u64>, Sender<(u64, u32)>)) -> u64 {
    let mut done = 0;
    for number in &numbers {
        let start = number.expect("a number can be decoded");
        let mut number = start;
        let mut steps = 0;
        while number != 1 {
            number = if number % 2 == 0 { number / 2 } else { 3 * number + 1 };
            steps += 1;
        }
        counted.send((start, steps)).expect("somebody collects");
        done += 1;
    }
    done
}

fn run(context: Context) -> Result<()> {
    let (found, numbers) = queue::<u64>(64)?;
    let (counted, results) = queue::<(u64, u32)>(64)?;
    let mut producers = Vec::new();
    for part in 0..2 {
        let range = (1 + part * 1000, 1001 + part * 1000, found.clone());
        let produce = |arguments| produce(arguments).map_err(|error| error.to_string());
        producers.push(context.process().name("producer").start(range, produce)?);
    }
    let mut workers = Vec::new();
    for _ in 0..3 {
        let ends = (numbers.clone(), counted.clone());
        workers.push(context.process().name("worker").start(ends, work)?);
    }
    // Ours would keep the queues open.
    drop((found, numbers, counted));

    let results = results.iter().collect::<Result<BTreeMap<_, _>>>()?;
    for producer in producers {
        assert_eq!(producer.join()?, Ok(()));
    }
    let mut done = 0;
    for worker in workers {
        done += worker.join()?;
    }
    assert_eq!((results.len(), done), (2000, 2000));
    let longest = results.iter().max_by_key(|(_, steps)| **steps);
    assert_eq!(longest, Some((&1161, &181)));
    println!("{context}: of {done} numbers, 1161 takes longest: 181 steps");
    Ok(())
}

fn main() -> Result<()> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    for context in [Context::Fork, Context::Spawn, Context::ForkServer] {
        run(context)?;
    }
    Ok(())
}
