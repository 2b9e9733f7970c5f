//! A pool of processes: its state, all of it under one lock.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use offspring_platform::bell::Ringer;

use super::batch::{BatchId, Batches, Kind};
use super::report::Account;
use super::settings::{Reuse, Settings};
use super::task::Waiting;
use super::worker::Worker;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::link::Spin;
use crate::supervisor::Supervisor;

/// One place for a worker.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) worker: Option<Box<Worker>>,
    /// How many workers were here before.
    pub(super) generation: u64,
    /// When a new worker is to be started, after some did not come up.
    pub(super) start_at: Option<Instant>,
    /// Tasks for whoever works here, and for nobody else.
    pub(super) pinned: VecDeque<Waiting>,
}

/// The state of a pool.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: Context,
    pub(super) settings: Settings,
    pub(super) supervisor: Supervisor,
    pub(super) slots: Vec<Slot>,
    /// Tasks that no worker has, in the order in which they came.
    pub(super) waiting: VecDeque<Waiting>,
    /// How many those are.
    pub(super) waiting_count: u64,
    /// The place of the next that any worker may have, in the order in which they come; from 1 on.
    pub(super) arrived: u64,
    pub(super) batches: Batches,
    pub(super) next_child: u64,
    /// Workers that failed to come up since the last that did.
    pub(super) failures: u32,
    /// Of these, those that were killed.
    pub(super) kills: u32,
    /// So many slots wait until a new worker is to be started.
    pub(super) late_starts: usize,
    /// Why the pool is of no use any more.
    pub(super) broken: Option<Error>,
    pub(super) closing: bool,
    pub(super) account: Account,
    /// How often tasks were begun again that ended with their worker.
    pub(super) retried: HashMap<(BatchId, u64), u32>,
    /// With this, workers wake the driver.
    pub(super) ringer: Ringer,
    /// When tasks were handed out last.
    pub(super) now: Instant,
    pub(super) spin: Spin,
    /// How many workers there shall be.
    pub(super) target: usize,
    /// All is over.
    pub(super) ended: bool,
    /// The number of the thread that was started to drive for the sake of wakers, while there is one.
    pub(super) waiter: Option<u64>,
    /// How many of those were started.
    pub(super) waiters: u64,
    /// How many single tasks were submitted.
    pub(super) submitted: u64,
    /// A thread drives.
    pub(super) driven: bool,
    /// Whether the thread that drives sleeps for a short time only, and then looks for workers that are held up.
    pub(super) looks_soon: bool,
    /// So many threads wait for the driver.
    pub(super) followers: usize,
}

impl Slot {
    pub(super) fn has_output(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.has_output())
    }
}

impl Core {
    pub(super) fn context(&self) -> Context {
        self.context
    }

    pub(super) fn worker_count(&self) -> usize {
        self.target
    }

    /// Makes the thread that drives look at the list of sockets again.
    pub(super) fn wake_driver(&self) {
        // Fails only if somebody has closed the descriptor; then the driver's own fails as well.
        let _ = self.ringer.ring();
    }

    /// Adds tasks behind all others.
    pub(super) fn add(&mut self, mut waiting: Waiting) {
        if waiting.count() == 0 {
            return;
        }
        if let Some(slot) = self.slot_of(&waiting) {
            // At no place: it is in nobody's way, for its worker is the only one that it can have.
            self.slots[slot].pinned.push_back(waiting);
        } else {
            waiting.came(self.arrived);
            self.arrived += waiting.count();
            self.waiting_count += waiting.count();
            self.waiting.push_back(waiting);
        }
    }

    /// Puts tasks that were with a worker before all that came later.
    pub(super) fn put_back(&mut self, returned: Vec<Waiting>) {
        for mut waiting in returned.into_iter().rev() {
            let batch = waiting.batch();
            if self.batches.is_cancelled(batch) {
                self.settle_cancelled(&waiting);
                continue;
            }
            if !waiting.is_whole() {
                self.fail_as_overwritten(&waiting);
                continue;
            }
            match self.batches.slot_of(batch, waiting.index(), self.target) {
                None => {}
                Some(slot) if slot < self.target => {
                    self.slots[slot].pinned.push_front(waiting);
                    continue;
                }
                // Nobody will come after the worker that had it.
                Some(_) => {
                    self.settle_cancelled(&waiting);
                    continue;
                }
            }
            self.waiting_count += waiting.count();
            if let Waiting::Parcel(parcel) = &mut waiting {
                parcel.returned = true;
            }
            let arrival = waiting.arrival();
            let place = self.waiting.iter().take_while(|other| other.arrival() < arrival).count();
            self.waiting.insert(place, waiting);
        }
    }

