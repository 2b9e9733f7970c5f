//! What workers and the supervisor say, and what follows from it.

use std::time::Instant;

use offspring_platform::wait::was_killed;

use super::core::{Core, Source};
use super::task::{Outcome, Task};
use super::worker::Worker;
use crate::Exit;
use crate::channel::{Frame, Kind};
use crate::child::Refusal;
use crate::child::worker::INITIALISER;
use crate::codec;
use crate::error::{Error, ErrorKind, Phase};
use crate::function::Failure;
use crate::supervisor::protocol::{Exited, NotStarted, Started};

const TASK: &str = "run a task";
const START: &str = "start a worker";

/// This many workers in a row may fail to come up before the pool gives up.
const PATIENCE: u32 = 3;
/// This many when the last one was killed: that comes from outside and passes, unless the initialiser
/// needs more memory than there is.
const PATIENCE_WITH_KILLS: u32 = 20;

impl Core {
    /// Takes note of what these have to say.
    pub(super) fn hear(&mut self, ready: &[Source]) {
        // Workers first: a worker that has ended said all it had to say before.
        for source in ready {
            if let Source::Worker { slot, child } = *source {
                self.hear_worker(slot, child);
            }
        }
        if ready.contains(&Source::Supervisor) {
            self.hear_supervisor();
        }
        self.check_deadlines();
    }

