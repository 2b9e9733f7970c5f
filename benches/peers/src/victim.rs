//! A program whose workers are killed, or that is killed itself, by `python/faults.py`: its tasks, and what it prints.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::{Outcome, Peer, work};

/// How long a task takes.
const PACE: Duration = Duration::from_millis(2);
/// Names the folder in which each worker leaves a file with its number.
const NOTES: &str = "PEERS_NOTES";

/// A task that is not answered for so long has no outcome.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    Answer,
    WrongAnswer,
    Error,
    /// Not within [`PATIENCE`].
    Nothing,
}

impl Came {
    pub fn of<E>(number: u64, answer: &Result<u64, E>) -> Self {
        match answer {
            Ok(answer) if *answer == work::work(number) => Self::Answer,
            Ok(_) => Self::WrongAnswer,
            Err(_) => Self::Error,
        }
    }
}

/// In a worker.
pub fn task(number: u64) -> u64 {
    note();
    std::thread::sleep(PACE);
    work::work(number)
}

/// In a worker, of a program that is killed: sleeps, or keeps a processor busy.
pub fn endless(number: u64) -> u64 {
    note();
    loop {
        if number % 2 == 0 {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// The first task of each process says which one it is.
fn note() {
    static NOTED: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id();
    // A forked worker has its parent's number here.
    if NOTED.swap(own, Relaxed) != own {
        let folder = std::env::var_os(NOTES).expect("the driver says where");
        std::fs::write(Path::new(&folder).join(own.to_string()), "").expect("the folder is there");
    }
}

/// Prints a letter for each task, as soon as it is known.
pub fn killed_workers(peer: &mut dyn Peer) -> Outcome<()> {
    let count = std::env::args().nth(3).ok_or("<tasks> are missing")?.parse()?;
    let mut workers = peer.pool()?;
    workers.victims(count, &mut |came| {
        let letter = match came {
            Came::Answer => 'a',
            Came::WrongAnswer => 'w',
            Came::Error => 'e',
            Came::Nothing => 'n',
        };
        println!("{letter}");
    })?;
    println!("end");
    workers.stop()
}

/// Waits to be killed.
pub fn killed_itself(peer: &mut dyn Peer) -> Outcome<()> {
    let mut workers = peer.pool()?;
    workers.endless()
}
