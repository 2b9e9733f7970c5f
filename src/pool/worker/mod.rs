//! One worker as its owner sees it.

mod flights;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::clock::now;
use offspring_platform::lifeline::Keeper;
use offspring_platform::ring::{Consumer, Corrupt, Ends, Producer, Words};
use offspring_platform::transcript::Transcript;
use offspring_platform::wait::Exit;

use super::batch::BatchId;
use super::pace::{Pace, SLOW};
use super::task::{Needs, Parcel};
use crate::capture::{Set, Told};
use crate::link::bulk::{Receiver, Sender};
use crate::link::lane::{Head, Note, RESERVE, Span, Status};
use crate::link::{Kind, Link};
use crate::logging::Attached;
use crate::state::Mentions;
use crate::state::notice::Known;
use crate::transcript::Excerpt;

pub(super) use flights::{Flight, Traffic};

/// When a worker got how far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) asked: Instant,
    pub(super) greeted: Option<Instant>,
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
    /// Its supervisor was asked to kill it.
    pub(super) kill_asked: bool,
    pub(super) outcomes: Consumer,
    pub(super) tasks: Producer,
    /// Large results.
    pub(super) bulk_outcomes: Receiver,
    /// Large arguments.
    pub(super) bulk_tasks: Sender,
    pub(super) words: Words,
    /// In the order in which they were sent, which is that in which the worker runs them.
    pub(super) flights: VecDeque<Flight>,
    /// How many tasks of those it has to do; not those that are void.
    pub(super) in_flight: u64,
    /// The number of the first task in flight.
    pub(super) first: u64,
    /// The number of the last task that was sent.
    pub(super) last: u64,
    /// Where the frame of the first task in flight is in the ring.
    pub(super) front: u64,
    /// The number of the last task whose argument is not kept any more.
    pub(super) forgotten: u64,
    /// The next outcome comes over the socket.
    pub(super) elsewhere: bool,
    /// What the task of that outcome took, in milliseconds.
    pub(super) took: u32,
    /// When the task ran whose outcome comes next, if a timeline is kept.
    pub(super) span: Option<Span>,
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
    /// `None`: whenever it likes.
    pub(super) must_greet_by: Option<Instant>,
    pub(super) times: Times,
    /// How many tasks of it have an outcome.
    pub(super) done: u64,
    /// How many more tasks it may be sent.
    quota: Option<u64>,
    pub(super) pace: Pace,
    /// Frames were put into the ring and not published.
    staged: bool,
    /// What it was told besides tasks, and in how many notices.
    pub(super) known: Known,
    notices: u64,
    /// What it knows of what was captured for tasks.
    told: Told,
    /// Names and sizes of what was captured, as it was told last.
    pub(super) captured: Vec<(Arc<str>, usize)>,
    /// So often it was told.
    pub(super) tellings: u64,
    /// What of its arguments and results did not only go through the rings for frames.
    pub(super) beside: Traffic,
    /// How many bytes of what lies before `front` were taken back.
    pub(super) passed_over: u64,
    /// Why nothing can be received from it any more, if the system refused that.
    pub(super) broken: Option<io::Error>,
    /// What the task of the outcome that comes over the socket brought back.
    pub(super) brought: Option<Vec<u8>>,
    /// Its records; when this goes, no more will come.
    pub(super) logs: Attached,
    /// What it writes, if that is captured.
    pub(super) transcript: Option<Transcript>,
}

impl Worker {
    pub(super) fn new(
        child: u64,
        link: Link,
        keeper: Keeper,
        rings: Ends,
        must_greet_by: Option<Instant>,
        quota: Option<u64>,
    ) -> Self {
        let Ends { producer, consumer, bulk_producer, bulk_consumer, words } = rings;
        Self {
            child,
            pid: 0,
            link,
            keeper: Some(keeper),
            kill_asked: false,
            outcomes: consumer,
            tasks: producer,
            bulk_outcomes: Receiver::new(bulk_consumer),
            bulk_tasks: Sender::new(bulk_producer),
            words,
            flights: VecDeque::new(),
            in_flight: 0,
            first: 1,
            last: 0,
            front: 0,
            forgotten: 0,
            elsewhere: false,
            took: 0,
            span: None,
            greeted: false,
            ready: false,
            failed: false,
            closing: false,
            killed_for: None,
            exit: None,
            must_greet_by,
            times: Times { asked: Instant::now(), greeted: None },
            done: 0,
            quota,
            pace: Pace::new(),
            staged: false,
            known: Known::default(),
            notices: 0,
            told: Told::default(),
            captured: Vec::new(),
            tellings: 0,
            beside: Traffic::default(),
            passed_over: 0,
            broken: None,
            brought: None,
            logs: Attached::default(),
            transcript: None,
        }
    }

