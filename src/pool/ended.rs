//! What follows from the end of a worker: what its tasks get, and who takes its place.

use std::io;
use std::time::Instant;

use offspring_platform::wait::Exit;
use offspring_platform::wait::was_killed;

use super::batch::{BatchId, Origin};
use super::core::Core;
use super::hear::{START, TASK};
use super::reason::{EndReason, WorkerEnd};
use super::report::WorkerReport;
use super::settings::pause_after;
use super::task::Waiting;
use super::worker::Worker;
use crate::error::{Error, ErrorKind, Phase};
use crate::supervisor::watchdog::Expired;

/// How a worker ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) expired: Option<Expired>,
    pub(super) out_of_memory: bool,
    /// When, as far as is known.
    pub(super) at: Option<u64>,
}

impl End {
    pub(super) const UNKNOWN: Self =
        Self { exit: Exit::Unknown, expired: None, out_of_memory: false, at: None };

    fn explain(self, error: Error) -> Error {
        if self.out_of_memory {
            return error.out_of_memory();
        }
        match self.exit {
            Exit::Code(0) => error.advice("a task must return, not exit"),
            _ => error,
        }
    }
}

impl Core {
    /// A worker has ended: whatever it still sent counts, the task it had begun has failed, the others
    /// go back, and another worker takes its place.
    pub(super) fn worker_ended(&mut self, slot: usize, mut worker: Box<Worker>, end: End) {
        let exit = end.exit;
        worker.exit = Some(exit);
        self.account.tellings += worker.tellings;
        self.read_worker(slot, &mut worker);
        self.account.traffic += worker.traffic();
        let begun = worker.begun();
        let (started, waiting) = worker.what_is_left();
        self.put_back(waiting);
        for task in started {
            self.record_lost(slot, &worker, &task, end);
            self.task_ended(slot, &worker, task, end, begun);
        }
        let expected = worker.closing || worker.failed;
        let abnormal = worker.killed_for.is_none() && (exit != Exit::Code(0) || !expected);
        if abnormal {
            self.account.ended_abnormally(exit);
        }
        let reason = match () {
            () if worker.killed_for.is_some() => EndReason::Cancelled,
            () if end.expired.is_some() => EndReason::TimedOut,
            () if end.out_of_memory => EndReason::OutOfMemory,
            () if abnormal => EndReason::Died,
            () if worker.failed => EndReason::NotReady,
            () => EndReason::InOrder,
        };
        self.record_exit(slot, &worker, end.at, reason.text());
        let generation = self.slots[slot].generation;
        let ended = WorkerReport::of(&worker, slot, generation, Some(WorkerEnd { exit, reason }));
        self.account.ended(ended);
        if !worker.ready && !worker.failed {
            self.worker_failed(slot, &worker, self.why_not_ready(&worker, end));
        }
        self.replace(slot);
    }

    /// A worker has ended with its pool: whatever it still sent counts, and what it had begun is known to
    /// have been begun.
    pub(super) fn worker_lost(&mut self, slot: usize, mut worker: Box<Worker>) {
        worker.exit = Some(Exit::Unknown);
        self.read_worker(slot, &mut worker);
        self.account.traffic += worker.traffic();
        let (started, waiting) = worker.what_is_left();
        self.put_back(waiting);
        let from = Origin { worker: slot, pid: worker.pid };
        for task in started {
            self.record_lost(slot, &worker, &task, End::UNKNOWN);
            for index in task.index()..task.index() + task.count() {
                match &self.broken {
                    Some(error) if worker.killed_for != Some(task.batch()) => {
                        let error = error.again().at(Phase::Started);
                        self.fail(task.batch(), index, error, from);
                    }
                    _ => self.fail_as_cancelled(task.batch(), index, Phase::Started),
                }
            }
        }
        self.record_exit(slot, &worker, None, "the pool ended");
    }

    /// What a task gets that was begun by a worker that has ended.
    fn task_ended(&mut self, slot: usize, worker: &Worker, task: Waiting, end: End, begun: u64) {
        let (batch, index) = (task.batch(), task.index());
        if worker.killed_for == Some(batch) {
            return self.fail_as_cancelled(batch, index, Phase::Started);
        }
        let late = end.expired == Some(Expired::Task(begun));
        if let Some(why) = &worker.broken {
            // It did not die of the task: what it answered could not be received.
            let from = Origin { worker: slot, pid: worker.pid };
            for index in index..index + task.count() {
                let why = io::Error::new(why.kind(), why.to_string());
                let error = Error::new(ErrorKind::System, TASK)
                    .at(Phase::Started)
                    .detail("its answer could not be received")
                    .caused_by(why);
                self.fail(batch, index, error, from);
            }
            return;
        }
        if !late && self.may_begin_again(batch, index) {
            return self.put_back(vec![task]);
        }
        let from = Origin { worker: slot, pid: worker.pid };
        for index in index..index + task.count() {
            let error = if late {
                let limit = self.settings.deadlines.task.unwrap_or_default();
                Error::new(ErrorKind::TimedOut, TASK)
                    .detail(format!("it took longer than {limit:?}, and was ended"))
                    .advice("give it less to do at once, or raise `task_timeout`")
            } else {
                end.explain(Error::new(ErrorKind::Died, TASK))
            };
            let error = error.at(Phase::Started).ended(end.exit).wrote(worker.excerpt_of_task());
            self.fail(batch, index, error, from);
        }
    }

