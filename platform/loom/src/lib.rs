//! Checks, for every interleaving, that the ring's index protocol loses no byte and no wake-up, that
//! a task that is claimed and taken back at once runs exactly once, and that who waits for a lock is woken.
#![cfg(loom)]

#[path = "../../src/unix/announce.rs"]
mod announce;
#[path = "../../src/ring/claim.rs"]
mod claim;
#[path = "../../src/ring/index.rs"]
mod index;

use claim::Claimed;

use index::{ConsumerIndex, ProducerIndex, Shared};
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The shared words, the "data" (one cell for each byte of a tiny ring), and the bells.
#[derive(Default)]
struct World {
    tail: AtomicU64,
    head: AtomicU64,
    consumer_sleeps: AtomicU64,
    producer_sleeps: AtomicU64,
    /// Plain data in the real ring; relaxed atomics here, so that only the protocol orders them.
    data: [AtomicU64; 2],
    consumer_bell: Bell,
    producer_bell: Bell,
}

/// What the socket is between two processes: a ring before the sleep counts.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    sleepers: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.sleepers.notify_one();
    }

    /// If a wake-up could be lost, loom would find this sleep without an end, and call it a deadlock.
    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.sleepers.wait(rung).unwrap();
        }
        *rung = false;
    }
}

const CAPACITY: u64 = 2;

impl World {
    fn shared(&self) -> Shared<'_> {
        Shared {
            tail: &self.tail,
            head: &self.head,
            consumer_sleeps: &self.consumer_sleeps,
            producer_sleeps: &self.producer_sleeps,
        }
    }
}

/// `wanted` is how far the consumer lets the producer go on before it wants to be woken.
fn produce(world: &World, count: u64) {
    let mut index = ProducerIndex::new(CAPACITY);
    for value in 1..=count {
        while index.room(world.shared(), 1).unwrap() == 0 {
            // Nothing more comes before there is room, so whatever there is must be taken.
            if index.wakes(world.shared(), true) {
                world.consumer_bell.ring();
            }
            if index.prepare_sleep(world.shared(), 1).unwrap() {
                world.producer_bell.sleep();
            }
        }
        let place = (index.position() % CAPACITY) as usize;
        world.data[place].store(value, Ordering::Relaxed);
        index.publish(world.shared(), 1);
        if index.wakes(world.shared(), value == count) {
            world.consumer_bell.ring();
        }
    }
}

fn consume(world: &World, count: u64, wanted: u64) {
    let mut index = ConsumerIndex::new(CAPACITY);
    for value in 1..=count {
        while index.available(world.shared()).unwrap() == 0 {
            if index.prepare_sleep(world.shared(), wanted).unwrap() {
                world.consumer_bell.sleep();
                index.wake_up(world.shared());
            }
        }
        let place = (index.position() % CAPACITY) as usize;
        assert_eq!(world.data[place].load(Ordering::Relaxed), value);
        index.advance(1);
        if index.release(world.shared()) {
            world.producer_bell.ring();
        }
    }
}

fn check(count: u64, wanted: u64) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let world = Arc::new(World::default());
        let other = world.clone();
        let producer = thread::spawn(move || produce(&other, count));
        consume(&world, count, wanted);
        producer.join().unwrap();
    });
}

#[test]
fn one_item() {
    check(1, 1);
}

#[test]
fn as_many_as_fit() {
    check(2, 1);
}

#[test]
fn more_than_fit() {
    check(3, 1);
}

#[test]
fn a_consumer_that_wants_two_at_once() {
    check(3, 2);
}

/// A worker that claims tasks, one or two at a time, until it has dealt with `last`.
fn work(word: &AtomicU64, last: u64, group: u64) -> Vec<u64> {
    let mut ran = Vec::new();
    let mut done = 0;
    while done < last {
        let count = group.min(last - done);
        match claim::claim(word, done, count as u32) {
            Claimed::Yes => {
                ran.extend(done + 1..=done + count);
                done += count;
            }
            Claimed::PassOver(void) => {
                assert_ne!(void, 0, "the owner broke the protocol");
                done += u64::from(void);
            }
            Claimed::Closed => return ran,
        }
    }
    assert_eq!(done, last);
    ran
}

fn check_claims(group: u64) {
    loom::model(move || {
        let word = Arc::new(AtomicU64::new(0));
        let other = word.clone();
        let worker = thread::spawn(move || work(&other, 3, group));
        // Twice, so that the second can meet tasks that are void already, or passed over meanwhile.
        let mut returned = Vec::new();
        let mut settled = 0;
        for last in [2, 3] {
            let kept = claim::take_back(&word, settled, last);
            let first = kept.max(returned.last().copied().unwrap_or(0));
            returned.extend(first + 1..=last);
            settled = kept.min(settled.max(kept));
        }
        let mut all = worker.join().unwrap();
        all.extend(returned);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "each task runs exactly once, here or elsewhere");
    });
}

