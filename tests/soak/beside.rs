//! What is done beside the tiny tasks: large results, panics, cancels, a queue, and tasks that run out of memory.

use std::collections::BTreeMap;
use std::time::Duration;

use offspring::channel::{Receiver, Sender, queue};
use offspring::{ErrorKind, Exit, Pool, Task, TaskError};

use super::killer::Ledger;
use super::load::{ADDRESS_SPACE, State};
use super::stage::GROUP;
use crate::harness::{scarcity, spin_for_ever};
use crate::torture::Random;

const MESSAGES: u64 = 500;
/// A producer that waits so long for room is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

type Message = (u64, u64);

/// A task whose outcome is not there yet.
enum Waiting {
    Large {
        task: Task<Vec<u8>>,
        length: usize,
        byte: u8,
    },
    Panics(Task<()>),
    /// `true` when it was cancelled.
    Endless(Task<()>, bool),
    Produces(Task<u64>),
    /// The system ends the worker.
    TooMuch(Task<usize>),
    /// The allocator ends the worker.
    TooLarge(Task<usize>),
}

/// What kinds there are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Large,
    Panics,
    Endless,
    Produces,
    OutOfMemory,
}

pub(crate) struct Beside {
    random: Random,
    pub(crate) ledger: Ledger,
    waiting: Vec<Waiting>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// How many producers there were, and how many messages of the last one have come.
    producers: u64,
    received: u64,
    /// Whether a memory cgroup limits what all have together.
    grouped: bool,
    pub(crate) messages: u64,
    pub(crate) outcomes: u64,
    /// How often what ended how.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl Beside {
    pub(crate) fn new(
        random: Random,
        ledger: Ledger,
        grouped: bool,
    ) -> Result<Self, offspring::Error> {
        let (sender, receiver) = queue(64)?;
        Ok(Self {
            random,
            ledger,
            waiting: Vec::with_capacity(64),
            sender,
            receiver,
            producers: 0,
            received: 0,
            grouped,
            messages: 0,
            outcomes: 0,
            seen: BTreeMap::new(),
        })
    }