    /// Whether a task that somebody wants, and of which a process died, is begun once more.
    pub(super) fn may_begin_again(&mut self, batch: BatchId, index: u64) -> bool {
        if self.settings.retries == 0 || !self.batches.is_open(batch) {
            return false;
        }
        let tries = self.retried.entry((batch, index)).or_default();
        *tries += 1;
        *tries <= self.settings.retries
    }

    fn why_not_ready(&self, worker: &Worker, end: End) -> Error {
        if end.expired == Some(Expired::Init) {
            let limit = self.settings.deadlines.init.unwrap_or_default();
            return Error::new(ErrorKind::TimedOut, "initialise a worker")
                .detail(format!("it took longer than {limit:?}, and was ended"))
                .advice("let it do less, or raise `init_timeout`")
                .ended(end.exit)
                .wrote(worker.excerpt());
        }
        let (kind, doing) = match worker.greeted {
            true => (ErrorKind::Init, "initialise a worker"),
            false => (ErrorKind::Start, START),
        };
        let error = end.explain(Error::new(kind, doing).detail("the worker ended"));
        error.ended(end.exit).wrote(worker.excerpt())
    }

    /// A worker did not come up. After a few in a row, none will.
    pub(super) fn worker_failed(&mut self, slot: usize, worker: &Worker, error: Error) {
        let killed = worker.exit.is_some_and(was_killed) && error.kind() != ErrorKind::TimedOut;
        if self.loses_patience(killed) && !self.closing {
            let error = error.in_context(self.context).of_process(worker.pid).of_worker(slot);
            self.give_up(error);
        }
    }

    /// Counts one more worker that did not come up. Whether these are so many that none will.
    fn loses_patience(&mut self, killed: bool) -> bool {
        self.failures += 1;
        self.kills += u32::from(killed);
        self.settings.gives_up(self.failures, self.kills)
    }

    pub(super) fn replace(&mut self, slot: usize) {
        if self.closing || self.broken.is_some() {
            return;
        }
        // Also where nobody comes now: somebody does if there are to be more again.
        self.slots[slot].generation += 1;
        if slot >= self.target {
            return;
        }
        self.account.replaced += 1;
        if self.failures > 0 {
            self.start_after_pause(slot);
        } else {
            self.start_or_try_later(slot);
        }
    }

    fn start_after_pause(&mut self, slot: usize) {
        self.slots[slot].start_at = Some(Instant::now() + pause_after(self.failures));
        self.late_starts += 1;
    }

    /// Starts a worker. What the system refuses now it may grant in a moment (memory, descriptors), so that
    /// counts as a worker that did not come up.
    pub(super) fn start_or_try_later(&mut self, slot: usize) {
        let Err(error) = self.start_worker(slot) else { return };
        if self.loses_patience(false) {
            self.give_up(error.in_context(self.context).of_worker(slot));
        } else {
            self.start_after_pause(slot);
        }
    }

    /// The pool is of no use any more: all that waits fails, now and later.
    pub(super) fn give_up(&mut self, error: Error) {
        if self.broken.is_none() {
            self.broken = Some(error);
        }
        // Those that run are let finish; `dispatch` settles the rest.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few machines let a test make a cgroup of which memory runs out.
    #[test]
    fn an_end_for_want_of_memory_is_told() {
        let exit = Exit::Signal { signal: 9, core: false };
        for out_of_memory in [false, true] {
            let end = End { exit, out_of_memory, ..End::UNKNOWN };
            let error = end.explain(Error::new(ErrorKind::Died, TASK)).ended(exit);
            assert_eq!(error.is_out_of_memory(), out_of_memory, "{error}");
            // As all tasks of a pool get it that it broke.
            assert_eq!(error.again().is_out_of_memory(), out_of_memory);
            assert_eq!(error.to_string().contains("memory ran out"), out_of_memory, "{error}");
        }
    }
}
