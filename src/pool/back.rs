//! What comes back from a worker: tasks that were sent ahead, and those of one that has ended.

use offspring_platform::ring::claim::take_back;

use super::batch::BatchId;
use super::task::{Parcel, Waiting};
use super::worker::{Flight, Worker};
use crate::link::lane::Status;

impl Worker {
    /// Takes back the tasks that it has not begun and will not begin any more.
    pub(super) fn take_back(&mut self) -> Vec<Waiting> {
        if self.in_flight == 0 {
            return Vec::new();
        }
        self.publish();
        let kept = take_back(Status::of(&self.words).claim(), self.first - 1, self.last);
        // Only a broken worker gives up what it has begun.
        let kept = kept.max(self.forgotten);
        self.split_after(kept)
    }

    /// Of a worker that has ended, and whose outcomes were all read: the tasks that it had begun, and
    /// those that it had not. More than one was begun only if outcomes were lost in a broken channel.
    pub(super) fn what_is_left(&mut self) -> (Vec<Waiting>, Vec<Waiting>) {
        let begun = self.begun();
        let waiting = self.split_after(begun);
        (self.split_after(self.first - 1), waiting)
    }

    /// The number of the task that it began last.
    pub(super) fn begun(&self) -> u64 {
        let begun = Status::of(&self.words).begun().clamp(self.first - 1, self.last);
        begun.max(self.forgotten)
    }

    /// All tasks in flight, without a look at what the worker says.
    pub(super) fn lose(&mut self) -> Vec<(BatchId, u64)> {
        self.in_flight = 0;
        let mut tasks = Vec::new();
        for flight in self.flights.drain(..) {
            match flight {
                Flight::Small { batch, index, count, .. } => {
                    tasks.extend((index..index + count).map(|index| (batch, index)));
                }
                Flight::Large(large) => tasks.push((large.batch, large.index)),
                Flight::Void { .. } => {}
            }
        }
        tasks
    }

    /// Makes void what comes after the task of this number, and returns it.
    fn split_after(&mut self, kept: u64) -> Vec<Waiting> {
        if kept >= self.last {
            return Vec::new();
        }
        let mut returned = Vec::new();
        let mut number = self.first;
        let mut position = self.front;
        let mut void_from = None;
        for flight in std::mem::take(&mut self.flights) {
            let count = flight.count();
            let stays = (kept + 1).saturating_sub(number).min(count);
            let start = position;
            let mut cut = position;
            if let Flight::Void { size, .. } = flight {
                position += size;
                cut = if stays == count { position } else { start };
            } else {
                for nth in 0..count {
                    if nth == stays {
                        cut = position;
                    }
                    position += self.size_at(position);
                }
                if stays == count {
                    cut = position;
                }
            }
            number += count;
            if stays < count {
                void_from.get_or_insert(cut);
            }
            match flight {
                Flight::Small { batch, index, needs, .. } => {
                    if stays > 0 {
                        let (count, needs) = (stays, needs.clone());
                        self.flights.push_back(Flight::Small { batch, index, count, needs });
                    }
                    if stays < count {
                        let mut frames = vec![0; usize::try_from(position - cut).unwrap_or(0)];
                        self.tasks.read_back(cut, &mut frames);
                        let (index, count) = (index + stays, count - stays);
                        self.in_flight -= count;
                        let parcel = Parcel::of_frames(batch, index, count, needs, frames);
                        returned.push(Waiting::Parcel(parcel));
                    }
                }
                Flight::Large(large) if stays == 0 => {
                    self.in_flight -= 1;
                    returned.push(Waiting::Large(large));
                }
                // A void part that the worker has not passed over becomes part of the new one.
                Flight::Void { .. } if stays == 0 => {}
                whole => self.flights.push_back(whole),
            }
        }
        if let Some(from) = void_from {
            let (count, size) = (self.last - kept, position - from);
            self.flights.push_back(Flight::Void { count, size });
        }
        returned
    }
}
