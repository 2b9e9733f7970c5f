//! Handing tasks to workers, and settling those that no worker gets.

use std::time::{Duration, Instant};

use super::batch::{BatchId, What};
use super::core::{Core, Slot};
use super::settings::Reuse;
use super::task::{Large, Parcel, Waiting};
use super::worker::Worker;
use crate::error::{Error, ErrorKind, Phase};

impl Slot {
    /// The worker, if nothing waits for it alone: that comes first.
    fn open_worker(&mut self) -> Option<&mut Worker> {
        self.worker.as_deref_mut().filter(|_| self.pinned.is_empty())
    }
}

impl Core {
    /// Hands waiting tasks to workers that have room, to all alike.
    pub(super) fn dispatch(&mut self) {
        if self.broken.is_some() {
            self.fail_waiting();
            return;
        }
        self.now = Instant::now();
        self.relieve();
        let mut touched = self.send_pinned();
        loop {
            if self.waiting.is_empty() {
                self.even_out();
            }
            let Some(next) = self.waiting.pop_front() else { break };
            let count = next.count();
            let left = match next {
                Waiting::Large(large) => self.send_large(large).err().map(Waiting::Large),
                Waiting::Parcel(mut parcel) => {
                    self.send_parcel(&mut parcel);
                    (!parcel.is_empty()).then_some(Waiting::Parcel(parcel))
                }
            };
            let left_over = left.as_ref().map_or(0, Waiting::count);
            touched |= left_over < count;
            self.waiting_count -= count - left_over;
            if let Some(left) = left {
                self.waiting.push_front(left);
                break;
            }
        }
        // Some may have been taken back to even out what they were sent with.
        touched |= self.send_pinned();
        if touched {
            for slot in &mut self.slots {
                let Some(worker) = &mut slot.worker else { continue };
                worker.publish();
                if !worker.send_rest() {
                    // What is wrong will show when the supervisor reports its end.
                    worker.kill();
                }
            }
        }
    }

    /// Sends more of the large tasks that workers have begun to get.
    pub(super) fn push_bodies(&mut self) {
        for slot in &mut self.slots {
            let Some(worker) = &mut slot.worker else { continue };
            if !worker.bulk_tasks.is_busy() {
                continue;
            }
            if !worker.push_body() {
                worker.kill();
            } else if self.settings.retries == 0 {
                worker.forget_argument();
            }
        }
    }

    /// Sends the tasks that are for one worker each. Whether there were any.
    fn send_pinned(&mut self) -> bool {
        let mut touched = false;
        for slot in &mut self.slots {
            let Some(worker) = &mut slot.worker else { continue };
            // Behind nothing else: what waits behind a long task is taken back, and would be sent again and
            // again.
            while worker.is_idle() {
                let Some(next) = slot.pinned.pop_front() else { break };
                let left = match next {
                    Waiting::Parcel(mut parcel) => {
                        worker.send(&mut parcel, u64::MAX);
                        (!parcel.is_empty()).then_some(Waiting::Parcel(parcel))
                    }
                    Waiting::Large(large) => worker.send_large(large).err().map(Waiting::Large),
                };
                touched = true;
                if let Some(left) = left {
                    slot.pinned.push_front(left);
                    break;
                }
            }
        }
        touched
    }

    /// To a worker that has nothing else, so that nothing waits behind it, and it is not waited for.
    fn send_large(&mut self, large: Large) -> Result<(), Large> {
        let workers = self.slots.iter_mut().filter_map(Slot::open_worker);
        let idle = |worker: &&mut Worker| worker.is_idle() && !worker.has_output();
        match { workers }.find(idle) {
            Some(worker) => worker.send_large(large),
            None => Err(large),
        }
    }

