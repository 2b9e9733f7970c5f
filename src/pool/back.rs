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

    /// This number, or that of the last task before those that were taken back, if it is one of these. Only a broken
    /// worker says that it has begun a part of what was taken back. That part is void as a whole, or tasks behind
    /// it would be looked for where they are not.
    fn outside_void(&self, kept: u64) -> u64 {
        let mut number = self.first;
        for flight in &self.flights {
            let next = number + flight.count();
            let is_void = matches!(flight, Flight::Void { .. });
            if is_void && (number..next - 1).contains(&kept) {
                return number - 1;
            }
            number = next;
        }
        kept
    }

    /// Makes void what comes after the task of this number, and returns it.
    fn split_after(&mut self, kept: u64) -> Vec<Waiting> {
        if kept >= self.last {
            return Vec::new();
        }
        let kept = self.outside_void(kept);
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
                // All of it stays, or none.
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
                Flight::Small { batch, index, arrival, needs, .. } => {
                    if stays > 0 {
                        let (count, needs) = (stays, needs.clone());
                        self.flights.push_back(Flight::Small {
                            batch,
                            index,
                            count,
                            arrival,
                            needs,
                        });
                    }
                    if stays < count {
                        let mut frames = vec![0; usize::try_from(position - cut).unwrap_or(0)];
                        self.tasks.read_back(cut, &mut frames);
                        let (index, count) = (index + stays, count - stays);
                        self.in_flight -= count;
                        let mut parcel = Parcel::of_frames(batch, index, count, needs, frames);
                        parcel.arrival = arrival + stays;
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

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::sync::atomic::Ordering;

    use offspring_platform::{descriptors, lifeline, ring};

    use super::*;
    use crate::function::Name;
    use crate::link::{Link, lane};
    use crate::pool::batch::{Batches, Kind};
    use crate::pool::task::Needs;

    struct Scene {
        worker: Worker,
        batch: BatchId,
        _others: Vec<Box<dyn std::any::Any>>,
    }

    impl Scene {
        /// A worker that has been sent nothing.
        fn new() -> Result<Self, Box<dyn Error>> {
            let (ours, theirs) = descriptors::socket_pair()?;
            let (keeper, end) = lifeline::new()?;
            let (rings, shared) = ring::pair(lane::SIZES)?;
            let link = Link::new(ours);
            let mut worker = Worker::new(1, link, keeper, rings, None, None);
            (worker.greeted, worker.ready) = (true, true);
            let batch = Batches::default().open("a test", Kind::Map);
            Ok(Self {
                worker,
                batch,
                _others: vec![Box::new(theirs), Box::new(end), Box::new(shared)],
            })
        }

        /// Tasks of all sizes.
        fn send(&mut self, indexes: std::ops::Range<u64>) {
            for index in indexes {
                let size = usize::try_from(index * 37 % 300).unwrap_or(0);
                let message = vec![0xAB; size];
                let name = Name::from_bytes([7; 8]);
                let mut parcel =
                    Parcel::of_one(self.batch, index, name, &message, Needs::default());
                assert_eq!(self.worker.send(&mut parcel, 1), 1, "there is room");
            }
            self.worker.publish();
        }

        /// What the worker says: the last task that it has claimed and begun.
        fn say(&self, number: u64) {
            let status = Status::of(&self.worker.words);
            status.claim().store(number, Ordering::Relaxed);
            status.begin(number);
        }
    }

    /// The indexes of tasks that can be sent again.
    fn indexes(returned: &[Waiting]) -> Vec<u64> {
        let mut indexes = Vec::new();
        for waiting in returned {
            assert!(waiting.is_whole(), "{waiting:?}");
            indexes.extend(waiting.index()..waiting.index() + waiting.count());
        }
        indexes
    }

    #[test]
    fn a_worker_that_claims_a_part_of_what_was_taken_back_loses_nothing()
    -> Result<(), Box<dyn Error>> {
        for lie in 0..16 {
            let mut scene = Scene::new()?;
            scene.send(0..10);
            scene.say(2);
            assert_eq!(indexes(&scene.worker.take_back()), (2..10).collect::<Vec<_>>());
            scene.send(20..25);
            scene.say(lie);
            let mut all = indexes(&scene.worker.take_back());
            scene.send(30..33);
            scene.say(15 - lie);
            let (started, waiting) = scene.worker.what_is_left();
            all.extend(indexes(&started));
            all.extend(indexes(&waiting));
            all.sort_unstable();
            let expected: Vec<u64> = (0..2).chain(20..25).chain(30..33).collect();
            assert_eq!(all, expected, "it said {lie}");
            assert_eq!(scene.worker.in_flight, 0, "it said {lie}");
        }
        Ok(())
    }

    #[test]
    fn what_a_worker_has_overwritten_is_not_whole() -> Result<(), Box<dyn Error>> {
        for (place, bytes) in [(0, [0xFF; 8]), (0, [0; 8]), (0, (1u64 << 56).to_ne_bytes())] {
            let mut scene = Scene::new()?;
            scene.send(0..10);
            let mut frames = vec![0; usize::try_from(scene.worker.tasks.position())?];
            scene.worker.tasks.read_back(0, &mut frames);
            frames[place..place + 8].copy_from_slice(&bytes);
            let parcel = Parcel::of_frames(scene.batch, 0, 10, Needs::default(), frames);
            assert!(!Waiting::Parcel(parcel).is_whole(), "{bytes:?}");
        }
        Ok(())
    }
}