#[test]
fn tasks_claimed_one_by_one() {
    check_claims(1);
}

#[test]
fn tasks_claimed_in_groups() {
    check_claims(2);
}

/// The third is the supervisor, which kills the worker for its first task.
#[test]
fn nothing_is_claimed_after_the_word_was_closed() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(0));
        let (worker_word, owner_word) = (word.clone(), word.clone());
        let worker = thread::spawn(move || work(&worker_word, 3, 1));
        let owner = thread::spawn(move || claim::take_back(&owner_word, 0, 3));
        let closed = claim::close_after(&word, 1);
        let (ran, kept) = (worker.join().unwrap(), owner.join().unwrap());
        assert!(ran.iter().all(|task| *task <= kept), "{ran:?} ran, and {kept} was kept");
        if closed {
            assert_eq!(ran, [1]);
        } else {
            assert_eq!(ran.len() as u64, kept);
        }
    });
}

/// Of the last task that the worker was sent: its supervisor finds that late while it ends, and its owner takes back.
#[test]
fn a_worker_ends_in_its_own_way_or_is_killed() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(0));
        let (worker_word, owner_word) = (word.clone(), word.clone());
        let worker = thread::spawn(move || {
            let ran = work(&worker_word, 2, 1);
            (ran, claim::retire(&worker_word))
        });
        let owner = thread::spawn(move || claim::take_back(&owner_word, 0, 2));
        let closed = claim::close_after(&word, 1) || claim::close_after(&word, 2);
        let ((ran, retired), kept) = (worker.join().unwrap(), owner.join().unwrap());
        assert_ne!(closed, retired, "{ran:?} ran, and {kept} was kept");
        assert!(ran.iter().all(|task| *task <= kept), "{ran:?} ran, and {kept} was kept");
        if retired {
            assert_eq!(ran.len() as u64, kept);
        }
    });
}

/// One that leaves by itself may have tasks that it does not begin. All of them are taken back, before or after.
#[test]
fn what_a_worker_leaves_is_taken_back() {
    loom::model(|| {
        let word = Arc::new(AtomicU64::new(0));
        let worker_word = word.clone();
        let worker = thread::spawn(move || {
            let ran = u64::from(claim::claim(&worker_word, 0, 1) == Claimed::Yes);
            (ran, claim::retire(&worker_word))
        });
        let kept = claim::take_back(&word, 0, 3);
        let closed = claim::close_after(&word, 1);
        let (ran, retired) = worker.join().unwrap();
        assert_ne!(closed, retired, "{ran} ran, and {kept} was kept");
        assert_eq!(ran, kept);
    });
}

/// A lock that is only tried for and released, and the word of those who wait for it. The kernel's part of
/// the sleep: it compares and falls asleep in one step, and wakes one. Without the slices of the real one,
/// so a wake-up that is lost is a deadlock.
#[derive(Default)]
struct Turns {
    owned: AtomicU32,
    word: AtomicU32,
    kernel: Mutex<()>,
    sleepers: Condvar,
    /// Plain data in the real one.
    count: AtomicU32,
}

impl Turns {
    fn try_take(&self) -> bool {
        self.owned.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn lock(&self) {
        if self.try_take() {
            return;
        }
        loop {
            announce::announce(&self.word);
            if self.try_take() {
                return;
            }
            let kernel = self.kernel.lock().unwrap();
            if self.word.load(Ordering::SeqCst) == announce::ANNOUNCED {
                drop(self.sleepers.wait(kernel).unwrap());
            }
        }
    }

    fn unlock(&self) {
        self.owned.store(0, Ordering::Release);
        if announce::must_wake(&self.word) {
            drop(self.kernel.lock().unwrap());
            self.sleepers.notify_one();
        }
    }

    fn add_one(&self) {
        self.lock();
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Relaxed);
        self.unlock();
    }
}

fn check_turns(threads: u32, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let turns = Arc::new(Turns::default());
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let turns = turns.clone();
                thread::spawn(move || turns.add_one())
            })
            .collect();
        turns.add_one();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(turns.count.load(Ordering::Relaxed), threads);
    });
}

#[test]
fn two_wait_for_a_lock() {
    check_turns(2, 5);
}

/// Only one of those who sleep is woken, and has to wake the next.
#[test]
fn three_wait_for_a_lock() {
    check_turns(3, 3);
}
