//! Where the outcomes of one `map` wait for whoever asked for them.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::task::Waker;

use crate::capture::Brought;
use crate::codec::CodecError;
use crate::context::Context;
use crate::error::{Error, TaskError};

/// Names a batch; never names another, also not later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BatchId {
    place: usize,
    id: u64,
}

/// What became of a task.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its place among the inputs.
    pub(super) index: u64,
    pub(super) what: What,
}

/// See [`Outcome`].
#[derive(Debug)]
pub(super) enum What {
    /// The result is so many of the [`Outcomes::bytes`].
    Done {
        start: usize,
        length: usize,
        from: Origin,
    },
    /// The result came alone.
    Large(Box<Large>),
    /// The task brought something back beside its result or failure.
    Brought(Box<(Brought, Self)>),
    Failed(Error),
    /// The user's code panicked in this process, which is for the one who asks for the outcome.
    Panicked(Box<dyn Any + Send>),
}

/// Which worker it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Origin {
    pub(super) worker: usize,
    pub(super) pid: i32,
}

impl Origin {
    /// What a task gets whose result came from there and could not be decoded.
    pub(super) fn undecodable(
        self,
        cause: &CodecError,
        context: Context,
        index: u64,
        name: &str,
    ) -> TaskError {
        let error = Error::undecodable("run a task", cause).in_context(context);
        TaskError::new(error.of_worker(self.worker).of_process(self.pid).of_task(index, name))
    }
}

/// A result that is large, or brings descriptors.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) from: Origin,
}

/// Outcomes, and the bytes of the small results among them, together.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) bytes: Vec<u8>,
    pub(super) list: Vec<Outcome>,
}

/// What kind of tasks belong together.
#[derive(Debug)]
pub(super) enum Kind {
    /// Those of one `map`.
    Map,
    /// Those of a `map` that go to the workers in turns: the one with index i to that in slot i modulo n.
    Turns,
    /// One for each worker, and for no other.
    Pinned,
    /// One that was submitted.
    Single {
        /// Its number among those submitted.
        number: u64,
        /// It has an outcome, or had one that was given out.
        settled: bool,
        /// Nobody will ask for its outcome.
        detached: bool,
        /// To be woken when it has its outcome.
        waker: Option<Waker>,
    },
}

/// Tasks of one function that belong together.
#[derive(Debug)]
struct Batch {
    id: u64,
    name: &'static str,
    kind: Kind,
    /// What has not begun will not.
    cancelled: bool,
    outcomes: Outcomes,
}

/// All batches of a pool.
#[derive(Debug, Default)]
pub(super) struct Batches {
    places: Vec<Option<Batch>>,
    free: Vec<usize>,
    next: u64,
    /// How many single tasks have no outcome yet.
    pub(super) unsettled: usize,
    /// How many of those somebody wants to be woken for.
    pub(super) awaited: usize,
    /// To be woken as soon as the lock is released: what they do is none of our code.
    pub(super) to_wake: Vec<Waker>,
}

impl Batches {
    /// A new batch, of tasks of this name.
    pub(super) fn open(&mut self, name: &'static str, kind: Kind) -> BatchId {
        let id = self.next;
        self.next += 1;
        self.unsettled += usize::from(matches!(kind, Kind::Single { .. }));
        let batch = Batch { id, name, kind, cancelled: false, outcomes: Outcomes::default() };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(batch);
        BatchId { place, id }
    }

    /// Forgets a batch; outcomes that are there or still come are dropped.
    pub(super) fn close(&mut self, batch: BatchId) {
        if let Some(Batch { kind: Kind::Single { waker, settled, .. }, .. }) = self.get(batch) {
            let (awaited, settled) = (waker.is_some(), *settled);
            self.awaited -= usize::from(awaited);
            self.unsettled -= usize::from(!settled);
        }
        if self.get(batch).is_some() {
            self.places[batch.place] = None;
            self.free.push(batch.place);
        }
    }

    #[inline]
    fn get(&mut self, batch: BatchId) -> Option<&mut Batch> {
        self.places.get_mut(batch.place)?.as_mut().filter(|found| found.id == batch.id)
    }

    /// Whether somebody may still want its outcomes.
    pub(super) fn is_open(&mut self, batch: BatchId) -> bool {
        self.get(batch).is_some()
    }

