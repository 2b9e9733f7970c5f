//! Classifies flowers as they come, with a classifier that cannot be sent to another process.
//!
//! ```sh
//! cargo run --release --example classifier -- [context]     # inline, fork, spawn (the default), forkserver
//! ```
//!
//! You will see which processes trained the classifier: on Fork this one, from which workers inherit it; on
//! ForkServer one for all; on Spawn each worker. Then a million flowers from a stream that has no end go through
//! the workers, and neither memory nor the number of flowers under way depends on how many those are.
//! Whatever the context, the answers are those of a plain loop.
//!
//! The classifier (naive Bayes, with normal distributions) is made of closures, and remembers what it was asked
//! behind a lock: nothing of it can be encoded. What travels is how it is made.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::{self, Read};
use std::iter;
use std::sync::{Mutex, PoisonError};

use offspring::{Context, Pool, Shared};
use serde::{Deserialize, Serialize};

const FLOWERS: usize = 1_000_000;
/// How many of them the classifier learns from.
const SAMPLE: usize = 5000;
/// How many are under way at most.
const AHEAD: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    Daisy,
    Poppy,
    Tulip,
}

const KINDS: [Kind; 3] = [Kind::Daisy, Kind::Poppy, Kind::Tulip];

/// A line of the stream. In millimetres.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Flower {
    kind: Kind,
    height: u16,
    width: u16,
}

impl Flower {
    fn measures(self) -> [u16; 2] {
        [self.height, self.width]
    }
}

/// How likely a measure is, as a logarithm.
type Likelihood = Box<dyn Fn(u16) -> f64 + Send + Sync>;

struct Classifier {
    /// One for each measure, for each kind.
    likelihoods: [[Likelihood; 2]; 3],
    known: Mutex<HashMap<[u16; 2], Kind>>,
    trained_by: u32,
}

impl Classifier {
    /// Learns from the first so many flowers.
    fn train(count: usize) -> csv::Result<Self> {
        let flowers = meadow().take(count).collect::<csv::Result<Vec<_>>>()?;
        let likelihoods = KINDS.map(|kind| {
            let of_kind = flowers.iter().filter(|flower| flower.kind == kind);
            [0, 1].map(|measure| normal(of_kind.clone().map(|flower| flower.measures()[measure])))
        });
        Ok(Self { likelihoods, known: Mutex::default(), trained_by: std::process::id() })
    }

    fn classify(&self, measures: [u16; 2]) -> Kind {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(measures).or_insert_with(|| {
            let likelihood = |kind: Kind| -> f64 {
                let of_kind = iter::zip(&self.likelihoods[kind as usize], measures);
                of_kind.map(|(likelihood, measure)| likelihood(measure)).sum()
            };
            let mut best = Kind::Daisy;
            for kind in KINDS {
                if likelihood(kind) > likelihood(best) {
                    best = kind;
                }
            }
            best
        })
    }
}

/// A normal distribution, as it fits to these numbers.
fn normal(numbers: impl Iterator<Item = u16> + Clone) -> Likelihood {
    let numbers = numbers.map(f64::from);
    let count = numbers.clone().count() as f64;
    let mean = numbers.clone().sum::<f64>() / count;
    let variance = numbers.map(|number| (number - mean).powi(2)).sum::<f64>() / count;
    Box::new(move |number| {
        -(f64::from(number) - mean).powi(2) / (2.0 * variance) - variance.ln() / 2.0
    })
}

/// How many flowers of each kind were taken for each kind.
type Answers = [[u32; 3]; 3];

fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing in this program owns memory or kernel objects that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::args().nth(1).map_or(Ok(Context::Spawn), |name| name.parse())?;

    let classifier = Shared::try_new(SAMPLE, Classifier::train)?;
    let pool = context
        .pool()
        .in_flight(AHEAD)
        // A few bytes travel. Who has not inherited the classifier makes it.
        .init(classifier, |classifier| classifier)
        .build()?;

    let trainers = trainers(&pool)?;
    let (workers, times) = (pool.workers(), trainers.len());
    let here = trainers.contains(&std::process::id());
    match context {
        Context::Inline | Context::Fork => assert!(here && times == 1),
        Context::ForkServer => assert!(!here && times == 1),
        _ => assert!(!here && times == workers),
    }
    let who = if here { "this process" } else { "others" };
    println!("{workers} worker(s) have a classifier that was trained {times} time(s), by {who}");

    let answers = classify(&pool)?;
    pool.shutdown()?;
    for (kind, [daisy, poppy, tulip]) in iter::zip(KINDS, answers) {
        println!("{kind:?}: {daisy:6} taken for a daisy, {poppy:6} a poppy, {tulip:6} a tulip");
    }
    assert_eq!(answers, expected()?);
    let right: u32 = (0..3).map(|kind| answers[kind][kind]).sum();
    assert!(right as usize > FLOWERS / 100 * 99);
    println!("{context}: {right} of {FLOWERS} are right, as in a plain loop");
    Ok(())
}