    fn hear_worker(&mut self, slot: usize, child: u64) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(mut worker) = place.worker.take_if(|worker| worker.child == child) else { return };
        self.read_worker(slot, &mut worker);
        self.slots[slot].worker = Some(worker);
    }

    /// Reads what the worker sent, and sends what was left to send.
    fn read_worker(&mut self, slot: usize, worker: &mut Worker) {
        let link = &mut worker.link;
        let read = if worker.exit.is_some() { link.drain() } else { link.fill() };
        // What arrived before a break was whole.
        let mut whole = true;
        while let Some(frame) = worker.link.next() {
            whole = whole && self.hear_frame(slot, worker, frame);
        }
        whole = whole && read.is_ok() && worker.link.flush().is_ok();
        if !whole {
            // Not what we started, or something else writes to its channel.
            worker.kill();
        }
    }

    /// Whether the frame was one that belongs here.
    fn hear_frame(&mut self, slot: usize, worker: &mut Worker, frame: Frame) -> bool {
        match frame.kind {
            Kind::Hello if !worker.greeted => {
                worker.greeted = true;
                // The supervisor says it too, but perhaps later than the worker's first outcome.
                worker.pid = i32::try_from(frame.id).unwrap_or(worker.pid);
            }
            Kind::Refused if !worker.greeted => {
                worker.failed = true;
                let refusal = codec::decode::<Refusal>(&frame.bytes, Vec::new());
                let kind = match refusal {
                    Ok(Refusal::ProgramChanged) => ErrorKind::ProgramChanged,
                    _ => ErrorKind::Start,
                };
                self.worker_failed(slot, worker, Error::new(kind, START));
            }
            Kind::Done if worker.greeted && !worker.ready && frame.id == INITIALISER => {
                worker.ready = true;
                self.failures = 0;
            }
            Kind::Failed if worker.greeted && !worker.ready && frame.id == INITIALISER => {
                let Ok(failure) = codec::decode::<Failure>(&frame.bytes, Vec::new()) else {
                    return false;
                };
                worker.failed = true;
                self.worker_failed(slot, worker, failure.of_initialiser());
            }
            Kind::Done | Kind::Failed if worker.ready => {
                let Some(task) = worker.land(frame.id) else { return false };
                let outcome = if frame.kind == Kind::Done {
                    let Frame { bytes, descriptors, .. } = frame;
                    Outcome::Done { bytes, descriptors, worker: slot, pid: worker.pid }
                } else {
                    let Ok(failure) = codec::decode::<Failure>(&frame.bytes, Vec::new()) else {
                        let error = Error::new(ErrorKind::Protocol, TASK).at(Phase::Unknown);
                        self.fail(slot, worker.pid, &task, error);
                        return false;
                    };
                    let error = failure.into_error(TASK);
                    self.fail(slot, worker.pid, &task, error);
                    return true;
                };
                self.settle(&task, outcome);
            }
            _ => return false,
        }
        true
    }

    fn fail(&mut self, slot: usize, pid: i32, task: &Task, error: Error) {
        let error = error
            .in_context(self.context)
            .of_process(pid)
            .of_worker(slot)
            .of_task(task.index, task.name);
        self.settle(task, Outcome::Failed(error));
    }

    fn hear_supervisor(&mut self) {
        let Some(link) = &mut self.supervisor.link else { return };
        let whole = link.flush().is_ok() && link.fill().is_ok();
        let reports: Vec<Frame> = std::iter::from_fn(|| link.next()).collect();
        let lost = !whole || link.is_at_end();
        // The link stays in its place: what is reported may be answered with a request.
        for report in &reports {
            self.hear_report(report);
        }
        if !lost {
            return;
        }
        // Without it nobody starts or watches workers. They end with it, and we make sure.
        self.supervisor.link = None;
        let exit = self.supervisor.finish();
        let error = Error::new(ErrorKind::Died, "keep a pool running")
            .in_context(self.context)
            .detail("the supervisor of the pool ended")
            .ended(exit)
            .at(Phase::Unknown)
            .advice("start a new pool");
        self.give_up(error);
        for slot in 0..self.slots.len() {
            if let Some(mut worker) = self.slots[slot].worker.take() {
                worker.kill();
                self.worker_ended(slot, worker, Exit::Unknown);
            }
        }
    }

    fn hear_report(&mut self, frame: &Frame) {
        let found = self.slots.iter_mut().enumerate().find_map(|(slot, place)| {
            place
                .worker
                .as_mut()
                .filter(|worker| worker.child == frame.id)
                .map(|worker| (slot, worker))
        });
        let Some((slot, worker)) = found else { return };
        match frame.kind {
            Kind::Started => {
                if let Ok(started) = codec::decode::<Started>(&frame.bytes, Vec::new()) {
                    worker.pid = started.pid;
                }
            }
            Kind::NotStarted => {
                let why = codec::decode::<NotStarted>(&frame.bytes, Vec::new());
                let text = why.map_or_else(|_| "the system refused".into(), |why| why.text);
                if let Some(mut worker) = self.slots[slot].worker.take() {
                    worker.failed = true;
                    let error = Error::new(ErrorKind::Start, START).detail(text);
                    self.worker_failed(slot, &worker, error);
                    self.replace(slot);
                }
            }
            Kind::Exited => {
                let exited = codec::decode::<Exited>(&frame.bytes, Vec::new());
                let exit = exited.map_or(Exit::Unknown, Exit::from);
                if let Some(worker) = self.slots[slot].worker.take() {
                    self.worker_ended(slot, worker, exit);
                }
            }
            _ => {}
        }
    }

    /// A worker has ended: whatever it still sent counts, the task it had begun has failed, the others
    /// go back, and another worker takes its place.
    fn worker_ended(&mut self, slot: usize, mut worker: Worker, exit: Exit) {
        worker.exit = Some(exit);
        self.read_worker(slot, &mut worker);
        let (started, waiting) = worker.what_is_left();
        for task in waiting.into_iter().rev() {
            self.waiting.push_front(task);
        }
        for task in started {
            let error = Error::new(ErrorKind::Died, TASK).at(Phase::Started).ended(exit);
            let error = match exit {
                Exit::Code(0) => error.advice("a task must return, not exit"),
                _ => error,
            };
            self.fail(slot, worker.pid, &task, error);
        }
        if exit != Exit::Code(0) || !self.closing && !worker.failed {
            self.report.abnormal.push(exit);
        }
        if !worker.ready && !worker.failed {
            let (kind, doing) = match worker.greeted {
                true => (ErrorKind::Init, "initialise a worker"),
                false => (ErrorKind::Start, START),
            };
            let error = Error::new(kind, doing).detail("the worker ended").ended(exit);
            self.worker_failed(slot, &worker, error);
        }
        self.replace(slot);
    }

    /// A worker did not come up. After a few in a row, none will.
    fn worker_failed(&mut self, slot: usize, worker: &Worker, error: Error) {
        self.failures += 1;
        let patience = match worker.exit {
            Some(exit) if was_killed(exit) => PATIENCE_WITH_KILLS,
            _ => PATIENCE,
        };
        if self.failures >= patience && !self.closing {
            let error = error.in_context(self.context).of_process(worker.pid).of_worker(slot);
            self.give_up(error);
        }
    }

    fn replace(&mut self, slot: usize) {
        if self.closing || self.broken.is_some() {
            return;
        }
        self.slots[slot].generation += 1;
        self.report.replaced += 1;
        if let Err(error) = self.start_worker(slot) {
            self.give_up(error);
        }
    }

    /// The pool is of no use any more: all that waits fails, now and later.
    fn give_up(&mut self, error: Error) {
        if self.broken.is_none() {
            self.broken = Some(error);
        }
        // Those that run are let finish; `dispatch` settles the rest.
    }

    /// In a forked child, which has a copy of its parent's pool: everything fails, nothing is touched.
    pub(super) fn disown(&mut self) {
        for slot in 0..self.slots.len() {
            if let Some(mut worker) = self.slots[slot].worker.take() {
                let (started, waiting) = worker.what_is_left();
                self.waiting.extend(started.into_iter().chain(waiting));
            }
        }
        self.give_up(
            Error::new(ErrorKind::Closed, "use a pool")
                .in_context(self.context)
                .detail("the pool belongs to the parent process; a forked child has only a copy")
                .advice("build a pool in the child"),
        );
        self.fail_waiting();
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.greeted || worker.keeper.is_none() || worker.must_greet_by > now {
                continue;
            }
            worker.kill();
            worker.failed = true;
            if let Some(worker) = self.slots[slot].worker.take() {
                self.worker_failed(slot, &worker, Error::new(ErrorKind::TimedOut, START));
                self.slots[slot].worker = Some(worker);
            }
        }
    }
}
