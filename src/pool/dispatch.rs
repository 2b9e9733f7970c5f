//! Starting workers and handing them tasks.

use std::sync::Arc;
use std::time::Instant;

use offspring_platform::shared::Words;
use offspring_platform::{descriptors, lifeline};

use super::core::Core;
use super::task::Outcome;
use super::worker::Worker;
use crate::Context;
use crate::channel::{Kind, Link};
use crate::child::worker::Progress;
use crate::codec::{self, Encoded};
use crate::error::Error;
use crate::launch::message::{Role, Standard};
use crate::launch::{self, execute::Execute};
use crate::supervisor::protocol::Start;

const DOING: &str = "start a worker";

impl Core {
    /// Asks the supervisor for a worker in this slot. It is told what to be over its own channel, so
    /// nothing is waited for.
    pub(super) fn start_worker(&mut self, slot: usize) -> Result<(), Error> {
        let fail = |error| Error::system(DOING, error);
        let role = Role::Worker {
            index: slot as u64,
            generation: self.slots[slot].generation,
            function: self.initialiser.function,
        };
        let name = format!("offspring:w{slot}");
        let mut told = launch::prepare(self.context, &self.specification, role, &name)?;
        told.standard = [Standard::Null, Standard::Keep, Standard::Keep];
        let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
        let (keeper, end) = lifeline::new().map_err(fail)?;
        let (words, shared_words) = Words::new(Progress::WORDS).map_err(fail)?;

        let execute = (self.context == Context::Spawn)
            .then_some(Execute { nonce: told.nonce, environment: None });
        let mut request = codec::encode(&Start { execute })
            .map_err(|error| Error::system(DOING, std::io::Error::other(error)))?;
        for descriptor in [theirs, end] {
            request.descriptors.push(Arc::new(descriptor.into_owned().map_err(fail)?));
        }
        let child = self.next_child;
        self.next_child += 1;
        if let Some(control) = &mut self.supervisor.link {
            control.queue(Kind::Start, child, request);
            control.flush().map_err(fail)?;
        }

        let mut link = Link::new(ours);
        link.queue(Kind::Launch, 0, launch::encode(&told, Encoded::default())?);
        let mut arguments = self.initialiser.message.descriptors.clone();
        arguments.push(Arc::new(shared_words));
        let bytes = self.initialiser.message.bytes.clone();
        link.queue(Kind::Arguments, 0, Encoded { bytes, descriptors: arguments });
        link.flush().map_err(fail)?;

        let must_greet_by = Instant::now() + self.specification.start_timeout;
        self.slots[slot].worker = Some(Worker::new(child, link, keeper, words, must_greet_by));
        Ok(())
    }

    /// Hands waiting tasks to workers that have room, first one to each, then a second, and so on.
    pub(super) fn dispatch(&mut self) {
        if !self.supervisor.is_ours() {
            self.disown();
        }
        if self.broken.is_some() {
            self.fail_waiting();
            return;
        }
        let mut touched = false;
        loop {
            // The least loaded go first, so that a burst spreads over all.
            let mut handed_out = false;
            let least = self
                .slots
                .iter()
                .filter_map(|slot| slot.worker.as_ref())
                .filter(|worker| worker.has_room(0))
                .map(|worker| worker.flights.len())
                .min();
            let Some(least) = least else { break };
            for slot in &mut self.slots {
                let Some(worker) = &mut slot.worker else { continue };
                let Some(task) = self.waiting.front() else { break };
                if worker.flights.len() > least || !worker.has_room(task.message.bytes.len()) {
                    continue;
                }
                if let Some(task) = self.waiting.pop_front() {
                    worker.send(task);
                    handed_out = true;
                    touched = true;
                }
            }
            if !handed_out {
                break;
            }
        }
        if touched {
            for slot in &mut self.slots {
                if let Some(worker) = &mut slot.worker {
                    if worker.link.has_output() && worker.link.flush().is_err() {
                        // What is wrong will show when the supervisor reports its end.
                        worker.kill();
                    }
                }
            }
        }
    }

    /// The pool gave up: whatever waits fails with its error.
    pub(super) fn fail_waiting(&mut self) {
        for task in std::mem::take(&mut self.waiting) {
            let error = match &self.broken {
                Some(error) => error.again().of_task(task.index, task.name),
                None => return,
            };
            self.settle(&task, Outcome::Failed(error));
        }
    }

    /// Tells all workers to end when they have done what they have.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.waiting.clear();
        for slot in &mut self.slots {
            if let Some(worker) = &mut slot.worker {
                worker.link.queue(Kind::Close, 0, Encoded::default());
                if worker.link.flush().is_err() {
                    worker.kill();
                }
            }
        }
    }
}
