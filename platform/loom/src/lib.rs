//! Checks, for every interleaving, that the ring's index protocol loses no byte and no wake-up.
#![cfg(loom)]

#[path = "../../src/ring/index.rs"]
mod index;

use index::{ConsumerIndex, ProducerIndex, Shared};
use loom::sync::atomic::{AtomicU64, Ordering};
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

fn produce(world: &World, count: u64) {
    let mut index = ProducerIndex::new(CAPACITY);
    for value in 1..=count {
        while index.room(world.shared(), 1).unwrap() == 0 {
            if index.prepare_sleep(world.shared(), 1).unwrap() {
                world.producer_bell.sleep();
            }
        }
        let place = (index.position() % CAPACITY) as usize;
        world.data[place].store(value, Ordering::Relaxed);
        if index.publish(world.shared(), 1) {
            world.consumer_bell.ring();
        }
    }
}

fn consume(world: &World, count: u64) {
    let mut index = ConsumerIndex::new(CAPACITY);
    for value in 1..=count {
        while index.available(world.shared()).unwrap() == 0 {
            if index.prepare_sleep(world.shared()).unwrap() {
                world.consumer_bell.sleep();
            }
        }
        let place = (index.position() % CAPACITY) as usize;
        assert_eq!(world.data[place].load(Ordering::Relaxed), value);
        if index.release(world.shared(), 1) {
            world.producer_bell.ring();
        }
    }
}

fn check(count: u64) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let world = Arc::new(World::default());
        let other = world.clone();
        let producer = thread::spawn(move || produce(&other, count));
        consume(&world, count);
        producer.join().unwrap();
    });
}

#[test]
fn one_item() {
    check(1);
}

#[test]
fn as_many_as_fit() {
    check(2);
}

#[test]
fn more_than_fit() {
    check(3);
}