    /// What it wrote since its start.
    pub(super) fn excerpt(&self) -> Option<Excerpt> {
        Excerpt::of(self.transcript.as_ref()?, 0)
    }

    /// What it wrote since it began the last task.
    pub(super) fn excerpt_of_task(&self) -> Option<Excerpt> {
        Excerpt::of(self.transcript.as_ref()?, Status::of(&self.words).mark())
    }

    /// Whether it takes tasks at all.
    pub(super) fn serves(&self) -> bool {
        self.ready && !self.failed && !self.closing && self.exit.is_none() && self.keeper.is_some()
    }

    /// Whether it takes tasks and has none. One from which all was taken back has first to pass over that:
    /// until then it may as well be stopped.
    pub(super) fn is_idle(&self) -> bool {
        self.serves() && self.in_flight == 0 && !self.has_to_pass_over()
    }

    fn has_to_pass_over(&self) -> bool {
        self.in_flight == 0 && !self.flights.is_empty() && !self.tasks.is_drained()
    }

    /// How many more tasks it should have at this time: one chunk beside the one it works on, or as many as fit its pace.
    pub(super) fn room(&self, now: Instant, chunk: u64) -> u64 {
        if !self.serves() || self.is_slow(now) || self.has_to_pass_over() {
            return 0;
        }
        let room = match chunk {
            0 => self.pace.window().saturating_sub(self.in_flight),
            chunk if self.in_flight <= chunk => chunk,
            _ => 0,
        };
        self.quota.map_or(room, |quota| room.min(quota))
    }

    /// How many tasks it may be sent while it comes up and nobody else is there: one chunk. It begins at once when it is
    /// ready, and its owner need not hear of that before.
    pub(super) fn room_ahead(&self, chunk: u64) -> u64 {
        let comes_up = !self.ready && !self.failed && !self.closing && self.keeper.is_some();
        if !comes_up || !self.flights.is_empty() {
            return 0;
        }
        // Not all that it may have, if that can be: it would end when it has come up, should that be taken back.
        let most = |quota: u64| if quota > 1 { quota - 1 } else { quota };
        self.quota.map_or(chunk.max(1), |quota| chunk.max(1).min(most(quota)))
    }

    /// Whether it has tasks that it was sent ahead, see [`Worker::room_ahead`], and is not ready yet.
    pub(super) fn is_awaited(&self) -> bool {
        !self.ready && self.in_flight > 0
    }

    /// Whether that has waited for it for long.
    pub(super) fn keeps_waiting(&self, now: Instant) -> bool {
        self.is_awaited() && self.is_slow(now)
    }

    /// Whether it may have run something although it is not known to be ready.
    pub(super) fn may_have_begun(&self) -> bool {
        let comes_up = !self.ready && !self.failed && !self.closing && self.keeper.is_some();
        comes_up && self.last > 0
    }

    /// Whether it has been at one task for so long that no other should wait behind it.
    fn is_slow(&self, now: Instant) -> bool {
        self.in_flight > 0 && now.saturating_duration_since(self.pace.since) >= SLOW
    }

    /// Whether it has been sent tasks long ago and has begun none: it is stopped, or gets no time.
    pub(super) fn sleeps_on(&self, now: Instant) -> bool {
        self.is_slow(now) && self.has_begun_none()
    }

    /// Whether tasks wait behind one that takes long.
    pub(super) fn is_held_up(&self, now: Instant) -> bool {
        self.ready && self.in_flight > 1 && self.is_slow(now)
    }

    /// Puts as many tasks of the parcel into the ring as fit, `most` at most. Returns how many.
    pub(super) fn send(&mut self, parcel: &mut Parcel, most: u64) -> u64 {
        self.forget_void();
        let room = self.tasks.known_room().saturating_sub(RESERVE);
        let most = self.quota.map_or(most, |quota| most.min(quota));
        let (count, frames) = parcel.peek(most, room);
        if count == 0 {
            return 0;
        }
        self.tasks.put(frames);
        let size = frames.len();
        self.tell(&parcel.needs);
        let (batch, index, arrival) = (parcel.batch, parcel.index, parcel.arrival);
        parcel.sent(count, size);
        match self.flights.back_mut() {
            Some(Flight::Small {
                batch: other,
                index: first,
                count: before,
                arrival: came,
                needs,
            }) if *other == batch
                && *first + *before == index
                && *came + *before == arrival
                && needs.is_same(&parcel.needs) =>
            {
                *before += count;
            }
            _ => {
                let needs = parcel.needs.clone();
                self.flights.push_back(Flight::Small { batch, index, count, arrival, needs });
            }
        }
        self.sent(count);
        count
    }

