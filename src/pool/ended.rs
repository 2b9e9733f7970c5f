//! What follows from the end of a worker: what its tasks get, and who takes its place.

use std::time::Instant;

use offspring_platform::wait::was_killed;

use super::batch::From;
use super::core::Core;
use super::hear::{START, TASK};
use super::report::WorkerReport;
use super::settings::pause_after;
use super::task::Waiting;
use super::worker::Worker;
use crate::Exit;
use crate::error::{Error, ErrorKind, Phase};
use crate::supervisor::watchdog::Expired;

/// How a worker ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) expired: Option<Expired>,
    pub(super) out_of_memory: bool,
}

impl End {
    pub(super) const UNKNOWN: Self =
        Self { exit: Exit::Unknown, expired: None, out_of_memory: false };

    fn explain(self, error: Error) -> Error {
        if self.out_of_memory {
            return error
                .detail("the system ended the process because memory ran out")
                .advice("give it less to do at once, or allow more memory");
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
        let begun = worker.begun();
        let (started, waiting) = worker.what_is_left();
        self.put_back(waiting);
        for task in started {
            self.task_ended(slot, &worker, task, end, begun);
        }
        let expected = worker.closing || worker.failed;
        let abnormal = worker.killed_for.is_none() && (exit != Exit::Code(0) || !expected);
        if abnormal {
            self.account.abnormal.push(exit);
        }
        let why = match () {
            () if worker.killed_for.is_some() => "its task was cancelled",
            () if end.expired.is_some() => "it took too long",
            () if end.out_of_memory => "memory ran out",
            () if abnormal => "it died",
            () if worker.failed => "it did not come up",
            () => "it was to be replaced, or the pool ended",
        };
        let generation = self.slots[slot].generation;
        let ended = WorkerReport::of(&worker, slot, generation, Some((exit, why)));
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
        let (started, waiting) = worker.what_is_left();
        self.put_back(waiting);
        let from = From { worker: slot, pid: worker.pid };
        for task in started {
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
    }

    /// What a task gets that was begun by a worker that has ended.
    fn task_ended(&mut self, slot: usize, worker: &Worker, task: Waiting, end: End, begun: u64) {
        let (batch, index) = (task.batch(), task.index());
        if worker.killed_for == Some(batch) {
            return self.fail_as_cancelled(batch, index, Phase::Started);
        }
        let late = end.expired == Some(Expired::Task(begun));
        if !late && self.settings.retries > 0 && self.batches.is_open(batch) {
            let tries = self.retried.entry((batch, index)).or_default();
            *tries += 1;
            if *tries <= self.settings.retries {
                return self.put_back(vec![task]);
            }
        }
        let from = From { worker: slot, pid: worker.pid };
        for index in index..index + task.count() {
            let error = if late {
                let limit = self.settings.deadlines.task.unwrap_or_default();
                Error::new(ErrorKind::TimedOut, TASK)
                    .detail(format!("it took longer than {limit:?}, and was ended"))
            } else {
                end.explain(Error::new(ErrorKind::Died, TASK))
            };
            self.fail(batch, index, error.at(Phase::Started).ended(end.exit), from);
        }
    }

    fn why_not_ready(&self, worker: &Worker, end: End) -> Error {
        if end.expired == Some(Expired::Init) {
            let limit = self.settings.deadlines.init.unwrap_or_default();
            return Error::new(ErrorKind::TimedOut, "initialise a worker")
                .detail(format!("it took longer than {limit:?}, and was ended"))
                .ended(end.exit);
        }
        let (kind, doing) = match worker.greeted {
            true => (ErrorKind::Init, "initialise a worker"),
            false => (ErrorKind::Start, START),
        };
        end.explain(Error::new(kind, doing).detail("the worker ended")).ended(end.exit)
    }

    /// A worker did not come up. After a few in a row, none will.
    pub(super) fn worker_failed(&mut self, slot: usize, worker: &Worker, error: Error) {
        self.failures += 1;
        let killed = worker.exit.is_some_and(was_killed) && error.kind() != ErrorKind::TimedOut;
        let patience = self.settings.patience(killed);
        if self.failures >= patience && !self.closing {
            let error = error.in_context(self.context).of_process(worker.pid).of_worker(slot);
            self.give_up(error);
        }
    }

    pub(super) fn replace(&mut self, slot: usize) {
        if self.closing || self.broken.is_some() || slot >= self.target {
            return;
        }
        self.slots[slot].generation += 1;
        self.account.replaced += 1;
        if self.failures > 0 {
            self.slots[slot].start_at = Some(Instant::now() + pause_after(self.failures));
            self.late_starts += 1;
            return;
        }
        if let Err(error) = self.start_worker(slot) {
            self.give_up(error);
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