    /// Shares the tasks out among the workers that have room, the least loaded first. If there is none that is ready, those
    /// that come up get their first.
    fn send_parcel(&mut self, parcel: &mut Parcel) {
        // With fresh workers for each `map`, nobody could tell whether one that is not ready has run something.
        let ahead = self.settings.reuse != Reuse::PerMap && !self.workers().any(Worker::serves);
        let now = self.now;
        let room = |worker: &Worker, parcel: &Parcel| match ahead {
            true => worker.room_ahead(parcel.chunk),
            false => worker.room_for(parcel, now),
        };
        loop {
            let rooms = self.slots.iter_mut().filter_map(Slot::open_worker);
            let with_room = rooms.filter(|worker| room(worker, parcel) > 0);
            let (mut able, mut least) = (0u64, u64::MAX);
            for worker in with_room {
                able += 1;
                least = least.min(worker.in_flight);
            }
            if able == 0 || parcel.is_empty() {
                return;
            }
            // Few tasks: one to each, and then to each another. Many: to each its share.
            let share = parcel.count.div_ceil(able);
            let mut sent = 0;
            for slot in &mut self.slots {
                let Some(worker) = slot.open_worker() else { continue };
                let fair = (least + share).saturating_sub(worker.in_flight);
                // Whole chunks, even if the last does not quite fit.
                let most = fair.min(room(worker, parcel));
                let most = most.next_multiple_of(parcel.chunk.max(1));
                sent += worker.send(parcel, most);
                if parcel.is_empty() {
                    return;
                }
            }
            if sent == 0 {
                return;
            }
        }
    }