/// Which processes trained the classifiers that the workers have.
fn trainers(pool: &Pool<Shared<Classifier>>) -> Result<BTreeSet<u32>, Box<dyn Error>> {
    let trainers = pool.broadcast((), |classifier, ()| match classifier.get() {
        Ok(classifier) => Ok(classifier.trained_by),
        Err(error) => Err(error.to_string()),
    })?;
    trainers.into_iter().map(|process| Ok(process??)).collect()
}

/// Sends the flowers through the workers.
fn classify(pool: &Pool<Shared<Classifier>>) -> Result<Answers, Box<dyn Error>> {
    let taken = Cell::new(0);
    let mut end = Ok(());
    let flowers = meadow()
        .take(FLOWERS)
        .map_while(|flower| flower.map_err(|error| end = Err(error)).ok())
        .inspect(|_| taken.set(taken.get() + 1));
    let results = pool.map_unordered(flowers, |classifier, flower: Flower| {
        let classifier = classifier.get().map_err(|error| error.to_string())?;
        // What it is goes back with what it is taken for, so that they can be compared.
        Ok::<_, String>((flower.kind, classifier.classify(flower.measures())))
    });

    let before = peak_memory();
    let mut answers = Answers::default();
    let (mut given, mut furthest) = (0, 0);
    for result in results {
        let (kind, answer) = result??; // the outer `?` is for what befell the worker
        answers[kind as usize][answer as usize] += 1;
        furthest = furthest.max(taken.get() - given);
        given += 1;
    }
    let after = peak_memory();
    end?;

    assert_eq!(given, FLOWERS);
    assert!(furthest <= AHEAD, "{furthest} flowers were under way");
    println!("of {given} flowers, at most {furthest} were under way");
    if let (Some(before), Some(after)) = (before, after) {
        let grown = after - before;
        // The lines that were read are three times as much.
        assert!(grown < 4 << 20, "memory grew by {grown} bytes");
        println!("this process grew by {} KiB meanwhile", grown >> 10);
    }
    Ok(answers)
}

/// The same by a plain loop, with a classifier of its own.
fn expected() -> csv::Result<Answers> {
    let classifier = Classifier::train(SAMPLE)?;
    let mut answers = Answers::default();
    for flower in meadow().take(FLOWERS) {
        let flower = flower?;
        answers[flower.kind as usize][classifier.classify(flower.measures()) as usize] += 1;
    }
    Ok(answers)
}

/// The most memory that this process had at any time, in bytes. `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// All the flowers of a meadow that has no end, read from a stream of lines.
fn meadow() -> impl Iterator<Item = csv::Result<Flower>> {
    csv::Reader::from_reader(Meadow::default()).into_deserialize()
}

/// Writes the lines when they are read. They are the same each time.
struct Meadow {
    random: u64,
    line: io::Cursor<String>,
}

impl Default for Meadow {
    fn default() -> Self {
        Self { random: 1, line: io::Cursor::new("kind,height,width\n".into()) }
    }
}

impl Meadow {
    fn grow(&mut self) -> Flower {
        // Knuth's linear congruential generator; its upper bits are the good ones.
        let mut dice = || {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.random >> 48) as u16
        };
        let kind = KINDS[usize::from(dice()) % 3];
        let (height, width) = match kind {
            Kind::Daisy => (100, 25),
            Kind::Poppy => (150, 60),
            Kind::Tulip => (200, 45),
        };
        // A sum of dice is distributed almost normally.
        let mut about = |mean: u16| mean / 2 + (0..8).map(|_| dice() % (mean / 8)).sum::<u16>();
        Flower { kind, height: about(height), width: about(width) }
    }
}

impl Read for Meadow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.line.position() == self.line.get_ref().len() as u64 {
            let Flower { kind, height, width } = self.grow();
            self.line = io::Cursor::new(format!("{kind:?},{height},{width}\n"));
        }
        self.line.read(buffer)
    }
}
