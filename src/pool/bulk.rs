//! Large tasks and results of one worker, as its owner moves them: some pieces now and then, never waiting.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use offspring_platform::clock::now;
use offspring_platform::ring::Corrupt;

use super::task::{Large, task_head};
use super::worker::{Flight, Worker};
use crate::link::lane::{BULK, Note, RESERVE, Status};
use crate::link::{Kind, Moved};

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More of it is to come.
    Part,
    /// All of it is there.
    Whole,
    /// The outcome that was begun with it ends without it: what follows takes its place.
    Cut,
}

impl Worker {
    /// Sends a task in pieces, or over the socket. Gives it back if the ring has no room for its mark.
    pub(super) fn send_large(&mut self, large: Large) -> Result<(), Large> {
        self.forget_void();
        let name = large.function.to_bytes();
        let length = large.size.to_ne_bytes();
        let captured = large.needs.captured.as_ref();
        let head = task_head(Note::TaskInPieces, name.len() + length.len(), captured);
        if self.tasks.known_room() < head.size() + RESERVE {
            return Err(large);
        }
        self.tell(&large.needs);
        if self.bulk_tasks.begin(&large.message) {
            self.tasks.put(&head.to_bytes());
            self.tasks.put(&name);
            self.tasks.put(&length);
        } else {
            let captured = large.needs.captured.as_ref();
            let head = task_head(Note::TaskElsewhere, name.len(), captured);
            self.tasks.put(&head.to_bytes());
            self.tasks.put(&name);
            self.link.queue_shared(Kind::Task, self.last + 1, &[], &large.message);
        }
        self.flights.push_back(Flight::Large(large));
        self.sent(1);
        Ok(())
    }

    /// Whether more of what is left to send could be sent now.
    pub(super) fn has_room_for_more(&mut self) -> bool {
        self.keeper.is_some() && self.bulk_tasks.has_room()
    }

    /// Whether something is left to send.
    pub(super) fn has_output(&self) -> bool {
        self.link.has_output() || self.bulk_tasks.is_busy()
    }

    /// Sends what is left to send, as much as there is room for. False if its channel is broken.
    pub(super) fn send_rest(&mut self) -> bool {
        let sent = !self.link.has_output() || self.link.flush().is_ok();
        sent && self.push_body()
    }

    /// Puts the next pieces of a large task into their ring, no more than that holds: others have their turn.
    /// False if it is broken.
    pub(super) fn push_body(&mut self) -> bool {
        if !self.bulk_tasks.is_busy() {
            return true;
        }
        let mut pushed = 0;
        while pushed < BULK {
            match self.bulk_tasks.push() {
                Ok(Moved::Nothing) => break,
                Ok(Moved::Piece { length, wake }) => {
                    pushed += length;
                    if wake {
                        self.rouse();
                    }
                }
                Err(Corrupt) => {
                    self.bulk_tasks.abandon();
                    return false;
                }
            }
        }
        if self.bulk_tasks.pauses() {
            self.rouse();
        }
        true
    }

    /// If the worker has begun the last task that it was sent, and all of its argument has left, nobody needs
    /// that again: frees it now, while the worker works, and not when everybody waits for the outcome.
    pub(super) fn forget_argument(&mut self) {
        if self.has_output() || self.begun() < self.last || self.forgotten == self.last {
            return;
        }
        if let Some(Flight::Large(large)) = self.flights.back_mut() {
            large.message = Arc::default();
            self.forgotten = self.last;
        }
    }

    /// Wakes the worker, and notes when.
    pub(super) fn rouse(&self) {
        Status::of(&self.words).woken().store(now(), Ordering::Relaxed);
        self.words.wake();
    }

    /// Takes the next pieces of a large result out of their ring, no more than that holds.
    pub(super) fn pull_body(&mut self) -> Result<Progress, Corrupt> {
        // Looked at first: what was put there before the next frame is seen below.
        let has_next_frame = self.outcomes.available()? > 0;
        let mut pulled = 0;
        while pulled < BULK {
            match self.bulk_outcomes.pull()? {
                Moved::Nothing => break,
                Moved::Piece { length, wake } => {
                    pulled += length;
                    if wake {
                        self.words.wake();
                    }
                }
            }
        }
        if self.bulk_outcomes.is_whole() {
            return Ok(Progress::Whole);
        }
        if has_next_frame && !self.bulk_outcomes.has_bytes() {
            self.bulk_outcomes.abandon();
            return Ok(Progress::Cut);
        }
        Ok(Progress::Part)
    }
}