    /// Tells it what it has to know for the next tasks, before those are published.
    pub(super) fn tell(&mut self, needs: &Needs) {
        self.tell_mentions(&needs.mentions);
        self.tell_captured(needs.captured.as_ref());
    }

    /// Tells it what was captured, unless it knows. It reads that when it takes the first task out of the ring
    /// that needs it.
    pub(super) fn tell_captured(&mut self, captured: Option<&Arc<Set>>) {
        let Some(set) = captured else { return };
        if self.told.is_new(set) {
            // The values may mention shared objects.
            self.tell_mentions(set.mentions());
            self.tellings += 1;
            self.captured.clear();
            self.captured.extend(set.sizes());
            self.link.queue_shared(Kind::Captured, set.tag().into(), &[], set.message());
        }
    }

    fn tell_mentions(&mut self, mentions: &Mentions) {
        match self.known.tell(&mut self.link, mentions) {
            Ok(0) => {}
            Ok(count) => {
                self.notices += count;
                Status::of(&self.words).notices().store(self.notices, Ordering::Release);
            }
            // It cannot run them, and its end says so.
            Err(_) => self.kill(),
        }
    }

    pub(super) fn sent(&mut self, count: u64) {
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
                self.rouse();
            }
        }
    }

    /// How long it has waited for something to do.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_nanos(Status::of(&self.words).waited(now()))
    }

    /// When its state was made, as it says itself, for whoever hears of that may hear late; `None` if it is not.
    pub(super) fn made(&self) -> Option<Instant> {
        let (_, made) = Status::of(&self.words).came_up();
        // In this order: if time passes between the two looks at the clock, it was earlier, and never later.
        let here = Instant::now();
        let ago = Duration::from_nanos(now().saturating_sub(made));
        // A broken worker may have written any number.
        let made = (made != 0).then(|| here.checked_sub(ago).unwrap_or(here));
        made.map(|made| made.max(self.times.asked))
    }

    /// How long ago it began to end; zero if it has not.
    pub(super) fn ending(&self) -> Duration {
        match Status::of(&self.words).closing_since().load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_nanos(now().saturating_sub(since)),
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
        self.tasks.put(&Head::new(Note::Close, 0).to_bytes());
        self.staged = true;
        self.publish();
    }

    /// Whether there are outcomes in the ring.
    pub(super) fn has_news(&mut self) -> bool {
        // One that was killed may have written anything: nothing in its ring is news before its end is.
        self.keeper.is_some()
            && self.ready
            && !self.elsewhere
            && (!matches!(self.outcomes.available(), Ok(0))
                || (self.bulk_outcomes.is_busy() && self.bulk_outcomes.has_bytes()))
    }

    /// Says that the owner will sleep until the worker has done a good part of what it has. False if there
    /// is news already.
    pub(super) fn announce_sleep(&mut self) -> Result<bool, Corrupt> {
        if self.keeper.is_none() {
            // It was killed. Its end is what there is to wait for, and its supervisor tells.
            return Ok(true);
        }
        if !self.bulk_tasks.prepare_sleep()? {
            return Ok(false);
        }
        if !self.ready || self.elsewhere {
            return Ok(true);
        }
        if !self.bulk_outcomes.prepare_sleep()? {
            return Ok(false);
        }
        let sleep = self.outcomes.prepare_sleep(self.pace.amount(self.in_flight))?;
        // Tasks may wait for the room. If it passes over them later than this, it rings when it is done.
        Ok(sleep && !self.forget_void())
    }

    /// Whether the owner is woken later than by the next outcome.
    pub(super) fn is_patient(&self) -> bool {
        self.ready && self.pace.amount(self.in_flight) > 1
    }

    pub(super) fn announce_awake(&self) {
        self.outcomes.wake_up();
        self.bulk_outcomes.wake_up();
    }

    /// Whether it has something to do or to say over the socket; at its end, what it leaves.
    pub(super) fn uses_socket(&self) -> bool {
        let speaks = !self.ready || self.elsewhere || self.closing;
        self.link.is_open() && (speaks || self.link.has_output())
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