    /// The slot of the worker that it is for, if it is for one only that is there.
    fn slot_of(&mut self, waiting: &Waiting) -> Option<usize> {
        let slot = self.batches.slot_of(waiting.batch(), waiting.index(), self.target);
        slot.filter(|slot| *slot < self.target)
    }

    /// Whether a worker has tasks.
    pub(super) fn has_tasks(&self) -> bool {
        self.slots.iter().any(|slot| {
            slot.worker.as_ref().is_some_and(|worker| worker.in_flight > 0)
                || !slot.pinned.is_empty()
        })
    }

    /// Opens a batch for the tasks of a map.
    pub(super) fn begin_map(&mut self, name: &'static str) -> BatchId {
        if self.settings.reuse == Reuse::PerMap {
            self.recycle_used();
        }
        self.batches.open(name, Kind::Map)
    }

    /// Opens a batch for a task that is submitted, unless so many have no outcome yet.
    pub(super) fn open_single(
        &mut self,
        name: &'static str,
        most: usize,
    ) -> Option<(BatchId, u64)> {
        if self.batches.unsettled >= most {
            return None;
        }
        let number = self.submitted;
        self.submitted += 1;
        let kind = Kind::Single { number, settled: false, detached: false, waker: None };
        Some((self.batches.open(name, kind), number))
    }

    /// Ends all workers and the supervisor; what has no outcome gets one.
    pub(super) fn end(&mut self, why: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if !self.supervisor.is_ours() {
            return self.disown();
        }
        if self.broken.is_none() {
            let error = Error::new(ErrorKind::Cancelled, "run a task");
            self.broken = Some(error.in_context(self.context).detail(why));
        }
        // Their lifelines go first, so that no worker begins anything while the supervisor ends.
        for slot in &mut self.slots {
            if let Some(worker) = &mut slot.worker {
                worker.kill();
            }
        }
        self.supervisor.finish();
        for slot in 0..self.slots.len() {
            if let Some(worker) = self.slots[slot].worker.take() {
                self.worker_lost(slot, worker);
            }
        }
        self.fail_waiting();
    }

    /// See [`Core::look`]; the one who drives will do it.
    pub(super) fn look_unless_driven(&mut self) {
        if !self.driven {
            self.look();
        }
    }

    /// Takes outcomes out of the rings, and hands out tasks in their place.
    pub(super) fn look(&mut self) {
        self.hear_rings();
        self.push_bodies();
        self.dispatch();
        if self.late_starts > 0 {
            self.start_late();
        }
    }

    /// Forgets a batch: its tasks that have not begun will not, and its outcomes are dropped.
    pub(super) fn close_batch(&mut self, batch: BatchId) {
        self.batches.close(batch);
        self.forget_waiting(batch);
        if self.broken.is_some() {
            return;
        }
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.has_tasks_of(batch) {
                let returned = worker.take_back();
                self.put_back(returned);
            }
        }
        self.forget_waiting(batch);
        self.dispatch();
    }

    pub(super) fn forget_waiting(&mut self, batch: BatchId) {
        self.waiting.retain(|waiting| waiting.batch() != batch);
        for slot in &mut self.slots {
            slot.pinned.retain(|waiting| waiting.batch() != batch);
        }
        self.waiting_count = self.waiting.iter().map(Waiting::count).sum();
        if !self.retried.is_empty() {
            // Those that waited to be begun again get no outcome, with which that would be forgotten.
            self.retried.retain(|(of, _), _| *of != batch);
        }
    }

    /// How many more tasks the workers could take now, in chunks of so many; 0: at their pace.
    pub(super) fn appetite(&self, chunk: u64) -> u64 {
        if self.broken.is_some() {
            return 1;
        }
        let room = |(index, slot): (usize, &Slot)| match &slot.worker {
            Some(worker) if worker.ready => worker.room(self.now, chunk),
            // On its way: it will have time for the first ones.
            Some(worker) if !worker.closing => chunk.max(2).saturating_sub(worker.in_flight),
            // One takes its place, or will after a pause.
            _ => u64::from(index < self.target),
        };
        let wanted: u64 = self.slots.iter().enumerate().map(room).sum();
        wanted.saturating_sub(self.waiting_count)
    }
}
