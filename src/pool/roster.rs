//! Which workers there are: starting them, retiring them, changing their number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_platform::{descriptors, lifeline, ring};

use super::core::{Core, Slot};
use super::settings::Reuse;
use super::worker::Worker;
use crate::codec::{self, Encoded};
use crate::context::Context;
use crate::error::Error;
use crate::launch::message::{Role, WorkerRole};
use crate::launch::place::Place;
use crate::launch::{self, Specification, execute::Execute, gates};
use crate::link::{Kind, Link, lane};
use crate::logging;
use crate::start::{Wanted, tell_surroundings};
use crate::state::notice::Known;
use crate::supervisor::protocol::Start;
use crate::woken::after;

const DOING: &str = "start a worker";

impl Core {
    /// Asks the supervisor for a worker in this slot. It is told what to be over its own channel, so
    /// nothing is waited for.
    pub(super) fn start_worker(&mut self, slot: usize) -> Result<(), Error> {
        let fail = |error| Error::system(DOING, error);
        let settings = &self.settings;
        let role = Role::Worker(WorkerRole {
            index: slot as u64,
            generation: self.slots[slot].generation,
            initialiser: settings.initialiser.function,
            finaliser: settings.finaliser,
            timed: settings.deadlines.task.is_some() || settings.timeline.is_some(),
            timeline: settings.timeline.is_some(),
            growth_limit: settings.growth_limit,
            one_task: settings.reuse == Reuse::PerTask,
            pinned: settings.pin,
        });
        let name = match &settings.specification.name {
            Some(name) => format!("{name}:w{slot}"),
            None => format!("offspring:w{slot}"),
        };
        let unnamed = Specification { name: None, ..settings.specification.clone() };
        let mut told = launch::prepare(self.context, &unnamed, role, &name)?;
        told.place = Place::of_worker(self.target);
        let mut sent = Encoded::default();
        let specification = &settings.specification;
        let transcript = specification.transcript().map_err(fail)?;
        let wanted = Wanted { specification, transcript: transcript.as_ref() };
        tell_surroundings(&mut told, wanted, &mut sent).map_err(fail)?;
        let logs = logging::attach(&mut told, &mut sent).map_err(fail)?;
        let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
        let (keeper, end) = lifeline::new().map_err(fail)?;
        let (rings, shared_rings) = ring::pair(lane::SIZES).map_err(fail)?;
        let shared_rings = Arc::new(shared_rings);
        let bell = self.ringer.to_send().map_err(fail)?;

        let execute = (self.context == Context::Spawn)
            .then_some(Execute { nonce: told.nonce, environment: None });
        let deadlines = settings.deadlines;
        let mut request =
            codec::encode(&Start { execute, deadlines, captured: transcript.is_some(), room: 0 })
                .map_err(|error| Error::system(DOING, std::io::Error::other(error)))?;
        for descriptor in [theirs, end] {
            request.descriptors.push(Arc::new(descriptor.into_owned().map_err(fail)?));
        }
        if !deadlines.is_empty() {
            request.descriptors.push(shared_rings.clone());
        }
        if let Some(transcript) = &transcript {
            request.descriptors.push(Arc::new(transcript.to_send().map_err(fail)?));
        }
        let child = self.next_child;
        self.next_child += 1;
        if let Some(control) = &mut self.supervisor.link {
            control.queue(Kind::Start, child, request);
            control.flush().map_err(fail)?;
        }

        let mut link = Link::new(ours);
        link.queue(Kind::Launch, 0, launch::encode(&told, sent)?);
        let mut known = Known::default();
        let inherits = self.context == Context::ForkServer && !settings.mentions.is_empty();
        if inherits {
            settings.mentions.iter().for_each(|recipe| known.assume(recipe));
        } else {
            known.tell(&mut link, &settings.mentions)?;
        }
        known.inherit(&settings.inherited);
        let initial = &settings.initialiser.message;
        let mut arguments = initial.descriptors.clone();
        arguments.push(shared_rings);
        arguments.push(Arc::new(bell));
        let bytes = initial.bytes.clone();
        let arguments = Encoded { bytes, descriptors: arguments, ..Encoded::default() };
        // Not before what it inherits is made; from then on it has the usual time.
        let before = if inherits { settings.deadlines.init } else { Some(Duration::ZERO) };
        let usual = settings.specification.start_timeout;
        let must_greet_by = before.and_then(|before| after(before.saturating_add(usual)));
        let mut worker =
            Worker::new(child, link, keeper, rings, must_greet_by, settings.most_tasks());
        worker.known = known;
        worker.logs = logs;
        worker.transcript = transcript;
        worker.tell_captured(settings.captured.as_ref());
        worker.link.queue(Kind::Arguments, 0, arguments);
        worker.link.flush().map_err(fail)?;
        self.slots[slot].worker = Some(Box::new(worker));
        self.record_asked(slot);
        Ok(())
    }

    /// Starts the workers whose pause is over.
    pub(super) fn start_late(&mut self) {
        let now = Instant::now();
        let idle = self.closing || self.broken.is_some();
        for slot in 0..self.slots.len() {
            let due = self.slots[slot].start_at.is_some_and(|at| idle || at <= now);
            if !due {
                continue;
            }
            self.slots[slot].start_at = None;
            self.late_starts -= 1;
            if !idle && slot < self.target {
                self.start_or_try_later(slot);
            }
        }
    }

    /// Puts fresh workers in the place of all. Tasks that have begun are finished by the old ones.
    pub(super) fn recycle(&mut self) {
        for slot in 0..self.slots.len() {
            self.retire(slot);
        }
        self.dispatch();
    }

    /// Puts fresh workers in the place of those that were sent tasks.
    pub(super) fn recycle_used(&mut self) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].worker.as_ref().is_some_and(|worker| worker.last > 0) {
                self.retire(slot);
            }
        }
        self.dispatch();
    }

    /// Tells a worker to end after the task it runs.
    fn retire(&mut self, slot: usize) {
        let Some(worker) = &mut self.slots[slot].worker else { return };
        if !worker.serves() && !worker.may_have_begun() {
            return;
        }
        let returned = worker.take_back();
        // One that is not known to be ready and of which all was taken back has run nothing: it is fresh.
        if worker.serves() || worker.in_flight > 0 {
            worker.close();
        }
        self.put_back(returned);
    }

    /// Changes the number of workers. Those that stay are not touched.
    pub(super) fn resize(&mut self, count: usize) -> Result<(), Error> {
        if self.broken.is_some() || self.closing {
            return Ok(());
        }
        gates::check_budget(self.context, count)?;
        self.target = count;
        if self.slots.len() < count {
            self.slots.resize_with(count, Slot::default);
        }
        for slot in 0..self.slots.len() {
            if slot >= count {
                self.retire(slot);
                // One that is on its way ends when it has come up.
                if let Some(worker) = &mut self.slots[slot].worker {
                    worker.close();
                }
                // What only it could have done will not be; what it had the turn for, another does.
                let pinned = std::mem::take(&mut self.slots[slot].pinned);
                self.put_back(pinned.into());
            } else if self.slots[slot].worker.is_none() && self.slots[slot].start_at.is_none() {
                if let Err(error) = self.start_worker(slot) {
                    // Those that were started stay.
                    self.target = slot;
                    self.dispatch();
                    return Err(error);
                }
            }
        }
        self.dispatch();
        Ok(())
    }

    /// Tells all workers to end when they have done what they have.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.start_late();
        for slot in &mut self.slots {
            if let Some(worker) = &mut slot.worker {
                worker.close();
            }
        }
    }
}
