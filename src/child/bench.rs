//! A worker at work: takes tasks out of one ring, runs them, and puts outcomes into the other.

use std::any::Any;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use offspring_platform::bell::Ringer;
use offspring_platform::clock::{coarse, nanoseconds, now};
use offspring_platform::ring::claim::{Claimed, claim, retire};
use offspring_platform::ring::{Consumer, Ends, Producer, Words};
use offspring_platform::transcript::Transcript;
use offspring_platform::{exit, memory};

use super::whoami::count_task;
use super::worker::{FINALISER, answer};
use crate::capture::{self, Data, Known, Set};
use crate::codec::Encoded;
use crate::function::{self, Failure, Finder, Name, panic};
use crate::launch::message::WorkerRole;
use crate::link::bulk::{Receiver, Sender};
use crate::link::lane::{HEAD, Head, Note, Span, Status};
use crate::link::{Frame, Kind, Link, Spin};
use crate::logging::Levels;
use crate::transcript;

/// How often a worker looks at its own memory, at most.
const LOOK: Duration = Duration::from_millis(10);

/// The status of a worker whose state panicked when it was dropped: that of any program that panics.
const PANICKED: i32 = 101;

/// A worker that sleeps looks around this often, in case its owner was lost without a trace.
pub(super) const NAP: Duration = Duration::from_secs(10);

