//! One worker as its owner sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::clock::now;
use offspring_platform::lifeline::Keeper;
use offspring_platform::ring::claim::take_back;
use offspring_platform::ring::{Consumer, Corrupt, Ends, Producer, Words};

use super::batch::BatchId;
use super::task::{Large, Parcel, Waiting};
use crate::Exit;
use crate::channel::lane::{HEAD, Head, Note, RESERVE, Status};
use crate::channel::{Kind, Link};

/// Tasks that were sent to a worker and have no outcome yet, of inputs that follow each other.
#[derive(Debug)]
enum Flight {
    /// Through the ring.
    Small { batch: BatchId, index: u64, count: u64 },
    /// Over the socket.
    Large(Large),
    /// Taken back; the worker passes over their frames, so many bytes.
    Void { count: u64, size: u64 },
}

impl Flight {
    fn count(&self) -> u64 {
        match self {
            Self::Small { count, .. } | Self::Void { count, .. } => *count,
            Self::Large(_) => 1,
        }
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Worker {
    /// Its number in what is said to and by the supervisor.
    pub(super) child: u64,
    pub(super) pid: i32,
    pub(super) link: Link,
    /// While this is held, the worker lives.
    pub(super) keeper: Option<Keeper>,
    pub(super) outcomes: Consumer,
    tasks: Producer,
    words: Words,
    /// In the order in which they were sent, which is that in which the worker runs them.
    flights: VecDeque<Flight>,
    /// How many tasks of those it has to do; not those that are void.
    pub(super) in_flight: u64,
    /// The number of the first task in flight.
    first: u64,
    /// The number of the last task that was sent.
    last: u64,
    /// Where the frame of the first task in flight is in the ring.
    front: u64,
    /// The next outcome comes over the socket.
    pub(super) elsewhere: bool,
    pub(super) greeted: bool,
    /// Its state is made.
    pub(super) ready: bool,
    /// It said why it will end; what is left is its end.
    pub(super) failed: bool,
    /// It was told to end.
    pub(super) closing: bool,
    /// It was killed because of this task.
    pub(super) killed_for: Option<BatchId>,
    pub(super) exit: Option<Exit>,
    pub(super) must_greet_by: Instant,
    /// How many more tasks it may be sent.
    quota: Option<u64>,
    pub(super) pace: Pace,
    /// Frames were put into the ring and not published.
    staged: bool,
}

impl Worker {
    pub(super) fn new(
        child: u64,
        link: Link,
        keeper: Keeper,
        rings: Ends,
        must_greet_by: Instant,
        quota: Option<u64>,
    ) -> Self {
        let Ends { producer, consumer, words } = rings;
        Self {
            child,
            pid: 0,
            link,
            keeper: Some(keeper),
            outcomes: consumer,
            tasks: producer,
            words,
            flights: VecDeque::new(),
            in_flight: 0,
            first: 1,
            last: 0,
            front: 0,
            elsewhere: false,
            greeted: false,
            ready: false,
            failed: false,
            closing: false,
            killed_for: None,
            exit: None,
            must_greet_by,
            quota,
            pace: Pace::new(),
            staged: false,
        }
    }

    /// Whether it takes tasks at all.
    pub(super) fn serves(&self) -> bool {
        self.ready && !self.failed && !self.closing && self.exit.is_none() && self.keeper.is_some()
    }

    /// How many more tasks it should have at this time.
    pub(super) fn room(&self, now: Instant) -> u64 {
        if !self.serves() || self.is_slow(now) {
            return 0;
        }
        let room = self.pace.window().saturating_sub(self.in_flight);
        self.quota.map_or(room, |quota| room.min(quota))
    }

    /// Whether it has been at one task for so long that no other should wait behind it.
    fn is_slow(&self, now: Instant) -> bool {
        self.in_flight > 0 && now.saturating_duration_since(self.pace.since) >= SLOW
    }

    /// Whether tasks wait behind one that takes long.
    pub(super) fn is_held_up(&self, now: Instant) -> bool {
        self.in_flight > 1 && self.is_slow(now)
    }

    /// Puts as many tasks of the parcel into the ring as fit, `most` at most. Returns how many.
    pub(super) fn send(&mut self, parcel: &mut Parcel, most: u64) -> u64 {
        let room = self.tasks.known_room().saturating_sub(RESERVE);
        let most = self.quota.map_or(most, |quota| most.min(quota));
        let (count, frames) = parcel.peek(most, room);
        if count == 0 {
            return 0;
        }
        self.tasks.put(frames);
        let size = frames.len();
        let (batch, index) = (parcel.batch, parcel.index);
        parcel.sent(count, size);
        match self.flights.back_mut() {
            Some(Flight::Small { batch: other, index: first, count: before })
                if *other == batch && *first + *before == index =>
            {
                *before += count;
            }
            _ => self.flights.push_back(Flight::Small { batch, index, count }),
        }
        self.sent(count);
        count
    }

    /// Sends a task over the socket. False if the ring has no room for its mark.
    pub(super) fn send_large(&mut self, large: Large) -> Result<(), Large> {
        let name = large.function.to_bytes();
        let head = Head { note: Note::TaskElsewhere, length: name.len() };
        if self.tasks.known_room() < head.size() + RESERVE {
            return Err(large);
        }
        self.tasks.put(&head.to_bytes());
        self.tasks.put(&name);
        self.link.queue_shared(Kind::Task, self.last + 1, &[], &large.message);
        self.flights.push_back(Flight::Large(large));
        self.sent(1);
        Ok(())
    }

    fn sent(&mut self, count: u64) {
        if self.in_flight == 0 {
            self.pace.start();
        }
        self.in_flight += count;
        self.last += count;
        self.staged = true;
        if let Some(quota) = &mut self.quota {
            *quota -= count;
            if *quota == 0 {
                self.close();
            }
        }
    }

    /// Publishes what was put into the ring, and wakes the worker.
    pub(super) fn publish(&mut self) {
        if std::mem::take(&mut self.staged) {
            self.tasks.publish();
            if self.tasks.wakes(true) {
                Status::of(&self.words).woken().store(now(), Ordering::Relaxed);
                self.words.wake();
            }
        }
    }

    /// When it rang the bell last.
    pub(super) fn rung(&self) -> u64 {
        Status::of(&self.words).rung().load(Ordering::Relaxed)
    }

    /// Tells it to end when it has done what it has.
    pub(super) fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        // There is room for it: `RESERVE`.
        self.tasks.put(&Head { note: Note::Close, length: 0 }.to_bytes());
        self.staged = true;
        self.publish();
    }

    /// Takes the task whose outcome has arrived; `None` when the worker has no such task.
    pub(super) fn land(&mut self) -> Option<(BatchId, u64)> {
        while let Some(Flight::Void { count, size }) = self.flights.front() {
            self.first += count;
            self.front += size;
            self.flights.pop_front();
        }
        let landed = match self.flights.front_mut()? {
            Flight::Small { batch, index, count } => {
                let landed = (*batch, *index);
                *index += 1;
                *count -= 1;
                if *count == 0 {
                    self.flights.pop_front();
                }
                landed
            }
            Flight::Large(large) => {
                let landed = (large.batch, large.index);
                self.flights.pop_front();
                landed
            }
            Flight::Void { .. } => return None,
        };
        self.front += self.size_at(self.front);
        self.first += 1;
        self.in_flight -= 1;
        Some(landed)
    }

    /// The size of the frame at a place of the ring of tasks.
    fn size_at(&self, position: u64) -> u64 {
        let mut head = [0; HEAD];
        self.tasks.read_back(position, &mut head);
        // Nobody but us can write there.
        Head::from_bytes(head).map_or(HEAD, Head::size) as u64
    }

    /// After outcomes were taken: gives back their room, and that of their tasks.
    pub(super) fn release(&mut self, count: u64) {
        self.tasks.free_to(self.front);
        if self.outcomes.release() {
            self.words.wake();
        }
        self.pace.landed(count);
    }

    /// Takes back the tasks that it has not begun and will not begin any more.
    pub(super) fn take_back(&mut self) -> Vec<Waiting> {
        if self.in_flight < 2 {
            return Vec::new();
        }
        self.publish();
        let kept = take_back(Status::of(&self.words).claim(), self.first - 1, self.last);
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
        Status::of(&self.words).begun().clamp(self.first - 1, self.last)
    }

    /// All tasks in flight, without a look at what the worker says.
    pub(super) fn lose(&mut self) -> Vec<(BatchId, u64)> {
        self.in_flight = 0;
        let mut tasks = Vec::new();
        for flight in self.flights.drain(..) {
            match flight {
                Flight::Small { batch, index, count } => {
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
                Flight::Small { batch, index, .. } => {
                    if stays > 0 {
                        self.flights.push_back(Flight::Small { batch, index, count: stays });
                    }
                    if stays < count {
                        let mut frames = vec![0; usize::try_from(position - cut).unwrap_or(0)];
                        self.tasks.read_back(cut, &mut frames);
                        let (index, count) = (index + stays, count - stays);
                        self.in_flight -= count;
                        returned
                            .push(Waiting::Parcel(Parcel::of_frames(batch, index, count, frames)));
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

    /// Whether it has tasks of this batch, as far as is known.
    pub(super) fn has_tasks_of(&self, wanted: BatchId) -> bool {
        self.flights.iter().any(|flight| match flight {
            Flight::Small { batch, .. } => *batch == wanted,
            Flight::Large(large) => large.batch == wanted,
            Flight::Void { .. } => false,
        })
    }

    /// Whether it runs a task of this batch now.
    pub(super) fn runs(&self, wanted: BatchId) -> bool {
        let begun = Status::of(&self.words).begun();
        let first = self.flights.iter().find(|flight| !matches!(flight, Flight::Void { .. }));
        begun >= self.first
            && match first {
                Some(Flight::Small { batch, .. }) => *batch == wanted,
                Some(Flight::Large(large)) => large.batch == wanted,
                _ => false,
            }
    }

    /// Whether there are outcomes in the ring.
    pub(super) fn has_news(&mut self) -> bool {
        self.ready && !self.elsewhere && !matches!(self.outcomes.available(), Ok(0))
    }

    /// Says that the owner will sleep until the worker has done a good part of what it has. False if there
    /// is news already.
    pub(super) fn announce_sleep(&mut self) -> Result<bool, Corrupt> {
        if !self.ready || self.elsewhere {
            return Ok(true);
        }
        self.outcomes.prepare_sleep(self.pace.amount(self.in_flight))
    }

    /// Whether the owner is woken later than by the next outcome.
    pub(super) fn is_patient(&self) -> bool {
        self.pace.amount(self.in_flight) > 1
    }

    pub(super) fn announce_awake(&self) {
        self.outcomes.wake_up();
    }

    /// Whether it has something to do or to say over the socket.
    pub(super) fn uses_socket(&self) -> bool {
        self.link.is_open() && (!self.ready || self.elsewhere || self.link.has_output())
    }

    /// Ends it at once. Its supervisor will report that it has ended.
    pub(super) fn kill(&mut self) {
        self.keeper = None;
    }

    /// Its socket, to wait for.
    pub(super) fn socket(&self) -> (Arc<offspring_platform::fd::PrivateFd>, bool) {
        (self.link.socket(), self.link.has_output())
    }
}

/// How fast a worker is.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    /// What one task takes, in nanoseconds; 0 while unknown.
    average: u64,
}

/// A worker has as many tasks as it finishes in about this time.
const SPAN: Duration = Duration::from_micros(200);
/// And one more than the one it runs, so that it need not wait for the next.
const LEAST: u64 = 2;
const MOST: u64 = 4096;
/// Nothing waits behind a task that takes longer than this.
pub(super) const SLOW: Duration = Duration::from_millis(5);
/// What an outcome takes in the ring, at least.
const SMALLEST: u64 = 16;

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), average: 0 }
    }

    /// Its first task was sent.
    fn start(&mut self) {
        self.since = Instant::now();
    }

    /// So many were finished since the last time.
    fn landed(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let now = Instant::now();
        let took = u64::try_from((now - self.since).as_nanos()).unwrap_or(u64::MAX);
        self.since = now;
        let each = (took / count).max(1);
        // Slower at once, faster by and by. What was sent ahead in vain is taken back.
        self.average = match self.average {
            0 => each,
            average if each > average => each,
            average => (average + each) / 2,
        };
    }

    fn window(&self) -> u64 {
        match self.average {
            // Nothing waits behind a task of which nothing is known.
            0 => 1,
            average if average >= nanoseconds(SLOW) => 1,
            average => (nanoseconds(SPAN) / average).clamp(LEAST, MOST),
        }
    }

    /// How many bytes of outcomes to wait for, when so many tasks are in flight.
    fn amount(&self, in_flight: u64) -> usize {
        // Not worth it where the tasks in flight take longer than a few wake-ups.
        if self.average == 0 || self.average > nanoseconds(SPAN) / 16 || in_flight < 16 {
            return 1;
        }
        usize::try_from(in_flight / 2 * SMALLEST).unwrap_or(1)
    }

    /// How long the tasks in flight will take, as far as can be told.
    pub(super) fn left(&self, in_flight: u64) -> Duration {
        let expected = Duration::from_nanos(self.average.saturating_mul(in_flight));
        expected.max(self.since.elapsed())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
