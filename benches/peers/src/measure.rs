//! The measures: what is timed, how often, and what is checked.

use std::time::Instant;

use crate::work::{self, CHUNK, MIB};
use crate::{Outcome, Peer, Workers, victim};

/// What takes so many seconds is not repeated in one run of the program.
const LONG: f64 = 2.0;
/// How many bytes the shared table has.
const TABLE: usize = 512 * MIB;

/// Does what the command line says.
pub fn measure(peer: &mut dyn Peer) -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let measure = arguments.next().ok_or("<measure> <variant> <seconds> are missing")?;
    match measure.as_str() {
        "killed-workers" => return victim::killed_workers(peer),
        "killed-itself" => return victim::killed_itself(peer),
        _ => {}
    }
    let seconds: f64 = arguments.nth(1).ok_or("<seconds> is missing")?.parse()?;
    match measure.as_str() {
        "start" => starts(peer, seconds),
        "start-1gib" => {
            // Not zero, so that every page is there.
            let ballast = vec![1u8; 1024 * MIB];
            starts(peer, seconds)?;
            equal(std::hint::black_box(&ballast).len(), 1024 * MIB)
        }
        "pool" => repeat(seconds, || ready(peer)),
        "tasks" => stream(peer, seconds, 1, |workers, tasks| workers.numbers(tasks)),
        "chunks" => stream(peer, seconds, CHUNK as u64, |workers, tasks| workers.chunks(tasks)),
        "chunks-own" => stream(peer, seconds, 1, |workers, tasks| workers.own_chunks(tasks)),
        "round-trip" => round_trips(peer, seconds),
        "bytes" => bytes(peer, seconds),
        "bits" => repeat(seconds, || bits(peer, 1)),
        "bits-chunks" => repeat(seconds, || bits(peer, CHUNK)),
        "table" => table(peer, seconds),
        "crash" => crash(peer),
        other => Err(format!("`{other}` is no measure").into()),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Outcome<()> {
    if got == expected { Ok(()) } else { Err(format!("expected {expected:?}, got {got:?}").into()) }
}

/// Prints the seconds that `once` returns, again and again, after one time that does not count: it touches new
/// memory. What takes
/// longer than all the time there is counts the first time, and is not repeated.
fn repeat(seconds: f64, mut once: impl FnMut() -> Outcome<f64>) -> Outcome<()> {
    let begin = Instant::now();
    let first = once()?;
    if first > LONG {
        println!("{first:e}");
        return Ok(());
    }
    let mut count = 0;
    while count < 3 || (count < 1_000 && begin.elapsed().as_secs_f64() < seconds) {
        println!("{:e}", once()?);
        count += 1;
    }
    Ok(())
}

fn starts(peer: &mut dyn Peer, seconds: f64) -> Outcome<()> {
    repeat(seconds, || {
        let begin = Instant::now();
        let answer = peer.start(7)?;
        let took = begin.elapsed().as_secs_f64();
        equal(answer, work::work(7))?;
        Ok(took)
    })
}

/// From nothing until two tasks that were given at once have answers.
fn ready(peer: &mut dyn Peer) -> Outcome<f64> {
    let begin = Instant::now();
    let mut workers = peer.pool()?;
    let answer = workers.numbers(2)?;
    let took = begin.elapsed().as_secs_f64();
    equal(answer, work::all_work(2))?;
    workers.stop()?;
    Ok(took)
}

/// A pool that has had work.
fn warm(peer: &mut dyn Peer) -> Outcome<Box<dyn Workers>> {
    let mut workers = peer.pool()?;
    equal(workers.numbers(64)?, work::all_work(64))?;
    Ok(workers)
}

/// The time for each number, of so many tasks of `each` numbers that they take the time there is.
fn stream(
    peer: &mut dyn Peer,
    seconds: f64,
    each: u64,
    run: impl Fn(&mut dyn Workers, u64) -> Outcome<u64>,
) -> Outcome<()> {
    let mut workers = warm(peer)?;
    let mut tasks = 256;
    loop {
        let begin = Instant::now();
        let answer = run(workers.as_mut(), tasks)?;
        let took = begin.elapsed().as_secs_f64();
        equal(answer, work::all_work(tasks * each))?;
        if took > seconds / 3.0 {
            println!("{:e}", took / (tasks * each) as f64);
            return workers.stop();
        }
        tasks *= if took < seconds / 30.0 { 8 } else { 2 };
    }
}

fn round_trips(peer: &mut dyn Peer, seconds: f64) -> Outcome<()> {
    const BATCH: u32 = 20;
    let mut workers = warm(peer)?;
    repeat(seconds, || {
        let begin = Instant::now();
        for number in 0..u64::from(BATCH) {
            equal(workers.one(number)?, work::work(number))?;
        }
        Ok(begin.elapsed().as_secs_f64() / f64::from(BATCH))
    })?;
    workers.stop()
}

fn bytes(peer: &mut dyn Peer, seconds: f64) -> Outcome<()> {
    let mut workers = warm(peer)?;
    let bytes = work::content(64 * MIB);
    repeat(seconds, || {
        // Some libraries take the argument; theirs was made before.
        let argument = bytes.clone();
        let begin = Instant::now();
        let answer = workers.bytes(argument)?;
        let took = begin.elapsed().as_secs_f64();
        equal(answer, work::ends(&bytes))?;
        Ok(took)
    })?;
    workers.stop()
}

fn bits(peer: &mut dyn Peer, chunk: usize) -> Outcome<f64> {
    let begin = Instant::now();
    let answer = peer.bits(chunk)?;
    let took = begin.elapsed().as_secs_f64();
    equal(answer, work::ALL_BITS)?;
    Ok(took)
}

fn table(peer: &mut dyn Peer, seconds: f64) -> Outcome<()> {
    let table = vec![3u8; TABLE];
    let mut first = peer.table(table)?;
    repeat(seconds, || {
        let (took, answer) = first()?;
        equal(answer, 3)?;
        Ok(took)
    })
}

/// Until all tasks have an outcome, of which one killed its worker; then whether the pool still works.
fn crash(peer: &mut dyn Peer) -> Outcome<()> {
    let mut workers = warm(peer)?;
    let begin = Instant::now();
    let answered = workers.crash()?;
    println!("{:e}", begin.elapsed().as_secs_f64());
    println!("note: {answered} of {} others answered", work::CRASH_TASKS - 1);
    let usable = workers.one(7).is_ok_and(|answer| answer == work::work(7));
    println!("note: {}", if usable { "then usable" } else { "then broken" });
    workers.stop()
}
