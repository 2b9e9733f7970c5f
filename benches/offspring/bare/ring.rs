//! Rings of fixed slots in shared memory between this process and its forked workers, which never sleep.
//!
//! One producer and one consumer each; an index for either side on a cache line of its own, and a copy of
//! the other's index, so that it is read only when the ring looks full or empty.

use std::sync::atomic::{AtomicU64, Ordering};

use super::memory::Region;
use super::process::Child;
use crate::Outcome;

/// Where things are, in words of 8 bytes: 128 bytes apart, since processors fetch lines in pairs.
const PRODUCED: usize = 0;
const CONSUMED: usize = 16;
const STOP: usize = 32;
const SLOTS: usize = 64;

/// How many tasks are published, or looked at, in one go.
const BURST: usize = 256;

/// One side of a ring.
struct End<'a> {
    words: &'a [AtomicU64],
    slots: u64,
    width: usize,
    /// The index of this side, and what was last seen of the other's.
    mine: u64,
    theirs: u64,
}

impl<'a> End<'a> {
    fn new(region: &'a Region, slots: u64, width: usize) -> Self {
        Self { words: region.words(), slots, width, mine: 0, theirs: 0 }
    }

    fn slot(&self) -> &'a [AtomicU64] {
        // A power of two, so that this is no division.
        let start = SLOTS + (self.mine & (self.slots - 1)) as usize * self.width;
        &self.words[start..start + self.width]
    }

    /// A free slot, if there is one; the caller fills it and calls `advance`.
    fn free(&mut self) -> Option<&'a [AtomicU64]> {
        if self.mine - self.theirs >= self.slots {
            self.theirs = self.words[CONSUMED].load(Ordering::Acquire);
        }
        (self.mine - self.theirs < self.slots).then(|| self.slot())
    }

    /// A full slot, if there is one.
    fn full(&mut self) -> Option<&'a [AtomicU64]> {
        if self.mine == self.theirs {
            self.theirs = self.words[PRODUCED].load(Ordering::Acquire);
        }
        (self.mine != self.theirs).then(|| self.slot())
    }

    fn advance(&mut self) {
        self.mine += 1;
    }

    /// Tells the other side how far this one is.
    fn publish(&self, index: usize) {
        self.words[index].store(self.mine, Ordering::Release);
    }
}

/// How a ring pool looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) workers: usize,
    /// Words in a task and in an answer.
    pub(crate) task: usize,
    pub(crate) answer: usize,
    /// Slots in a ring, a power of two.
    pub(crate) slots: u64,
}

struct Worker {
    tasks: Region,
    answers: Region,
    child: Child,
}

/// Workers and their rings.
pub(crate) struct RingPool {
    shape: Shape,
    workers: Vec<Worker>,
}

impl RingPool {
    pub(crate) fn start(shape: Shape, job: impl Fn(&[AtomicU64], &[AtomicU64])) -> Outcome<Self> {
        assert!(shape.slots.is_power_of_two(), "positions are masked");
        let region = |width| {
            let words = SLOTS + usize::try_from(shape.slots)? * width;
            Region::shared(words * 8)
        };
        let mut workers = Vec::new();
        for _ in 0..shape.workers {
            let (tasks, answers) = (region(shape.task)?, region(shape.answer)?);
            let child = Child::fork(|| {
                serve(
                    End::new(&tasks, shape.slots, shape.task),
                    End::new(&answers, shape.slots, shape.answer),
                    &job,
                );
            })?;
            workers.push(Worker { tasks, answers, child });
        }
        Ok(Self { shape, workers })
    }

    /// Runs tasks from 0, written by `fill`, and hands each answer to `take`, in any order.
    pub(crate) fn run(
        &self,
        count: u64,
        mut fill: impl FnMut(u64, &[AtomicU64]),
        mut take: impl FnMut(&[AtomicU64]),
    ) {
        let Shape { task, answer, slots, .. } = self.shape;
        let index = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let mut ends: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let mut tasks = End::new(&worker.tasks, slots, task);
                let mut answers = End::new(&worker.answers, slots, answer);
                // A pool that ran before goes on where it was.
                tasks.mine = index(&tasks.words[PRODUCED]);
                tasks.theirs = index(&tasks.words[CONSUMED]);
                answers.mine = index(&answers.words[CONSUMED]);
                answers.theirs = answers.mine;
                (tasks, answers)
            })
            .collect();
        let (mut sent, mut taken) = (0, 0);
        while taken < count {
            let before = (sent, taken);
            for (tasks, answers) in &mut ends {
                for _ in 0..BURST {
                    // Never more on the way than answers have room, or both sides would wait.
                    if sent == count || tasks.mine - answers.mine >= slots {
                        break;
                    }
                    let Some(slot) = tasks.free() else { break };
                    fill(sent, slot);
                    tasks.advance();
                    sent += 1;
                }
                tasks.publish(PRODUCED);
                while let Some(slot) = answers.full() {
                    take(slot);
                    answers.advance();
                    taken += 1;
                }
                answers.publish(CONSUMED);
            }
            if before == (sent, taken) {
                std::thread::yield_now();
            }
        }
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        for worker in &self.workers {
            worker.tasks.words()[STOP].store(1, Ordering::Release);
        }
        self.workers.into_iter().try_for_each(|worker| worker.child.wait())
    }
}

/// The life of a worker.
fn serve(mut tasks: End<'_>, mut answers: End<'_>, job: impl Fn(&[AtomicU64], &[AtomicU64])) {
    let mut idle = 0;
    loop {
        let mut done = 0;
        while done < BURST {
            let Some(task) = tasks.full() else { break };
            let Some(answer) = answers.free() else { break };
            job(task, answer);
            tasks.advance();
            answers.advance();
            done += 1;
        }
        if done > 0 {
            answers.publish(PRODUCED);
            tasks.publish(CONSUMED);
            idle = 0;
            continue;
        }
        if tasks.words[STOP].load(Ordering::Acquire) != 0 {
            return;
        }
        idle += 1;
        // With more processes than processors, watching for long keeps out the one that is watched.
        if idle < 100 { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}
