//! Workers that answer tasks that they were never asked, in words that nobody knows, and then end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offspring::{Context, ErrorKind};

use crate::harness::props::{Random, from_env};
use crate::harness::{Case, Outcome, PROCESSES};
use crate::rings::{HEAD, Ring, Rings, WORDS, most_memory};
use crate::tree::{Tree, spoil};

pub(crate) const CASES: &[Case] =
    crate::cases![on PROCESSES => forged_outcomes, spoilt_words, forged_frames_on_the_socket];

/// So many forged outcomes arrive on each context, at least.
const FRAMES: u64 = 10_000;
/// So many workers end after they have spoilt what they share with their owner.
const DEATHS: u64 = 150;
/// How much more memory the owner may ever have.
const MEMORY: u64 = 64 << 20;

const DONE: u64 = 4;
const FAILED: u64 = 5;
const ELSEWHERE: u64 = 6;
const DONE_IN_PIECES: u64 = 9;

/// What a worker does when it has been honest for so many tasks.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
enum Malice {
    None,
    Outcomes,
    Words,
    Socket,
}

/// In a worker.
struct Liar {
    malice: Malice,
    random: Random,
    honest: u64,
}

impl Liar {
    fn new((malice, seed): (Malice, u64)) -> Self {
        // Each worker and each of its successors does something else.
        let me = offspring::worker().map_or((0, 0), |me| (me.index(), me.generation()));
        let seed = seed ^ ((me.0 as u64) << 48) ^ (me.1 << 16);
        let mut random = Random::from_seed(seed);
        let honest = 50 + random.below(200);
        Self { malice, random, honest }
    }

    /// Answers, or lies and ends.
    fn work(&mut self, number: u64) -> Tree {
        if self.malice == Malice::None || self.honest > 0 {
            self.honest = self.honest.saturating_sub(1);
            return Tree::of(number);
        }
        let rings = Rings::find();
        match self.malice {
            Malice::Outcomes => self.forge_outcomes(&rings),
            Malice::Words => self.spoil_words(&rings),
            Malice::Socket => self.forge_frames(&rings),
            Malice::None => {}
        }
        if self.random.below(3) == 0 {
            // Its owner may look now.
            std::thread::sleep(Duration::from_micros(self.random.below(2000)));
        }
        // SAFETY: nothing of this process is needed any more.
        unsafe { libc::_exit(0) }
    }

    /// The bytes of a result or failure, or nearly.
    fn outcome(&mut self, note: u64) -> Vec<u8> {
        let mut bytes = match note {
            FAILED => {
                let names = ["Arguments", "Result", "Function", "Init", "Hook", "Panicked", "Died"];
                let name = names[self.random.place(names.len())];
                let mut bytes = vec![0x81, 0xa0 | u8::try_from(name.len()).unwrap()];
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(b"\xa4text");
                bytes
            }
            DONE_IN_PIECES => {
                let length = match self.random.below(4) {
                    0 => u64::MAX >> self.random.below(64),
                    1 => 0,
                    _ => self.random.below(1 << 21),
                };
                length.to_ne_bytes().to_vec()
            }
            _ => tree_bytes(self.random.below(1000)),
        };
        if self.random.below(4) > 0 && note != DONE_IN_PIECES {
            spoil(&mut bytes, &mut self.random);
        }
        if self.random.below(10) == 0 {
            bytes.truncate(self.random.place(bytes.len() + 1));
        }
        bytes
    }

    /// A frame in the ring of outcomes at this position. Returns the next one.
    fn put(&mut self, rings: &Rings, tail: u64, note: u64, bytes: &[u8]) -> u64 {
        let tag = if self.random.below(10) == 0 { self.random.below(1 << 24) } else { 0 };
        let mut head = (bytes.len() as u64) | (tag << 32) | (note << 56);
        if self.random.below(200) == 0 {
            head ^= 1 << self.random.below(64);
        }
        rings.write(Ring::Up, tail, &head.to_ne_bytes());
        rings.write(Ring::Up, tail + HEAD as u64, bytes);
        tail + (HEAD + bytes.len().next_multiple_of(8)) as u64
    }

    fn forge_outcomes(&mut self, rings: &Rings) {
        let (_, mut tail) = rings.published(Ring::Up);
        for _ in 0..=self.random.below(400) {
            let note = match self.random.below(200) {
                0 => self.random.below(256),
                1 => DONE_IN_PIECES,
                2..60 => FAILED,
                _ => DONE,
            };
            let bytes = self.outcome(note);
            if rings.room(Ring::Up, tail) < bytes.len() + 64 {
                break;
            }
            tail = self.put(rings, tail, note, &bytes);
            if self.random.below(20) == 0 {
                rings.publish(Ring::Up, tail);
            }
        }
        rings.publish(Ring::Up, tail);
    }

    /// A number where something may change, or any.
    fn number(&mut self) -> u64 {
        match self.random.below(5) {
            0 => self.random.below(300),
            1 => u64::MAX - self.random.below(300),
            2 => 1 << self.random.below(64),
            3 => (self.random.below(1 << 32) << 32) | self.random.below(1 << 32),
            _ => 0,
        }
    }

    fn spoil_words(&mut self, rings: &Rings) {
        // Those that the worker writes, or any.
        const OWN: [usize; 12] = [0, 16, 17, 18, 19, 20, 21, 32, 128, 144, 256, 272];
        for _ in 0..=self.random.below(12) {
            let word = match self.random.below(4) {
                0 => self.random.place(WORDS),
                _ => OWN[self.random.place(OWN.len())],
            };
            let number = match self.random.below(3) {
                0 => rings.word(word).load(Ordering::Relaxed).wrapping_add(self.random.below(40)),
                _ => self.number(),
            };
            rings.word(word).store(number, Ordering::SeqCst);
        }
    }

