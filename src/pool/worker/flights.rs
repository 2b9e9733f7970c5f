//! The tasks that a worker was sent and that have no outcome yet, in the order in which it gets to them.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Instant;

use super::Worker;
use crate::capture::Set;
use crate::link::lane::{HEAD, Head, Status};
use crate::pool::batch::BatchId;
use crate::pool::task::{Large, Needs, Parcel, Waiting};

/// Tasks that were sent to a worker and have no outcome yet, of inputs that follow each other.
#[derive(Debug)]
pub(in crate::pool) enum Flight {
    /// Through the ring.
    Small { batch: BatchId, index: u64, count: u64, arrival: u64, needs: Needs },
    /// In pieces, or over the socket.
    Large(Large),
    /// Taken back; the worker passes over their frames, so many bytes.
    Void { count: u64, size: u64 },
}

/// How many bytes tasks and their outcomes had, as they were sent.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pool) struct Traffic {
    pub(in crate::pool) arguments: u64,
    pub(in crate::pool) results: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.arguments += other.arguments;
        self.results += other.results;
    }
}

impl Flight {
    pub(in crate::pool) fn count(&self) -> u64 {
        match self {
            Self::Small { count, .. } | Self::Void { count, .. } => *count,
            Self::Large(_) => 1,
        }
    }
}

impl Worker {
    /// The task whose outcome comes next, behind what was taken back: its number, where its frame is in the ring, and
    /// with which others it was sent.
    fn next(&self) -> Option<(u64, u64, &Flight)> {
        let (mut number, mut position) = (self.first, self.front);
        for flight in &self.flights {
            let Flight::Void { count, size } = flight else {
                return Some((number, position, flight));
            };
            number += count;
            position += size;
        }
        None
    }

    /// What was captured for the task whose outcome comes next.
    pub(in crate::pool) fn captured_next(&self) -> Option<Arc<Set>> {
        match self.next()?.2 {
            Flight::Small { needs, .. } => needs.captured.clone(),
            Flight::Large(large) => large.needs.captured.clone(),
            Flight::Void { .. } => None,
        }
    }

    /// The number of the task whose outcome comes next, if it has one.
    pub(in crate::pool) fn number_next(&self) -> Option<u64> {
        self.next().map(|(number, ..)| number)
    }

    /// How many of these it should have at this time. None of those that were with a worker before, if it has later
    /// ones: behind one of these they could wait for ever, when all earlier ones are done.
    #[inline]
    pub(in crate::pool) fn room_for(&self, parcel: &Parcel, now: Instant) -> u64 {
        if parcel.returned && self.has_later(parcel.arrival) {
            return 0;
        }
        self.room(now, parcel.chunk)
    }

    /// Whether it has a task that came later than that at this place.
    fn has_later(&self, arrival: u64) -> bool {
        self.flights.iter().any(|flight| match flight {
            Flight::Small { arrival: first, count, .. } => first + count > arrival,
            Flight::Large(large) => large.arrival > arrival,
            Flight::Void { .. } => false,
        })
    }

    /// Whether it has not begun the first task that it has.
    pub(in crate::pool) fn has_begun_none(&self) -> bool {
        self.number_next().is_some_and(|number| self.begun() < number)
    }

    /// The size of the tasks that it has and of which no outcome was taken.
    pub(in crate::pool) fn bytes_in_flight(&self) -> u64 {
        let large = self.flights.iter().map(|flight| match flight {
            Flight::Large(large) => large.size,
            Flight::Small { .. } | Flight::Void { .. } => 0,
        });
        self.tasks.position() - self.front + large.sum::<u64>()
    }

    /// What its tasks and their outcomes had, of those whose outcome was taken. Nothing is counted for that where they go
    /// through the rings: those know how far they are.
    pub(in crate::pool) fn traffic(&self) -> Traffic {
        let mut all = self.beside;
        all +=
            Traffic { arguments: self.front - self.passed_over, results: self.outcomes.position() };
        all
    }

