//! Where the outcomes of one `map` wait for whoever asked for them.

use std::any::Any;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crate::error::Error;

/// Names a batch; never names another, also not later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        from: From,
    },
    /// The result came alone.
    Large(Box<Large>),
    Failed(Error),
    /// The user's code panicked in this process, which is for the one who asks for the outcome.
    Panicked(Box<dyn Any + Send>),
}

/// Which worker it was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct From {
    pub(super) worker: usize,
    pub(super) pid: i32,
}

/// A result that is large, or brings descriptors.
#[derive(Debug)]
pub(super) struct Large {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) from: From,
}

/// Outcomes, and the bytes of the small results among them, together.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) bytes: Vec<u8>,
    pub(super) list: VecDeque<Outcome>,
}

/// Tasks of one function that belong together.
#[derive(Debug)]
struct Batch {
    id: u64,
    name: &'static str,
    outcomes: Outcomes,
}

/// All batches of a pool.
#[derive(Debug, Default)]
pub(super) struct Batches {
    places: Vec<Option<Batch>>,
    free: Vec<usize>,
    next: u64,
}

impl Batches {
    /// A new batch, of tasks of this name.
    pub(super) fn open(&mut self, name: &'static str) -> BatchId {
        let id = self.next;
        self.next += 1;
        let batch = Batch { id, name, outcomes: Outcomes::default() };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(batch);
        BatchId { place, id }
    }

    /// Forgets a batch; outcomes that are there or still come are dropped.
    pub(super) fn close(&mut self, batch: BatchId) {
        if self.get(batch).is_some() {
            self.places[batch.place] = None;
            self.free.push(batch.place);
        }
    }

    fn get(&mut self, batch: BatchId) -> Option<&mut Batch> {
        self.places.get_mut(batch.place)?.as_mut().filter(|found| found.id == batch.id)
    }

    /// The name of its tasks.
    pub(super) fn name(&mut self, batch: BatchId) -> &'static str {
        self.get(batch).map_or("?", |batch| batch.name)
    }

    /// Where to put an outcome; `None` if nobody wants it any more.
    #[inline]
    pub(super) fn outcomes(&mut self, batch: BatchId) -> Option<&mut Outcomes> {
        self.get(batch).map(|batch| &mut batch.outcomes)
    }

    /// Gives out what is there, in exchange for memory that is not needed. False if there is nothing.
    pub(super) fn take(&mut self, batch: BatchId, into: &mut Outcomes) -> bool {
        let Some(outcomes) = self.outcomes(batch) else { return false };
        if outcomes.list.is_empty() {
            return false;
        }
        into.bytes.clear();
        into.list.clear();
        std::mem::swap(outcomes, into);
        true
    }
}
