//! What a task gets: its result out of the ring, or why there is none.

use std::time::Duration;

use super::batch::{BatchId, Large, Origin, What};
use super::core::Core;
use super::hear::TASK;
use super::report::SlowTask;
use super::task::Waiting;
use super::worker::Worker;
use crate::capture::Brought;
use crate::codec;
use crate::error::{Error, ErrorKind, Phase};
use crate::function::Failed;
use crate::link::lane::{HEAD, Head, Note};

impl Core {
    /// Copies a result out of the ring to where it is wanted.
    #[inline]
    pub(super) fn settle_small(
        &mut self,
        worker: &Worker,
        batch: BatchId,
        index: u64,
        length: usize,
        from: Origin,
    ) {
        self.account.tasks += 1;
        self.forget_tries(batch, index);
        let read = |bytes: &mut [u8]| worker.outcomes.peek(HEAD, bytes);
        self.batches.settle_done(batch, index, length, from, read);
    }

    /// Takes an outcome out of the ring that brings something back. False if it is not what a worker writes.
    #[cold]
    pub(super) fn settle_brought(&mut self, slot: usize, worker: &mut Worker, head: Head) -> bool {
        // Asked first: a task that has landed must get an outcome.
        let Some(set) = worker.captured_next() else { return false };
        let Some((batch, index)) = worker.land() else { return false };
        let mut bytes = vec![0; head.length];
        worker.outcomes.peek(HEAD, &mut bytes);
        let length = bytes.first_chunk().map(|length| u64::from_ne_bytes(*length));
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(usize::MAX);
        if length > bytes.len() - bytes.len().min(size_of::<u64>()) {
            return self.settle_failed(slot, worker, batch, index, &[], None);
        }
        let outcome = bytes.split_off(size_of::<u64>() + length);
        let brought = Brought::new(set, bytes.split_off(size_of::<u64>()));
        if head.tag > 0 {
            self.note_slow(batch, index, slot, head.tag);
        }
        let from = Origin { worker: slot, pid: worker.pid };
        let (what, whole) = if head.note == Note::Failed {
            self.failure(batch, index, &outcome, from)
        } else {
            let large = Large { bytes: outcome, descriptors: Vec::new(), from };
            (What::Large(Box::new(large)), true)
        };
        self.record_task(slot, worker, batch, index, Some(&what));
        self.settle(batch, index, What::Brought(Box::new((brought, what))));
        whole
    }

    /// A large result has come in pieces. False if the worker has no task that it could be of.
    pub(super) fn settle_large(&mut self, slot: usize, worker: &mut Worker, from: Origin) -> bool {
        let Some(bytes) = worker.bulk_outcomes.finish() else { return false };
        let Some((batch, index)) = worker.land() else { return false };
        worker.beside.results += bytes.len() as u64;
        if worker.took > 0 {
            self.note_slow(batch, index, slot, worker.took);
        }
        let large = Large { bytes, descriptors: Vec::new(), from };
        self.record_task(slot, worker, batch, index, None);
        self.settle(batch, index, What::Large(Box::new(large)));
        true
    }

    /// Whether the failure could be read. If that is the death of the copy of a worker that ran it, it is begun again,
    /// as one whose worker died.
    pub(super) fn settle_failed(
        &mut self,
        slot: usize,
        worker: &mut Worker,
        batch: BatchId,
        index: u64,
        bytes: &[u8],
        again: Option<Waiting>,
    ) -> bool {
        let from = Origin { worker: slot, pid: worker.pid };
        let (what, whole) = self.failure(batch, index, bytes, from);
        self.record_task(slot, worker, batch, index, Some(&what));
        match (&what, again) {
            (What::Failed(error), Some(again))
                if error.kind() == ErrorKind::Died && self.may_begin_again(batch, index) =>
            {
                // It has landed without an outcome.
                worker.done -= 1;
                self.put_back(vec![again]);
            }
            _ => self.settle(batch, index, what),
        }
        whole
    }

    /// A failure as it was sent, and whether it could be read.
    pub(super) fn failure(
        &mut self,
        batch: BatchId,
        index: u64,
        bytes: &[u8],
        from: Origin,
    ) -> (What, bool) {
        let (error, whole) = match codec::decode_own::<Failed>(bytes) {
            Ok(failure) => (failure.into_error(TASK), true),
            Err(_) => (Error::new(ErrorKind::Protocol, TASK).at(Phase::Unknown), false),
        };
        (What::Failed(self.located(batch, index, error, from)), whole)
    }

    #[cold]
    pub(super) fn note_slow(
        &mut self,
        batch: BatchId,
        index: u64,
        worker: usize,
        milliseconds: u32,
    ) {
        let name = self.batches.name(batch);
        let index = self.batches.number(batch, index);
        let took = Duration::from_millis(milliseconds.into());
        self.account.slow(SlowTask { name, index, worker, took });
    }

    pub(super) fn fail(&mut self, batch: BatchId, index: u64, error: Error, from: Origin) {
        let error = self.located(batch, index, error, from);
        self.settle(batch, index, What::Failed(error));
    }

    /// With the worker and the task that it concerns.
    fn located(&mut self, batch: BatchId, index: u64, error: Error, from: Origin) -> Error {
        error
            .in_context(self.context)
            .of_process(from.pid)
            .of_worker(from.worker)
            .of_task(self.batches.number(batch, index), self.batches.name(batch))
    }
}