    /// Takes back what waits behind tasks that take long, or for a worker that takes long to come up while another is
    /// there: it is older than what waits here.
    fn relieve(&mut self) {
        let serves = self.workers().any(Worker::serves);
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.is_held_up(self.now) || (serves && worker.keeps_waiting(self.now)) {
                let returned = worker.take_back();
                self.put_back(returned);
            }
        }
    }

    /// If a worker has nothing to do while others have more than they run, takes tasks back from the one
    /// that will take longest, or that does not even begin.
    fn even_out(&mut self) {
        let Some(slot) = self.most_loaded() else { return };
        let Some(worker) = &mut self.slots[slot].worker else { return };
        let returned = worker.take_back();
        self.put_back(returned);
    }

    /// The slot of the worker from which tasks should be taken, if another has nothing to do.
    fn most_loaded(&self) -> Option<usize> {
        if !self.is_uneven() {
            return None;
        }
        let loaded = self.slots.iter().enumerate().filter_map(|(slot, place)| {
            let worker = place.worker.as_ref()?;
            let left = worker.pace.left(worker.in_flight);
            let more = worker.in_flight > 1 && left > WORTH_IT;
            let idles = worker.is_awaited() || worker.sleeps_on(self.now);
            (more || idles).then_some((left, slot))
        });
        loaded.max().map(|(_, slot)| slot)
    }

    /// Whether a worker has nothing to do, and another more than the task it runs.
    pub(super) fn is_uneven(&self) -> bool {
        let more = |worker: &Worker| {
            worker.in_flight > 1 || worker.is_awaited() || worker.sleeps_on(self.now)
        };
        self.workers().any(more) && self.has_idle()
    }

    /// Whether a worker has not begun what another could run.
    pub(super) fn may_sleep_on(&self) -> bool {
        self.workers().any(Worker::has_begun_none) && self.has_idle()
    }

    fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.slots.iter().filter_map(|slot| slot.worker.as_deref())
    }

    /// Whether a worker has nothing to do. One for whom something is pinned has that to do.
    fn has_idle(&self) -> bool {
        let idle = |slot: &Slot| slot.worker.as_deref().is_some_and(Worker::is_idle);
        self.slots.iter().any(|slot| slot.pinned.is_empty() && idle(slot))
    }

    /// The pool gave up: whatever waits fails with its error, also at workers that may never be ready.
    pub(super) fn fail_waiting(&mut self) {
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.is_awaited() {
                let returned = worker.take_back();
                self.put_back(returned);
            }
        }
        self.waiting_count = 0;
        for waiting in std::mem::take(&mut self.waiting) {
            for index in waiting.index()..waiting.index() + waiting.count() {
                self.fail_as_broken(waiting.batch(), index);
            }
        }
        for slot in 0..self.slots.len() {
            for waiting in std::mem::take(&mut self.slots[slot].pinned) {
                self.fail_as_broken(waiting.batch(), waiting.index());
            }
        }
    }

    /// Settles tasks that never began, or not again, and will not.
    pub(super) fn settle_cancelled(&mut self, waiting: &Waiting) {
        for index in waiting.index()..waiting.index() + waiting.count() {
            let phase = self.phase_of_waiting(waiting.batch(), index);
            self.fail_as_cancelled(waiting.batch(), index, phase);
        }
    }

    /// A task that waits has begun before if a worker died of it.
    fn phase_of_waiting(&self, batch: BatchId, index: u64) -> Phase {
        match self.retried.contains_key(&(batch, index)) {
            true => Phase::Started,
            false => Phase::NotStarted,
        }
    }

    /// Settles tasks that came back as something that cannot be sent again.
    pub(super) fn fail_as_overwritten(&mut self, waiting: &Waiting) {
        for index in waiting.index()..waiting.index() + waiting.count() {
            let number = self.batches.number(waiting.batch(), index);
            let error = Error::new(ErrorKind::Protocol, "run a task")
                .at(Phase::Unknown)
                .detail("the worker that it was sent to has overwritten it")
                .advice("look for code in the worker that writes where it must not")
                .in_context(self.context)
                .of_task(number, self.batches.name(waiting.batch()));
            self.settle(waiting.batch(), index, What::Failed(error));
        }
    }

    pub(super) fn fail_as_cancelled(&mut self, batch: BatchId, index: u64, phase: Phase) {
        let number = self.batches.number(batch, index);
        let error = Error::new(ErrorKind::Cancelled, "run a task")
            .at(phase)
            .in_context(self.context)
            .of_task(number, self.batches.name(batch));
        self.settle(batch, index, What::Failed(error));
    }

    /// Makes sure that a single task does not run, or ends the worker that runs it.
    pub(super) fn cancel(&mut self, batch: BatchId) {
        if self.batches.has_outcome(batch) || !self.batches.cancel(batch) {
            return;
        }
        let found = self.waiting.iter().position(|waiting| waiting.batch() == batch);
        if let Some(waiting) = found.and_then(|place| self.waiting.remove(place)) {
            self.waiting_count -= waiting.count();
            return self.settle_cancelled(&waiting);
        }
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.has_tasks_of(batch) {
                // Settles it, if it had not begun. And nothing is left that the worker could begin after
                // it, nor is anything sent before it is clear whether the worker is killed.
                let child = worker.child;
                let returned = worker.take_back();
                self.put_back(returned);
                self.hear_worker(slot, child);
            }
        }
        if !self.batches.has_outcome(batch) {
            for slot in &mut self.slots {
                let Some(worker) = &mut slot.worker else { continue };
                if worker.has_tasks_of(batch) {
                    worker.killed_for = Some(batch);
                    worker.kill();
                }
            }
        }
        self.look_unless_driven();
    }

    pub(super) fn fail_as_broken(&mut self, batch: BatchId, index: u64) {
        let phase = self.phase_of_waiting(batch, index);
        if let Some(error) = &self.broken {
            let number = self.batches.number(batch, index);
            let mut error = error.again().of_task(number, self.batches.name(batch));
            if phase == Phase::Started {
                error = error.at(phase);
            }
            self.settle(batch, index, What::Failed(error));
        }
    }

    /// Keeps an outcome until it is taken, if its batch still exists.
    pub(super) fn settle(&mut self, batch: BatchId, index: u64, what: What) {
        self.account.tasks += 1;
        self.forget_tries(batch, index);
        self.batches.settle(batch, index, what);
    }

    /// A task has its outcome: how often it was begun does not matter any more.
    #[inline]
    pub(super) fn forget_tries(&mut self, batch: BatchId, index: u64) {
        if !self.retried.is_empty() {
            self.retried.remove(&(batch, index));
        }
    }

    /// In a forked child, which has a copy of its parent's pool: everything fails, nothing is touched.
    pub(super) fn disown(&mut self) {
        if self.broken.is_none() {
            self.broken = Some(
                Error::new(ErrorKind::Closed, "use a pool")
                    .in_context(self.context)
                    .detail(
                        "the pool belongs to the parent process; a forked child has only a copy",
                    )
                    .advice("build a pool in the child"),
            );
        }
        for slot in 0..self.slots.len() {
            // Its rings are not mapped here.
            let Some(mut worker) = self.slots[slot].worker.take() else { continue };
            for (batch, index) in worker.lose() {
                self.fail_as_broken(batch, index);
            }
        }
        self.fail_waiting();
    }
}

/// To take tasks back for less than this costs more than it brings.
const WORTH_IT: Duration = Duration::from_micros(100);
