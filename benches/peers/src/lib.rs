//! What the programs of all Rust libraries have in common: the work, the clock, the checks, the answers.
//!
//! A program is told `<measure> <variant> <seconds>`, repeats the measure for about so long, and prints one
//! line of seconds for each repetition, and lines `note: …`. The driver runs programs in turns.

pub mod measure;
pub mod victim;
pub mod work;

use std::error::Error;
use std::process::ExitCode;

/// What went wrong ends the program, and is shown by the driver.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// How many workers every pool has.
pub const WORKERS: usize = 2;

/// What a library offers. What it does not offer stays an error, and is not in the driver's catalogue.
pub trait Peer {
    /// Starts a process that does [`work::work`] on the number, has its answer, and collects it.
    fn start(&mut self, _number: u64) -> Outcome<u64> {
        not_offered()
    }

    /// Two workers, perhaps not yet ready.
    fn pool(&mut self) -> Outcome<Box<dyn Workers>> {
        not_offered()
    }

    /// Counts the on bits of all 16-bit numbers with a table, in tasks of `chunk` numbers; the start and the
    /// end of two workers are part of it.
    fn bits(&mut self, _chunk: usize) -> Outcome<u64> {
        not_offered()
    }

    /// Takes a table; what is returned starts two workers (or one process), asks for the last element, and
    /// says how many seconds that took.
    fn table(&mut self, _table: Vec<u8>) -> Outcome<FirstAnswer> {
        not_offered()
    }
}

/// How long the first answer from a table took: seconds, and the answer.
pub type FirstAnswer = Box<dyn FnMut() -> Outcome<(f64, u8)>>;

/// Two workers of a library.
pub trait Workers {
    /// One task for each number below `count`, many at once; the sum of the answers.
    fn numbers(&mut self, count: u64) -> Outcome<u64>;

    /// The same in tasks of [`work::CHUNK`] numbers, `chunks` of them.
    fn chunks(&mut self, _chunks: u64) -> Outcome<u64> {
        not_offered()
    }

    /// One task for each number below `count`, in chunks of [`work::CHUNK`] that the library makes.
    fn own_chunks(&mut self, _count: u64) -> Outcome<u64> {
        not_offered()
    }

    /// One task, nothing else in flight.
    fn one(&mut self, number: u64) -> Outcome<u64>;

    /// [`work::ends`] of the bytes, looked at by a worker.
    fn bytes(&mut self, _bytes: Vec<u8>) -> Outcome<u64> {
        not_offered()
    }

    /// Gives [`work::CRASH_TASKS`] tasks at once, which do [`work::crash_task`]; how many had an answer.
    fn crash(&mut self) -> Outcome<usize> {
        not_offered()
    }

    /// Gives so many tasks at once, which do [`victim::task`], and says of each what came of it.
    fn victims(&mut self, _count: u64, _tell: &mut dyn FnMut(victim::Came)) -> Outcome<()> {
        not_offered()
    }

    /// Gives two tasks, which do [`victim::endless`], and waits for them.
    fn endless(&mut self) -> Outcome<()> {
        not_offered()
    }

    /// Ends the workers.
    fn stop(self: Box<Self>) -> Outcome<()>;
}

fn not_offered<T>() -> Outcome<T> {
    Err("this library does not offer that".into())
}

/// Does what the command line says.
pub fn run(peer: &mut dyn Peer) -> ExitCode {
    match measure::measure(peer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Which way to use the library, as the command line says.
pub fn variant() -> String {
    std::env::args().nth(2).unwrap_or_default()
}