    /// Says in the ring that outcomes come over the socket, and sends them, or something else.
    fn forge_frames(&mut self, rings: &Rings) {
        let (_, mut tail) = rings.published(Ring::Up);
        let mut stream = Vec::new();
        for _ in 0..=self.random.below(40) {
            if self.random.below(30) > 0 {
                tail = self.put(rings, tail, ELSEWHERE, &[]);
            }
            let failed = self.random.below(4) == 0;
            let bytes = self.outcome(if failed { FAILED } else { DONE });
            stream.extend(self.header(if failed { 8 } else { 7 }, bytes.len() as u64));
            stream.extend(bytes);
        }
        rings.publish(Ring::Up, tail);
        for number in sockets() {
            // SAFETY: `stream` has so many bytes; the socket does not block.
            unsafe { libc::write(number, stream.as_ptr().cast(), stream.len()) };
        }
    }

    /// The header of a frame on the socket: `src/link/frame.rs`.
    fn header(&mut self, kind: u8, length: u64) -> [u8; 24] {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&0xd7f0_5a1e_u32.to_ne_bytes());
        (header[4], header[5]) = (1, kind);
        header[16..].copy_from_slice(&length.to_ne_bytes());
        match self.random.below(40) {
            0 => spoil(&mut header, &mut self.random),
            1 => header[5] = u8::try_from(self.random.below(20)).unwrap(),
            2 => header[6] = u8::try_from(self.random.below(256)).unwrap(),
            3 => header[16..].copy_from_slice(&self.number().to_ne_bytes()),
            _ => {}
        }
        header
    }
}

/// A tree as it travels.
fn tree_bytes(number: u64) -> Vec<u8> {
    let mut bytes = b"\x81\xa5Inner\x82\xa4left\x81\xa4List\x93\x81\xa6Number".to_vec();
    bytes.extend([0xcd, (number >> 8) as u8, number as u8]);
    bytes.extend_from_slice(b"\x81\xa4Text\xa4text\xa4Leaf\xa5right\xc0");
    bytes
}

/// The sockets of this process, of which one leads to its owner.
fn sockets() -> Vec<i32> {
    let list = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_socket = |entry: &std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        target.to_string_lossy().starts_with("socket:")
    };
    list.filter(is_socket)
        .map(|entry| entry.file_name().to_string_lossy().parse().unwrap())
        .collect()
}

/// What came of it.
#[derive(Debug, Default)]
struct Seen {
    outcomes: u64,
    /// True answers, and those that nobody has given.
    true_ones: u64,
    kinds: BTreeMap<String, u64>,
}

impl Seen {
    /// Everything but what an honest worker says.
    fn forged(&self) -> u64 {
        self.outcomes - self.true_ones
    }
}

/// Feeds liars until there were so many deaths and forged outcomes, then sees whether the pool serves.
fn with_liars(context: Context, malice: Malice, deaths: u64, forged: u64) -> Outcome {
    let mut random = Random::new();
    let seed = (random.below(1 << 32) << 32) | random.below(1 << 32);
    let pool = context
        .pool()
        .workers(3)
        .in_flight(2000)
        .task_timeout(Duration::from_secs(250))
        .init((malice, seed), Liar::new)
        .build()?;
    pool.ready(Duration::from_secs(200))?;
    let mut seen = Seen::default();
    let before = most_memory();
    let mut rounds = 0;
    while pool.report().replaced() < deaths || seen.forged() < forged {
        rounds += 1;
        let count = 3000;
        let answers = pool.map(0..count, |liar, number| liar.work(number));
        let mut next = 0;
        for (number, answer) in (0..).zip(answers) {
            next = number + 1;
            seen.outcomes += 1;
            match answer {
                Ok(tree) if tree == Tree::of(number) => seen.true_ones += 1,
                Ok(_) => *seen.kinds.entry("another answer".into()).or_default() += 1,
                Err(error) => {
                    assert_eq!(error.index(), number, "{error}");
                    assert!(
                        !matches!(error.kind(), ErrorKind::System | ErrorKind::Cancelled),
                        "{error}"
                    );
                    *seen.kinds.entry(format!("{:?}", error.kind())).or_default() += 1;
                }
            }
        }
        assert_eq!(next, count, "one outcome for each task, in round {rounds}");
    }
    let more = most_memory().saturating_sub(before);
    println!("{rounds} rounds, {} deaths: {seen:?}, {more} bytes", pool.report().replaced());
    assert!(more <= MEMORY, "{more} bytes more than before");
    // It is honest for fifty tasks.
    let one = pool.submit(7, |liar, number| {
        liar.malice = Malice::None;
        liar.work(number)
    });
    let mut served = one?.join().is_ok_and(|tree| tree == Tree::of(7));
    for _ in 0..50 {
        served |= pool.submit(7, |_, number| Tree::of(number))?.join()? == Tree::of(7);
    }
    assert!(served, "the pool serves");
    pool.shutdown()?;
    Ok(())
}

fn forged_outcomes(context: Context) -> Outcome {
    let frames = from_env("OFFSPRING_HOSTILE_FRAMES").unwrap_or(FRAMES);
    with_liars(context, Malice::Outcomes, 20, frames)
}

fn spoilt_words(context: Context) -> Outcome {
    let deaths = from_env("OFFSPRING_HOSTILE_DEATHS").unwrap_or(DEATHS);
    with_liars(context, Malice::Words, deaths, 0)
}

fn forged_frames_on_the_socket(context: Context) -> Outcome {
    let deaths = from_env("OFFSPRING_HOSTILE_DEATHS").unwrap_or(DEATHS);
    with_liars(context, Malice::Socket, deaths, 0)
}
