//! Threads in this one process, std's and rayon's: not a peer, but what a program has that needs no processes.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use peers::work;
use peers::{FirstAnswer, Outcome, Peer, WORKERS, Workers};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

struct Threads;

struct Warm(ThreadPool);

fn main() -> ExitCode {
    peers::run(&mut Threads)
}

fn pool() -> Outcome<ThreadPool> {
    Ok(ThreadPoolBuilder::new().num_threads(WORKERS).build()?)
}

impl Peer for Threads {
    fn start(&mut self, number: u64) -> Outcome<u64> {
        let thread = std::thread::Builder::new().spawn(move || work::work(number))?;
        thread.join().map_err(|_| "the thread panicked".into())
    }

    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        Ok(Box::new(Warm(pool()?)))
    }

    fn bits(&mut self, _chunk: usize) -> Outcome<u64> {
        let table = work::bit_table();
        let count = |number: u16| u64::from(table[usize::from(number)]);
        Ok(pool()?.install(|| (0..=u16::MAX).into_par_iter().map(count).sum()))
    }

    fn table(&mut self, table: Vec<u8>) -> Outcome<FirstAnswer> {
        Ok(Box::new(move || {
            let begin = Instant::now();
            let answer = pool()?.install(|| table[table.len() - 1]);
            Ok((begin.elapsed().as_secs_f64(), answer))
        }))
    }
}

impl Workers for Warm {
    /// One `spawn` for each number.
    fn numbers(&mut self, count: u64) -> Outcome<u64> {
        let total = AtomicU64::new(0);
        self.0.scope(|scope| {
            for number in 0..count {
                let total = &total;
                scope.spawn(move |_| {
                    total.fetch_add(work::work(number), Ordering::Relaxed);
                });
            }
        });
        Ok(total.into_inner())
    }

    /// rayon divides the numbers itself.
    fn chunks(&mut self, chunks: u64) -> Outcome<u64> {
        let numbers = 0..chunks * work::CHUNK as u64;
        // Each number is hidden from the compiler, which would else compute the sum by a formula.
        let task = |number: u64| work::work(std::hint::black_box(number));
        Ok(self.0.install(|| numbers.into_par_iter().map(task).reduce(|| 0, u64::wrapping_add)))
    }

    fn one(&mut self, number: u64) -> Outcome<u64> {
        Ok(self.0.install(|| work::work(number)))
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Outcome<u64> {
        Ok(self.0.install(move || work::ends(&bytes)))
    }

    fn stop(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}