    /// Takes the task whose outcome has arrived; `None` when the worker has no such task.
    pub(in crate::pool) fn land(&mut self) -> Option<(BatchId, u64)> {
        while let Some(Flight::Void { count, size }) = self.flights.front() {
            // A broken worker may have made the tasks before it longer: never more than there is.
            let size = (*size).min(self.tasks.position().saturating_sub(self.front));
            self.first += count;
            self.front += size;
            self.passed_over += size;
            self.flights.pop_front();
        }
        let landed = match self.flights.front_mut()? {
            Flight::Small { batch, index, count, arrival, .. } => {
                let landed = (*batch, *index);
                *index += 1;
                *arrival += 1;
                *count -= 1;
                if *count == 0 {
                    self.flights.pop_front();
                }
                landed
            }
            Flight::Large(large) => {
                let landed = (large.batch, large.index);
                self.beside.arguments += large.size;
                self.flights.pop_front();
                landed
            }
            Flight::Void { .. } => return None,
        };
        self.front += self.size_at(self.front);
        self.first += 1;
        self.done += 1;
        self.in_flight -= 1;
        Some(landed)
    }

    /// The task whose outcome comes next, as it can be sent once more. To be asked before it lands.
    pub(in crate::pool) fn next_again(&self) -> Option<Waiting> {
        let (_, position, flight) = self.next()?;
        match flight {
            Flight::Small { batch, index, arrival, needs, .. } => {
                let mut frame = vec![0; usize::try_from(self.size_at(position)).unwrap_or(0)];
                self.tasks.read_back(position, &mut frame);
                let mut again = Parcel::of_frames(*batch, *index, 1, needs.clone(), frame);
                again.arrival = *arrival;
                Some(Waiting::Parcel(again))
            }
            Flight::Large(large) => Some(Waiting::Large(large.clone())),
            Flight::Void { .. } => None,
        }
    }

    /// If all that it had was taken back, and it has passed over that: gives back the room, for which no
    /// outcome will come. Whether there was any.
    pub(in crate::pool) fn forget_void(&mut self) -> bool {
        if self.in_flight > 0 || self.flights.is_empty() || !self.tasks.is_drained() {
            return false;
        }
        self.flights.clear();
        self.first = self.last + 1;
        self.passed_over += self.tasks.position() - self.front;
        self.front = self.tasks.position();
        self.tasks.free_to(self.front);
        true
    }

    /// The size of the frame at a place of the ring of tasks.
    pub(in crate::pool) fn size_at(&self, position: u64) -> u64 {
        let mut head = [0; HEAD];
        self.tasks.read_back(position, &mut head);
        let size = Head::from_bytes(head).map_or(HEAD, Head::size) as u64;
        // A broken worker may have written there: never more than there is.
        size.min(self.tasks.position().saturating_sub(position))
    }

    /// After outcomes were taken: gives back their room, and that of their tasks.
    pub(in crate::pool) fn release(&mut self, count: u64) {
        self.tasks.free_to(self.front);
        if self.outcomes.release() {
            self.words.wake();
        }
        self.pace.landed(count);
    }

    /// Whether it has tasks of this batch, as far as is known.
    pub(in crate::pool) fn has_tasks_of(&self, wanted: BatchId) -> bool {
        self.flights.iter().any(|flight| match flight {
            Flight::Small { batch, .. } => *batch == wanted,
            Flight::Large(large) => large.batch == wanted,
            Flight::Void { .. } => false,
        })
    }

    /// The task that it runs, and since when, if it tells.
    pub(in crate::pool) fn current(&self) -> Option<(BatchId, u64, u64)> {
        let (number, since) = Status::of(&self.words).running();
        let (next, _, flight) = self.next()?;
        // What comes later has not been looked at: its outcomes wait in the ring.
        if since == 0 || number != next {
            return None;
        }
        match flight {
            Flight::Small { batch, index, .. } => Some((*batch, *index, since)),
            Flight::Large(large) => Some((large.batch, large.index, since)),
            Flight::Void { .. } => None,
        }
    }

    /// Whether it runs a task of this batch now.
    pub(in crate::pool) fn runs(&self, wanted: BatchId) -> bool {
        let begun = Status::of(&self.words).begun();
        begun >= self.first
            && match self.next().map(|(_, _, flight)| flight) {
                Some(Flight::Small { batch, .. }) => *batch == wanted,
                Some(Flight::Large(large)) => large.batch == wanted,
                _ => false,
            }
    }
}
