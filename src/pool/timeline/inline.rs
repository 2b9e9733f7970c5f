//! The timeline of a pool without processes: a lane for each thread that works, and for each task inside of another.

use std::thread::{self, ThreadId};

use offspring_platform::clock::now;

use super::Timeline;
use super::lane::{Activity, Interval, Status};
use crate::pool::batch::What;

/// Beyond so many, threads share lanes: threads come and go, and nobody says when.
const MOST: usize = 256;

/// See the head of the file.
#[derive(Debug)]
pub(in crate::pool) struct Threads {
    timeline: Box<Timeline>,
    /// Of each lane, whose it is.
    users: Vec<User>,
}

#[derive(Debug)]
struct User {
    thread: ThreadId,
    /// It works now.
    busy: bool,
    /// How many states were made there.
    states: u32,
    /// Its task: since when, the name, the index.
    task: Option<(u64, &'static str, u64)>,
}

impl Threads {
    pub(in crate::pool) fn new(name: Option<&str>, most: usize) -> Self {
        Self { timeline: Box::new(Timeline::new(name, most)), users: Vec::new() }
    }

    /// The lane of this thread from now on, until it leaves it.
    pub(in crate::pool) fn enter(&mut self) -> usize {
        let thread = thread::current().id();
        let own = |user: &User| !user.busy && user.thread == thread;
        let mut lane = self.users.iter().position(own);
        if lane.is_none() && self.users.len() >= MOST {
            lane = self.users.iter().position(|user| !user.busy);
        }
        let lane = lane.unwrap_or_else(|| {
            self.users.push(User { thread, busy: false, states: 0, task: None });
            self.users.len() - 1
        });
        (self.users[lane].thread, self.users[lane].busy) = (thread, true);
        lane
    }

    pub(in crate::pool) fn leave(&mut self, lane: usize) {
        self.users[lane].busy = false;
    }

    /// A state was made, since then.
    pub(in crate::pool) fn made(&mut self, lane: usize, since: u64, failed: bool) {
        let user = &mut self.users[lane];
        let generation = user.states;
        user.states = generation.saturating_add(1);
        let pid = std::process::id();
        let interval =
            |activity, end| Interval::of_worker(activity, since, end, generation.into(), pid);
        self.timeline.push(lane, interval(Activity::Start, since));
        self.timeline.push(lane, interval(Activity::Init, now()));
        self.timeline.lane(lane).is_alive = true;
        if failed {
            self.ended(lane, now(), "it did not come up");
        }
    }

    pub(in crate::pool) fn begin_task(&mut self, lane: usize, name: &'static str, index: u64) {
        self.users[lane].task = Some((now(), name, index));
    }

    pub(in crate::pool) fn end_task(&mut self, lane: usize, what: &What) {
        if let Some((since, name, index)) = self.users[lane].task.take() {
            let task = Interval::of_task(since, now(), name, index, Status::of(what));
            self.timeline.push(lane, task);
        }
    }

    /// The state of this thread has ended, since then.
    pub(in crate::pool) fn recycled(&mut self, since: u64) {
        let thread = thread::current().id();
        let own = |user: &User| !user.busy && user.thread == thread;
        if let Some(lane) = self.users.iter().position(own) {
            self.ended(lane, since, "it was to be replaced, or the pool ended");
        }
    }

    fn ended(&mut self, lane: usize, since: u64, why: &'static str) {
        let generation = self.users[lane].states.saturating_sub(1).into();
        let pid = std::process::id();
        let mut exit = Interval::of_worker(Activity::Exit, since, now(), generation, pid);
        exit.label = Some(why);
        self.timeline.push(lane, exit);
        self.timeline.lane(lane).is_alive = false;
    }

    /// The timeline so far, with what is under way.
    pub(in crate::pool) fn so_far(&self) -> Box<Timeline> {
        let mut timeline = self.timeline.clone();
        for (lane, user) in self.users.iter().enumerate() {
            if let Some((since, name, index)) = user.task {
                let task = Interval::of_task(since, now(), name, index, Status::Running);
                timeline.push(lane, task);
            }
        }
        timeline.ends_now()
    }
}