/// Where a worker works: what comes in, what goes out, and the state.
pub(super) struct Bench<'a> {
    pub(super) role: WorkerRole,
    /// It ends when it has more.
    most_memory: Option<u64>,
    /// When it was asked how much it has.
    looked: u64,
    /// When the last task or the last wait ended, roughly: one look at the clock for each task.
    pub(super) time: u64,
    /// What the last task took.
    pub(super) milliseconds: u32,
    /// When it ran, if the owner wants to know; goes with its outcome.
    pub(super) span: Option<Span>,
    pub(super) link: Link,
    /// How many notices were read from it.
    pub(super) told: u64,
    /// What came over it before notices that were wanted first: for tasks that are still in the ring.
    pub(super) early: VecDeque<Frame>,
    tasks: Consumer,
    pub(super) outcomes: Producer,
    /// Large arguments.
    pub(super) bulk_tasks: Receiver,
    /// Large results.
    pub(super) bulk_outcomes: Sender,
    pub(super) words: Words,
    /// Wakes the owner.
    pub(super) bell: Ringer,
    spin: Spin,
    /// For pieces of something large.
    pub(super) bulk_spin: Spin,
    finder: Finder<'a>,
    /// The argument, out of reach of everybody else.
    pub(super) input: Vec<u8>,
    /// What came with it.
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) output: Encoded,
    /// The number of the last task that was claimed or passed over.
    pub(super) last: u64,
    state: Option<Box<dyn Any>>,
    /// What it was told of what was captured for tasks.
    pub(super) known: Known,
    /// What was captured when the pool was built.
    captured: Option<Arc<Set>>,
    levels: Levels,
    /// Where it writes, if that is captured.
    pub(super) transcript: Option<Arc<Transcript>>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        role: WorkerRole,
        link: Link,
        rings: Ends,
        bell: Ringer,
        finder: Finder<'a>,
        state: Option<Box<dyn Any>>,
        captured: Option<(u32, Arc<Set>)>,
    ) -> Self {
        let mut known = Known::default();
        if let Some((tag, set)) = &captured {
            known.add(*tag, set.clone());
        }
        let Ends { producer, consumer, bulk_producer, bulk_consumer, words } = rings;
        let growth =
            role.growth_limit.and_then(|limit| Some(memory::resident()?.saturating_add(limit)));
        Self {
            role,
            most_memory: growth,
            looked: 0,
            time: coarse(),
            milliseconds: 0,
            span: None,
            link,
            told: 0,
            early: VecDeque::new(),
            tasks: consumer,
            outcomes: producer,
            bulk_tasks: Receiver::new(bulk_consumer),
            bulk_outcomes: Sender::new(bulk_producer),
            words,
            bell,
            spin: Spin::new(),
            bulk_spin: Spin::new(),
            finder,
            input: Vec::new(),
            descriptors: Vec::new(),
            output: Encoded::default(),
            last: 0,
            state,
            known,
            captured: captured.map(|(_, set)| set),
            levels: Levels::new(),
            transcript: transcript::own(),
        }
    }

    /// Runs tasks until it is told to close.
    pub(super) fn work(mut self) -> ! {
        loop {
            let head = self.next_head();
            match head.note {
                Note::Task | Note::TaskElsewhere | Note::TaskInPieces => {
                    match claim(Status::of(&self.words).claim(), self.last, 1) {
                        Claimed::Yes => {
                            self.last += 1;
                            if self.role.one_task {
                                self.run_alone(head);
                                continue;
                            }
                            self.run(head);
                            if self.most_memory.is_some_and(|most| self.has_more_than(most)) {
                                self.leave();
                            }
                        }
                        // A signal that ends it is on its way, so that is how it must end.
                        Claimed::Closed => self.doze(),
                        Claimed::PassOver(0) => exit::now(exit::FELL_OUT),
                        Claimed::PassOver(count) => self.pass_over(count),
                    }
                }
                Note::Close => self.close(),
                _ => exit::now(exit::FELL_OUT),
            }
        }
    }

    /// Waits for the next frame.
    fn next_head(&mut self) -> Head {
        loop {
            match self.tasks.available() {
                Ok(0) => self.wait(),
                Ok(available) if available >= HEAD => {
                    let mut head = [0; HEAD];
                    self.tasks.peek(0, &mut head);
                    match Head::from_bytes(head) {
                        Some(head) if head.size() <= available => {
                            if head.note != Note::Close {
                                self.hear_notices();
                            }
                            return head;
                        }
                        _ => exit::now(exit::FELL_OUT),
                    }
                }
                _ => exit::now(exit::FELL_OUT),
            }
        }
    }

    /// Wakes the owner if it waits for as much as there is; if `idle`, for anything at all.
    #[inline]
    pub(super) fn ring_if_asleep(&self, idle: bool) {
        if self.outcomes.wakes(idle) {
            self.ring();
        }
    }

    #[cold]
    pub(super) fn ring(&self) {
        Status::of(&self.words).rung().store(now(), Ordering::Relaxed);
        if self.bell.ring().is_err() {
            // The program has closed our descriptors. The owner sees the end of this process instead.
            exit::now(exit::FELL_OUT);
        }
    }

    /// There is nothing to do: says so, looks a little longer, sleeps.
    #[cold]
    fn wait(&mut self) {
        Status::of(&self.words).begin_waiting(now());
        self.wait_for_task();
        self.time = coarse();
        Status::of(&self.words).end_waiting(now());
    }

    fn wait_for_task(&mut self) {
        self.ring_if_asleep(true);
        if self.spin.look(|| !matches!(self.tasks.available(), Ok(0))) {
            return;
        }
        let before = self.words.before_sleep();
        match self.tasks.prepare_sleep(1) {
            Ok(true) => {
                let since = now();
                self.words.sleep(before, NAP);
                self.tasks.wake_up();
                let woken = Status::of(&self.words).woken().load(Ordering::Relaxed);
                self.spin.slept(since, woken);
            }
            Ok(false) => {}
            Err(_) => exit::now(exit::FELL_OUT),
        }
    }

    /// Waits for the signal that ends it.
    #[cold]
    fn doze(&mut self) {
        let before = self.words.before_sleep();
        self.words.sleep(before, NAP);
    }

    /// Takes the next frame of the rings, and what belongs to it: the function, the rest in `input` and `descriptors`.
    pub(super) fn take(&mut self, head: Head) -> Option<Name> {
        let mut name = [0; 8];
        let named = head.length >= name.len();
        if named {
            self.tasks.peek(HEAD, &mut name);
            // Only what is written anew is touched: no byte is set twice.
            let length = head.length - name.len();
            if self.input.len() < length {
                self.input.resize(length, 0);
            }
            self.input.truncate(length);
            self.tasks.peek(HEAD + name.len(), &mut self.input);
        }
        self.tasks.take(head.size());
        self.learn(head);
        if head.note == Note::TaskInPieces {
            let length = self.input.as_slice().try_into().map(u64::from_ne_bytes).ok();
            let length = length.and_then(|length| usize::try_from(length).ok());
            let Some(length) = length.filter(|_| named) else { exit::now(exit::FELL_OUT) };
            self.input = self.take_body(length);
        }
        if head.note == Note::TaskElsewhere {
            let frame = self.next_elsewhere(Kind::Task);
            self.input = frame.bytes;
            self.descriptors = frame.descriptors;
        }
        named.then(|| Name::from_bytes(name))
    }

    /// Passes over tasks that were given to somebody else.
    fn pass_over(&mut self, count: u32) {
        for _ in 0..count {
            let head = self.next_head();
            self.take(head);
            if head.note != Note::Task {
                // Nobody keeps what was large.
                self.input = Vec::new();
                self.descriptors = Vec::new();
            }
        }
        self.last += u64::from(count);
        // No outcome will tell the owner that their room is free.
        let _ = self.tasks.release();
    }

    /// Says that it begins the task that it claimed last. From here on, a crash is that task's: its argument
    /// may be more than there is memory for.
    pub(super) fn begin(&self) {
        self.mark();
        Status::of(&self.words).begin(self.last);
    }

    /// Says where in its transcript it is. What was written before belongs to other tasks. A call for each task,
    /// for those who want to know.
    #[inline]
    fn mark(&self) {
        if let Some(transcript) = &self.transcript {
            Status::of(&self.words).set_mark(transcript.end().unwrap_or(0));
        }
    }

    pub(super) fn run(&mut self, head: Head) {
        self.begin();
        let taken = self.take(head);
        self.run_taken(head, taken);
    }

    pub(super) fn run_taken(&mut self, head: Head, taken: Option<Name>) {
        self.output.clear();
        self.levels.follow();
        let mut begin = 0;
        if self.role.timed {
            // Not before: the argument comes when the owner has time to send it. There is no time of the last
            // task that could be taken for this one's.
            begin = now();
            Status::of(&self.words).set_running_since(begin);
        }
        let mut brought = None;
        let outcome = match taken {
            Some(function) => {
                let descriptors = std::mem::take(&mut self.descriptors);
                let input = match head.note {
                    Note::Task => self.input.as_slice().into(),
                    // A large one may become part of the argument.
                    _ => std::mem::take(&mut self.input).into(),
                };
                let (finder, state, output) = (&mut self.finder, &mut self.state, &mut self.output);
                let set = if head.tag == 0 { None } else { self.known.get(head.tag) };
                let (came, pieces) = capture::in_child(set, Data::Collected, || {
                    finder.call(function, state, input, descriptors, output)
                });
                brought = pieces;
                came
            }
            None => {
                self.descriptors.clear();
                Err(Box::new(Failure::Function("the task names no function".into())))
            }
        };
        count_task();
        if self.role.timed {
            Status::of(&self.words).set_running_since(0);
        }
        if self.role.timeline {
            self.span = Some(Span { begin, end: now() });
        }
        self.note_time();
        // Sent at once and not collected: whatever the next task does, this one has its outcome.
        self.answer(outcome, brought);
    }

    /// Takes down how long the task took, which goes with its outcome.
    pub(super) fn note_time(&mut self) {
        let time = coarse();
        let took = (time - self.time) / 1_000_000;
        self.time = time;
        self.milliseconds = u32::try_from(took).unwrap_or(u32::MAX);
    }

    /// Whether this process has more memory; asked not more often than it matters.
    #[cold]
    fn has_more_than(&mut self, most: u64) -> bool {
        let now = now();
        if now < self.looked + nanoseconds(LOOK) {
            return false;
        }
        self.looked = now;
        memory::resident().is_some_and(|has| has > most)
    }

    /// Ends in an orderly way, without being told to.
    pub(super) fn leave(&mut self) -> ! {
        self.output.clear();
        self.publish(Note::Leaving, None);
        self.ring_if_asleep(true);
        self.close()
    }

    fn close(&mut self) -> ! {
        // Killed for its last task, it must not be in the middle of the user's code that ends it.
        while !retire(Status::of(&self.words).claim()) {
            self.doze();
        }
        Status::of(&self.words).closing_since().store(now(), Ordering::Relaxed);
        self.mark();
        // Both are the user's code, which may panic.
        if let Some(function) = self.role.finaliser {
            let (state, set) = (&mut self.state, self.captured.take());
            let (value, _) = capture::in_child(set, Data::Left, || {
                function::call(function, state, [].as_slice().into(), Vec::new())
            });
            // The owner has to read along; if it slept when we were told to close, it does not yet.
            self.ring_if_asleep(true);
            answer(&mut self.link, FINALISER, value, Status::of(&self.words).mark());
        }
        let state = self.state.take();
        if panic::caught(|| catch_unwind(AssertUnwindSafe(|| drop(state)))).is_err() {
            super::end_with(PANICKED);
        }
        super::end();
    }
}
