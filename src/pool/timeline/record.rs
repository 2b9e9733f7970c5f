//! What is put into the timeline of a pool when. Each of these returns at once where none is kept.

use std::sync::atomic::Ordering;

use offspring_platform::clock::now;

use super::Timeline;
use super::lane::{Activity, Interval, Status};
use crate::error::ErrorKind;
use crate::link::lane;
use crate::pool::batch::{BatchId, What};
use crate::pool::core::Core;
use crate::pool::ended::End;
use crate::pool::task::Waiting;
use crate::pool::worker::Worker;
use crate::supervisor::watchdog::Expired;

impl Status {
    pub(super) fn of(what: &What) -> Self {
        match what {
            What::Done { .. } | What::Large(_) => Self::Done,
            What::Brought(both) => Self::of(&both.1),
            What::Panicked(_) => Self::Panicked,
            What::Failed(error) => match error.kind() {
                ErrorKind::Panicked => Self::Panicked,
                ErrorKind::Died => Self::Died,
                ErrorKind::TimedOut => Self::TimedOut,
                ErrorKind::Cancelled => Self::Cancelled,
                _ => Self::Failed,
            },
        }
    }
}

impl Core {
    /// A worker was asked for.
    pub(in crate::pool) fn record_asked(&mut self, slot: usize) {
        if let Some(timeline) = &mut self.account.timeline {
            let lane = timeline.lane(slot);
            lane.asked = now();
            lane.is_alive = true;
        }
    }

    /// A worker has made its state; or, at its end, it had got so far as it had.
    pub(in crate::pool) fn record_coming_up(
        &mut self,
        slot: usize,
        worker: &Worker,
        end: Option<u64>,
    ) {
        let generation = self.slots[slot].generation;
        if let Some(timeline) = &mut self.account.timeline {
            let end = end.unwrap_or_else(now);
            timeline.come_up(slot, worker, generation, end);
        }
    }

    /// A task has its outcome, which came from its worker; `None` for a result.
    #[cold]
    pub(in crate::pool) fn record_task(
        &mut self,
        slot: usize,
        worker: &mut Worker,
        batch: BatchId,
        index: u64,
        what: Option<&What>,
    ) {
        let Some(span) = worker.span.take() else { return };
        let Some(timeline) = &mut self.account.timeline else { return };
        let status = what.map_or(Status::Done, Status::of);
        let (name, index) = (self.batches.name(batch), self.batches.number(batch, index));
        timeline.push(slot, Interval::of_task(span.begin, span.end, name, index, status));
    }

    /// A task was begun by a worker that has ended.
    pub(in crate::pool) fn record_lost(
        &mut self,
        slot: usize,
        worker: &Worker,
        task: &Waiting,
        end: End,
    ) {
        let Some(timeline) = &mut self.account.timeline else { return };
        let (number, since) = lane::Status::of(&worker.words).running();
        let at = end.at.unwrap_or_else(now);
        let batch = task.batch();
        let status = match end.expired {
            _ if worker.killed_for == Some(batch) => Status::Cancelled,
            Some(Expired::Task(late)) if late == number => Status::TimedOut,
            // Nobody killed it but this pool, when it was ended.
            None if end.at.is_none() && self.ended => Status::Cancelled,
            _ => Status::Died,
        };
        let since = match worker.span {
            _ if since != 0 => since,
            // It died while it sent the outcome.
            Some(span) => span.begin,
            // Or before it looked at the clock.
            None => at,
        };
        let last = task.index() + task.count() - 1;
        for index in task.index()..=last {
            let end = if index == last { at } else { since };
            let name = self.batches.name(batch);
            let index = self.batches.number(batch, index);
            timeline.push(slot, Interval::of_task(since, end, name, index, status));
        }
    }

    /// A worker has ended; `at` some time, or now.
    pub(in crate::pool) fn record_exit(
        &mut self,
        slot: usize,
        worker: &Worker,
        at: Option<u64>,
        why: &'static str,
    ) {
        let generation = self.slots[slot].generation;
        let Some(timeline) = &mut self.account.timeline else { return };
        let at = at.unwrap_or_else(now);
        timeline.come_up(slot, worker, generation, at);
        let begun = lane::Status::of(&worker.words).closing_since().load(Ordering::Relaxed);
        let begun = if begun == 0 { at } else { begun };
        let pid = u32::try_from(worker.pid).unwrap_or(0);
        let mut exit = Interval::of_worker(Activity::Exit, begun, at, generation, pid);
        exit.label = Some(why);
        timeline.push(slot, exit);
        timeline.lane(slot).is_alive = false;
    }

    /// The timeline so far, with what is under way.
    pub(in crate::pool) fn timeline_so_far(&mut self) -> Option<Box<Timeline>> {
        let mut timeline = self.account.timeline.clone()?;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(worker) = &slot.worker else { continue };
            timeline.come_up(index, worker, slot.generation, now());
            let Some((batch, task, since)) = worker.current() else { continue };
            let name = self.batches.name(batch);
            let number = self.batches.number(batch, task);
            timeline.push(index, Interval::of_task(since, now(), name, number, Status::Running));
        }
        Some(timeline.ends_now())
    }
}

impl Timeline {
    /// Adds how a worker came up, as far as it did until then, unless that was added before.
    fn come_up(&mut self, slot: usize, worker: &Worker, generation: u64, end: u64) {
        let asked = std::mem::take(&mut self.lane(slot).asked);
        if asked == 0 {
            return;
        }
        let (entered, made) = lane::Status::of(&worker.words).came_up();
        let started = if entered == 0 { end } else { entered };
        let made = if made == 0 { end } else { made };
        let pid = u32::try_from(worker.pid).unwrap_or(0);
        let add = |activity, begin, end| Interval::of_worker(activity, begin, end, generation, pid);
        self.push(slot, add(Activity::Start, asked, started));
        if entered != 0 {
            self.push(slot, add(Activity::Init, started, made));
        }
    }
}