    pub(crate) fn start(&mut self, kind: Kind, pool: &Pool<State>) -> Result<(), offspring::Error> {
        let needs_us = matches!(kind, Kind::Endless | Kind::Produces);
        if self.waiting.len() > 32 || (needs_us && self.waiting.iter().any(Waiting::needs_us)) {
            // On a busy machine the last ones wait still. Two workers that wait for the owner would be all there
            // are: then it would have no result between which to look after them.
            return Ok(());
        }
        let waiting = match kind {
            Kind::Large => {
                let length = 1 + self.random.below(2 << 20) as usize;
                let byte = self.random.below(256) as u8;
                let argument = vec![byte; length / 4];
                let task = pool.submit((argument, length), |_, (mut bytes, length)| {
                    let byte = bytes.first().copied().unwrap_or(0);
                    bytes.resize(length, byte);
                    bytes
                })?;
                // Shorter ones have no first byte.
                let byte = if length < 4 { 0 } else { byte };
                Waiting::Large { task, length, byte }
            }
            Kind::Panics => Waiting::Panics(pool.submit((), |_, ()| panic!("as it should"))?),
            Kind::Endless => {
                let task = pool.submit((), |_, ()| spin_for_ever())?;
                let at_once = self.random.below(2) == 0;
                if at_once {
                    task.cancel();
                }
                Waiting::Endless(task, at_once)
            }
            Kind::Produces => {
                self.producers += 1;
                self.received = 0;
                let argument = (self.sender.clone(), self.producers);
                Waiting::Produces(pool.submit(argument, |_, (sender, producer)| {
                    for number in 0..MESSAGES {
                        sender.send_timeout((producer, number), PATIENCE).expect("there is room");
                    }
                    MESSAGES
                })?)
            }
            Kind::OutOfMemory if self.grouped && self.random.below(2) == 0 => {
                Waiting::TooMuch(pool.submit((), |_, ()| {
                    scarcity::to_be_killed();
                    let blocks = (0..GROUP >> 20).map(|_| std::hint::black_box(vec![1u8; 1 << 20]));
                    blocks.collect::<Vec<_>>().len()
                })?)
            }
            Kind::OutOfMemory => Waiting::TooLarge(pool.submit((), |_, ()| {
                std::hint::black_box(vec![1u8; ADDRESS_SPACE as usize]).len()
            })?),
        };
        self.waiting.push(waiting);
        Ok(())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes what is there.
    pub(crate) fn look(&mut self) {
        self.receive();
        let mut place = 0;
        while place < self.waiting.len() {
            if let Waiting::Endless(task, cancelled) = &mut self.waiting[place] {
                if !*cancelled && task.pid().is_some() {
                    task.cancel();
                    *cancelled = true;
                }
            }
            if self.waiting[place].is_done() {
                let waiting = self.waiting.swap_remove(place);
                self.outcomes += 1;
                let what = self.check(waiting);
                *self.seen.entry(what).or_default() += 1;
            } else {
                place += 1;
            }
        }
    }

    fn receive(&mut self) {
        while let Some((producer, number)) = self.receiver.try_recv().expect("the queue works") {
            assert_eq!((producer, number), (self.producers, self.received), "the next message");
            self.received += 1;
            self.messages += 1;
        }
    }

    fn check(&mut self, waiting: Waiting) -> &'static str {
        match waiting {
            Waiting::Large { task, length, byte } => match task.join() {
                Ok(bytes) => {
                    let right = bytes.len() == length && bytes.iter().all(|found| *found == byte);
                    assert!(right, "{} bytes, and not {length} times {byte}", bytes.len());
                    "large result"
                }
                Err(error) => self.killed(&error),
            },
            Waiting::Panics(task) => {
                let error = task.join().expect_err("it panics");
                if error.kind() == ErrorKind::Panicked { "panic" } else { self.killed(&error) }
            }
            Waiting::Endless(task, _) => {
                let error = task.join().expect_err("it has no end");
                if error.kind() == ErrorKind::Cancelled { "cancel" } else { self.killed(&error) }
            }
            Waiting::Produces(task) => {
                let result = task.join();
                // It has ended, so all that it sent is there.
                self.receive();
                match result {
                    Ok(sent) => {
                        assert_eq!(self.received, sent, "messages of one that sent all");
                        "producer"
                    }
                    Err(error) => self.killed(&error),
                }
            }
            Waiting::TooMuch(task) => {
                let error = task.join().expect_err("it has more than the group may");
                assert_eq!(error.kind(), ErrorKind::Died, "{error:?}");
                let killed =
                    matches!(error.exit(), Some(Exit::Signal { signal: libc::SIGKILL, .. }));
                assert!(killed, "{error:?}");
                let pid = error.pid().expect("somebody died");
                if error.is_out_of_memory() {
                    "out of memory"
                } else if self.ledger.explains(pid) {
                    "killed"
                } else {
                    // Two were killed within a moment, and one of them for want of memory: nobody knows which. And
                    // the portable way has no way to ask.
                    "out of memory, unsaid"
                }
            }
            Waiting::TooLarge(task) => {
                let error = task.join().expect_err("it has more than there is");
                match error.exit() {
                    Some(Exit::Signal { signal: libc::SIGABRT, .. }) => {
                        assert_eq!(error.kind(), ErrorKind::Died, "{error:?}");
                        let said = error.stderr().unwrap_or_default();
                        assert!(said.contains("memory allocation of"), "{error:?}");
                        "limit of memory"
                    }
                    _ => self.killed(&error),
                }
            }
        }
    }

    /// Sees to it that somebody killed the worker.
    pub(crate) fn killed(&self, error: &TaskError) -> &'static str {
        assert_eq!(error.kind(), ErrorKind::Died, "{error:?}");
        let pid = error.pid().expect("somebody died");
        assert!(self.ledger.explains(pid), "nobody killed {pid}, or twice: {error:?}");
        "killed"
    }
}

impl Waiting {
    /// Whether it does not end before the owner does something for it.
    fn needs_us(&self) -> bool {
        matches!(self, Self::Endless(..) | Self::Produces(_))
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Large { task, .. } => task.is_done(),
            Self::Panics(task) | Self::Endless(task, _) => task.is_done(),
            Self::Produces(task) => task.is_done(),
            Self::TooMuch(task) | Self::TooLarge(task) => task.is_done(),
        }
    }
}
