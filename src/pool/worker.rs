//! One worker as its owner sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offspring_platform::lifeline::Keeper;
use offspring_platform::shared::Words;

use super::task::Task;
use crate::Exit;
use crate::channel::{Kind, Link};
use crate::child::worker::Progress;

/// A task that was sent to a worker and has no outcome yet.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) sequence: u64,
    pub(super) task: Task,
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
    words: Words,
    /// In the order in which they were sent, which is that in which the worker runs them.
    pub(super) flights: VecDeque<Flight>,
    next_sequence: u64,
    pub(super) greeted: bool,
    /// Its state is made.
    pub(super) ready: bool,
    /// It said why it will end; what is left is its end.
    pub(super) failed: bool,
    pub(super) exit: Option<Exit>,
    pub(super) must_greet_by: Instant,
    last_outcome: Instant,
    /// What one task takes, in nanoseconds; 0 while unknown.
    average: u64,
}

/// A worker gets as many tasks at once as it finishes in about this time.
const SPAN: Duration = Duration::from_micros(200);
/// But never more than these, so that little waits behind a task that takes unexpectedly long.
const MOST: usize = 16;
/// A task larger than this is sent when the worker is idle.
const LARGE: usize = 64 << 10;

impl Worker {
    pub(super) fn new(
        child: u64,
        link: Link,
        keeper: Keeper,
        words: Words,
        must_greet_by: Instant,
    ) -> Self {
        Self {
            child,
            pid: 0,
            link,
            keeper: Some(keeper),
            words,
            flights: VecDeque::new(),
            next_sequence: 1,
            greeted: false,
            ready: false,
            failed: false,
            exit: None,
            must_greet_by,
            last_outcome: Instant::now(),
            average: 0,
        }
    }

    /// Whether another task of this size can be sent now.
    pub(super) fn has_room(&self, size: usize) -> bool {
        if !self.ready || self.failed || self.exit.is_some() || self.keeper.is_none() {
            return false;
        }
        match self.flights.len() {
            0 => true,
            _ if size > LARGE || self.average == 0 => false,
            sent => {
                let span = u64::try_from(SPAN.as_nanos()).unwrap_or(u64::MAX);
                let window = usize::try_from(span / self.average).unwrap_or(MOST);
                sent < window.min(MOST)
            }
        }
    }

    /// Queues a task on the channel.
    pub(super) fn send(&mut self, task: Task) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        if self.flights.is_empty() {
            self.last_outcome = Instant::now();
        }
        let name = task.function.to_bytes();
        self.link.queue_shared(Kind::Task, sequence, &name, &task.message);
        self.flights.push_back(Flight { sequence, task });
    }

    /// Takes the task whose outcome has arrived; `None` when the worker has no such task.
    pub(super) fn land(&mut self, sequence: u64) -> Option<Task> {
        if self.flights.front()?.sequence != sequence {
            return None;
        }
        let now = Instant::now();
        let took = u64::try_from((now - self.last_outcome).as_nanos()).unwrap_or(u64::MAX).max(1);
        self.last_outcome = now;
        // Slower at once, faster by and by: a slow task must not have others behind it.
        self.average = if took > self.average { took } else { (7 * self.average + took) / 8 };
        self.flights.pop_front().map(|flight| flight.task)
    }

    /// Of a worker that has ended, and whose outcomes were all read: the tasks that it had begun, and
    /// those that it had not. More than one was begun only if outcomes were lost in a broken channel.
    pub(super) fn what_is_left(&mut self) -> (Vec<Task>, Vec<Task>) {
        let begun = Progress::of(&self.words)
            .map_or(u64::MAX, |progress| progress.begun.load(Ordering::Acquire));
        let mut started = Vec::new();
        let mut waiting = Vec::new();
        for flight in self.flights.drain(..) {
            if flight.sequence <= begun {
                started.push(flight.task);
            } else {
                waiting.push(flight.task);
            }
        }
        (started, waiting)
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