    /// The name of its tasks.
    pub(super) fn name(&mut self, batch: BatchId) -> &'static str {
        self.get(batch).map_or("?", |batch| batch.name)
    }

    /// What errors call the task with this index.
    pub(super) fn number(&mut self, batch: BatchId, index: u64) -> u64 {
        match self.get(batch) {
            Some(Batch { kind: Kind::Single { number, .. }, .. }) => *number,
            _ => index,
        }
    }

    /// From here on, the tasks of this `map` go to the workers in turns.
    pub(super) fn take_turns(&mut self, batch: BatchId) {
        if let Some(batch) = self.get(batch) {
            batch.kind = Kind::Turns;
        }
    }

    /// If it is for one worker only: the slot of that, of so many, which may be one that is not there.
    pub(super) fn slot_of(&mut self, batch: BatchId, index: u64, workers: usize) -> Option<usize> {
        let slot = match self.get(batch)?.kind {
            Kind::Pinned => index,
            Kind::Turns => index % workers as u64,
            Kind::Map | Kind::Single { .. } => return None,
        };
        Some(usize::try_from(slot).unwrap_or(usize::MAX))
    }

    /// From here on, none of its tasks that has not begun will. False if it is gone.
    pub(super) fn cancel(&mut self, batch: BatchId) -> bool {
        self.get(batch).map(|batch| batch.cancelled = true).is_some()
    }

    pub(super) fn is_cancelled(&mut self, batch: BatchId) -> bool {
        self.get(batch).is_some_and(|batch| batch.cancelled)
    }

    /// Adds an outcome, if somebody wants it.
    pub(super) fn settle(&mut self, batch: BatchId, index: u64, what: What) {
        if let Some(found) = self.get(batch) {
            found.outcomes.list.push(Outcome { index, what });
            self.settled(batch);
        }
    }

    /// Adds a small result of so many bytes, which `read` copies, if somebody wants it.
    #[inline]
    pub(super) fn settle_done(
        &mut self,
        batch: BatchId,
        index: u64,
        length: usize,
        from: Origin,
        read: impl FnOnce(&mut [u8]),
    ) {
        let Some(Batch { outcomes: Outcomes { bytes, list }, kind, .. }) = self.get(batch) else {
            return;
        };
        let start = bytes.len();
        bytes.resize(start + length, 0);
        read(&mut bytes[start..]);
        list.push(Outcome { index, what: What::Done { start, length, from } });
        if let Kind::Single { .. } = kind {
            self.settled(batch);
        }
    }

    /// Takes note that there is an outcome, if it is that of a single task.
    fn settled(&mut self, batch: BatchId) {
        let Some(found) = self.get(batch) else { return };
        if let Kind::Single { settled, detached, waker, .. } = &mut found.kind {
            *settled = true;
            let (detached, waker) = (*detached, waker.take());
            self.unsettled -= 1;
            if let Some(waker) = waker {
                self.awaited -= 1;
                self.to_wake.push(waker);
            }
            if detached {
                self.places[batch.place] = None;
                self.free.push(batch.place);
            }
        }
    }

    /// Nobody will ask for the outcome of this single task, which goes on. Returns its waker, which may only
    /// be dropped without the lock.
    pub(super) fn detach(&mut self, batch: BatchId) -> Option<Waker> {
        let Kind::Single { settled, detached, waker, .. } = &mut self.get(batch)?.kind else {
            return None;
        };
        if *settled {
            self.close(batch);
            return None;
        }
        *detached = true;
        let waker = waker.take();
        self.awaited -= usize::from(waker.is_some());
        waker
    }

    /// Wakes `new` when this single task has its outcome, instead of the one that is returned, which may
    /// only be dropped without the lock.
    pub(super) fn wake_when_settled(&mut self, batch: BatchId, new: Waker) -> Option<Waker> {
        let Some(Batch { kind: Kind::Single { waker, .. }, .. }) = self.get(batch) else {
            return Some(new);
        };
        let before = waker.replace(new);
        self.awaited += usize::from(before.is_none());
        before
    }

    /// Whether an outcome of it is there.
    pub(super) fn has_outcome(&mut self, batch: BatchId) -> bool {
        self.get(batch).is_some_and(|batch| !batch.outcomes.list.is_empty())
    }

    /// Gives out what is there, in exchange for memory that is not needed. False if there is nothing.
    pub(super) fn take(&mut self, batch: BatchId, into: &mut Outcomes) -> bool {
        let Some(found) = self.get(batch) else { return false };
        if found.outcomes.list.is_empty() {
            return false;
        }
        into.bytes.clear();
        into.list.clear();
        std::mem::swap(&mut found.outcomes, into);
        true
    }
}
