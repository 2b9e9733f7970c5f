//! What workers and the supervisor say, and what follows from it.

use std::time::Instant;

use super::batch::{Large, Origin, What};
use super::bulk::Progress;
use super::core::Core;
use super::drive::Source;
use super::ended::End;
use super::worker::Worker;
use crate::capture::Brought;
use crate::child::Refusal;
use crate::child::worker::{FINALISER, INITIALISER};
use crate::codec;
use crate::error::{Error, ErrorKind, Phase};
use crate::function::Failed;
use crate::link::lane::{HEAD, Head, Note, Span};
use crate::link::{Broken, Frame, Kind};
use crate::supervisor::Supervisor;
use crate::supervisor::protocol::{Exited, NotStarted, Started};
use crate::woken::after;

pub(super) const TASK: &str = "run a task";
pub(super) const START: &str = "start a worker";

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

    pub(super) fn hear_worker(&mut self, slot: usize, child: u64) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        let Some(mut worker) = place.worker.take_if(|worker| worker.child == child) else { return };
        self.read_worker(slot, &mut worker);
        self.slots[slot].worker = Some(worker);
    }

    /// Takes all outcomes out of all rings.
    pub(super) fn hear_rings(&mut self) {
        for slot in 0..self.slots.len() {
            let Some(mut worker) = self.slots[slot].worker.take_if(|worker| worker.has_news())
            else {
                continue;
            };
            if !self.read_ring(slot, &mut worker) {
                worker.kill();
            }
            self.slots[slot].worker = Some(worker);
        }
    }

    /// Takes what is in the rings of a worker, up to an outcome that is still to come in pieces or over the
    /// socket. False if it is not what a worker writes.
    fn read_ring(&mut self, slot: usize, worker: &mut Worker) -> bool {
        let from = Origin { worker: slot, pid: worker.pid };
        let mut landed = 0;
        let mut whole = true;
        // What one has done that came up just now is heard of behind that.
        while whole && worker.ready && !worker.elsewhere {
            if worker.bulk_outcomes.is_busy() {
                match worker.pull_body() {
                    Ok(Progress::Part) => break,
                    Ok(Progress::Whole) => {
                        landed += 1;
                        whole = self.settle_large(slot, worker, from);
                    }
                    Ok(Progress::Cut) => {}
                    Err(_) => whole = false,
                }
                continue;
            }
            let available = match worker.outcomes.available() {
                Ok(0) => break,
                Ok(available) if available >= HEAD => available,
                _ => {
                    whole = false;
                    break;
                }
            };
            let mut head = [0; HEAD];
            worker.outcomes.peek(0, &mut head);
            let Some(head) = Head::from_bytes(head).filter(|head| head.size() <= available) else {
                whole = false;
                break;
            };
            match head.note {
                Note::Elsewhere => {
                    worker.elsewhere = true;
                    worker.took = head.tag;
                }
                Note::Done | Note::Failed if head.brought => {
                    landed += 1;
                    whole = self.settle_brought(slot, worker, head);
                }
                Note::DoneInPieces => {
                    worker.took = head.tag;
                    let mut length = [0; 8];
                    worker.outcomes.peek(HEAD, &mut length[..head.length.min(8)]);
                    match usize::try_from(u64::from_ne_bytes(length)) {
                        Ok(length) if head.length == 8 => worker.bulk_outcomes.expect(length),
                        _ => whole = false,
                    }
                }
                Note::Ran => {
                    let mut span = [0; Span::LENGTH];
                    worker.outcomes.peek(HEAD, &mut span[..head.length.min(Span::LENGTH)]);
                    worker.span = Some(Span::from_bytes(span));
                    whole = head.length == Span::LENGTH;
                }
                // Its end follows, and then what it has not begun goes back.
                Note::Leaving => worker.closing = true,
                Note::Done => match worker.land() {
                    Some((batch, index)) => {
                        landed += 1;
                        if head.tag > 0 {
                            self.note_slow(batch, index, slot, head.tag);
                        }
                        if worker.span.is_some() {
                            self.record_task(slot, worker, batch, index, None);
                        }
                        self.settle_small(worker, batch, index, head.length, from);
                    }
                    None => whole = false,
                },
                Note::Failed => {
                    // Before it lands: then its place in the ring is unknown.
                    let retries = self.settings.retries > 0;
                    let again = retries.then(|| worker.next_again()).flatten();
                    match worker.land() {
                        Some((batch, index)) => {
                            landed += 1;
                            if head.tag > 0 {
                                self.note_slow(batch, index, slot, head.tag);
                            }
                            let mut bytes = vec![0; head.length];
                            worker.outcomes.peek(HEAD, &mut bytes);
                            whole = self.settle_failed(slot, worker, batch, index, &bytes, again);
                        }
                        None => whole = false,
                    }
                }
                _ => whole = false,
            }
            worker.outcomes.take(head.size());
        }
        worker.release(landed);
        whole
    }

    /// Reads what the worker sent, and sends what was left to send.
    pub(super) fn read_worker(&mut self, slot: usize, worker: &mut Worker) {
        let link = &mut worker.link;
        let read = if worker.exit.is_some() { link.drain() } else { link.fill() };
        // What arrived before a break was whole.
        let mut whole = self.read_ring(slot, worker);
        while let Some(frame) = worker.link.next() {
            whole = whole && self.hear_frame(slot, worker, frame);
            whole = whole && self.read_ring(slot, worker);
        }
        whole = whole && read.is_ok() && worker.link.flush().is_ok();
        if let Err(Broken::System(error)) = read {
            worker.broken.get_or_insert(error);
        }
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
                worker.times.greeted = Some(Instant::now());
                // The supervisor says it too, but perhaps later than the worker's first outcome.
                worker.pid = i32::try_from(frame.id).unwrap_or(worker.pid);
                // So does it say hello, a copy of this process: but who started somebody is up.
                self.supervisor.greeted = true;
            }
            Kind::Refused if !worker.greeted => {
                worker.failed = true;
                worker.pid = i32::try_from(frame.id).unwrap_or(worker.pid);
                let directory = self.settings.specification.directory.as_deref();
                let error = Refusal::received(&frame.bytes).into_error(START, directory);
                self.worker_failed(slot, worker, error.wrote(worker.excerpt()));
            }
            Kind::Done if worker.greeted && !worker.ready && frame.id == INITIALISER => {
                worker.ready = true;
                // Its time for what it was sent ahead began then.
                let made = worker.made().unwrap_or_else(Instant::now);
                worker.pace.since = worker.pace.since.max(made);
                self.record_coming_up(slot, worker, None);
                (self.failures, self.kills) = (0, 0);
            }
            Kind::Failed if worker.greeted && !worker.ready && frame.id == INITIALISER => {
                let Ok(failure) = codec::decode_own::<Failed>(&frame.bytes) else {
                    return false;
                };
                worker.failed = true;
                self.worker_failed(slot, worker, failure.of_initialiser());
            }
            Kind::Done if worker.closing && frame.id == FINALISER => {
                self.account.values.push((slot, Ok((frame.bytes, frame.descriptors))));
            }
            Kind::Failed if worker.closing && frame.id == FINALISER => {
                let Ok(failure) = codec::decode_own::<Failed>(&frame.bytes) else {
                    return false;
                };
                let error = failure
                    .into_error("run what a worker does at its end")
                    .in_context(self.context)
                    .of_process(worker.pid)
                    .of_worker(slot);
                self.account.values.push((slot, Err(error)));
            }
            // Of another task if a frame before it was lost: nothing is to be given to the wrong one.
            Kind::Brought | Kind::Done | Kind::Failed
                if worker.elsewhere && Some(frame.id) != worker.number_next() =>
            {
                return false;
            }
            Kind::Brought if worker.elsewhere && worker.brought.is_none() => {
                worker.beside.results += frame.bytes.len() as u64;
                worker.brought = Some(frame.bytes);
            }
            Kind::Done | Kind::Failed if worker.elsewhere => {
                worker.elsewhere = false;
                let set = worker.captured_next();
                let Some((batch, index)) = worker.land() else { return false };
                worker.beside.results += frame.bytes.len() as u64;
                worker.release(1);
                if worker.took > 0 {
                    self.note_slow(batch, index, slot, worker.took);
                }
                let from = Origin { worker: slot, pid: worker.pid };
                let (what, whole) = if frame.kind == Kind::Failed {
                    self.failure(batch, index, &frame.bytes, from)
                } else {
                    let Frame { bytes, descriptors, .. } = frame;
                    (What::Large(Box::new(Large { bytes, descriptors, from })), true)
                };
                self.record_task(slot, worker, batch, index, Some(&what));
                let what = match worker.brought.take().zip(set) {
                    Some((pieces, set)) => {
                        What::Brought(Box::new((Brought::new(set, pieces), what)))
                    }
                    None => what,
                };
                self.settle(batch, index, what);
                return whole;
            }
            _ => return false,
        }
        true
    }

    pub(super) fn hear_supervisor(&mut self) {
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
        let exit = self.supervisor.finish();
        let error = match self.supervisor.greeted {
            true => Error::new(ErrorKind::Died, "keep a pool running")
                .in_context(self.context)
                .detail("the supervisor of the pool ended"),
            false => Supervisor::ended_early(self.context),
        };
        self.give_up(error.ended(exit).at(Phase::Unknown).advice("start a new pool"));
        for slot in 0..self.slots.len() {
            if let Some(mut worker) = self.slots[slot].worker.take() {
                worker.kill();
                self.worker_ended(slot, worker, End::UNKNOWN);
            }
        }
    }

    fn hear_report(&mut self, frame: &Frame) {
        if frame.kind == Kind::Hello {
            self.supervisor.greeted = true;
            return;
        }
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
                if let Ok(started) = codec::decode_own::<Started>(&frame.bytes) {
                    worker.pid = started.pid;
                    let limit = self.settings.specification.start_timeout;
                    // It may have been more, for what was to be done before.
                    let usual = after(limit);
                    worker.must_greet_by = worker.must_greet_by.into_iter().chain(usual).min();
                }
            }
            Kind::NotStarted => {
                let why = codec::decode_own::<NotStarted>(&frame.bytes);
                let text = why.map_or_else(|_| "the system refused".into(), |why| why.text);
                if let Some(mut worker) = self.slots[slot].worker.take() {
                    worker.failed = true;
                    self.account.tellings += worker.tellings;
                    let (_, waiting) = worker.what_is_left();
                    self.put_back(waiting);
                    let error = Error::new(ErrorKind::Start, START).detail(text);
                    self.worker_failed(slot, &worker, error);
                    self.record_exit(slot, &worker, None, "it could not be started");
                    self.replace(slot);
                }
            }
            Kind::Exited => {
                let exited = codec::decode_own::<Exited>(&frame.bytes);
                if let Some(worker) = self.slots[slot].worker.take() {
                    let end = exited.map_or(End::UNKNOWN, |exited| End {
                        exit: exited.exit(),
                        expired: exited.expired,
                        out_of_memory: exited.out_of_memory,
                        at: Some(exited.at),
                    });
                    self.worker_ended(slot, worker, end);
                }
            }
            _ => {}
        }
    }

    fn check_deadlines(&mut self) {
        let now = Instant::now();
        let is_late = |worker: &Worker| {
            let waits = !worker.greeted && worker.keeper.is_some();
            waits && worker.must_greet_by.is_some_and(|limit| limit <= now)
        };
        if !self.slots.iter().any(|slot| slot.worker.as_deref().is_some_and(is_late)) {
            return;
        }
        // It may be this process that is late, and has not heard what is there.
        self.hear_supervisor();
        for slot in 0..self.slots.len() {
            let late = self.slots[slot].worker.as_deref().filter(|worker| is_late(worker));
            let Some(child) = late.map(|worker| worker.child) else { continue };
            self.hear_worker(slot, child);
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if !is_late(worker) {
                continue;
            }
            worker.kill();
            worker.failed = true;
            if !self.supervisor.greeted {
                // It never will, and nobody would hear of the end of its children.
                self.supervisor.kill();
            }
            if let Some(worker) = self.slots[slot].worker.take() {
                let error = Error::new(ErrorKind::TimedOut, START).wrote(worker.excerpt());
                self.worker_failed(slot, &worker, error);
                self.slots[slot].worker = Some(worker);
            }
        }
    }
}
