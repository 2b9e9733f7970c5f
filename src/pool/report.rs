//! What a pool and its workers tell about themselves.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::reason::WorkerEnd;
use super::restored::Restored;
use super::timeline::{self, How, Timeline};
use super::worker::{Traffic, Worker};
use offspring_platform::wait::Exit;

use crate::child::whoami::whoami;
use crate::codec;
use crate::context::Context;
use crate::error::Error;

/// What a worker left at its end.
pub(super) type Value = (usize, Result<(Vec<u8>, Vec<OwnedFd>), Error>);

/// No more of the slowest tasks are kept than this.
const SLOWEST: usize = 10;
/// No more of the workers that have ended are kept than this, and of the exits that were not in order: the last ones.
const ENDED: usize = 1000;

/// What a pool notes as it goes.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) tasks: u64,
    pub(super) replaced: u64,
    pub(super) abnormal: Vec<Exit>,
    pub(super) values: Vec<Value>,
    pub(super) workers: VecDeque<WorkerReport>,
    pub(super) slowest: Vec<SlowTask>,
    /// How often workers that have ended were told what was captured.
    pub(super) tellings: u64,
    /// What tasks and their outcomes had that workers did who have ended.
    pub(super) traffic: Traffic,
    /// What workers did when, if somebody wants to know.
    pub(super) timeline: Option<Box<Timeline>>,
}

impl Account {
    /// Keeps it if it is one of the slowest.
    pub(super) fn slow(&mut self, task: SlowTask) {
        let place = self.slowest.partition_point(|other| other.took >= task.took);
        if place < SLOWEST {
            self.slowest.insert(place, task);
            self.slowest.truncate(SLOWEST);
        }
    }

    pub(super) fn ended(&mut self, worker: WorkerReport) {
        if self.workers.len() == ENDED {
            self.workers.pop_front();
        }
        self.workers.push_back(worker);
    }

    /// Keeps how a worker ended that should not have.
    pub(super) fn ended_abnormally(&mut self, exit: Exit) {
        if self.abnormal.len() == ENDED {
            self.abnormal.remove(0);
        }
        self.abnormal.push(exit);
    }

    /// What can be told without taking it; without the timeline.
    pub(super) fn so_far(&self) -> Self {
        Self {
            tasks: self.tasks,
            replaced: self.replaced,
            abnormal: self.abnormal.clone(),
            values: Vec::new(),
            workers: self.workers.clone(),
            slowest: self.slowest.clone(),
            tellings: self.tellings,
            traffic: self.traffic,
            timeline: None,
        }
    }
}

/// How a pool goes, or went. Returned by [`Pool::report`](crate::Pool::report) and
/// [`Pool::shutdown`](crate::Pool::shutdown).
#[derive(Debug)]
pub struct Report<X = ()> {
    tasks: u64,
    replaced: u64,
    abnormal: Vec<Exit>,
    values: Vec<Result<X, Error>>,
    workers: Vec<WorkerReport>,
    slowest: Vec<SlowTask>,
    context: Context,
    timeline: Option<Box<Timeline>>,
}

/// What one worker did with its time. Part of a [`Report`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Its place in the pool.
    pub index: usize,
    /// How many workers were in this place before.
    pub generation: u64,
    /// Its process.
    pub pid: u32,
    /// How many of its tasks have an outcome.
    pub tasks: u64,
    /// From when it was asked for until it said hello. Zero while it has not.
    pub start: Duration,
    /// From then until its state was made. Zero while it is not.
    pub init: Duration,
    /// What it waited for tasks, or for room for their results.
    pub waiting: Duration,
    /// The rest: what it spent on tasks.
    pub working: Duration,
    /// From when it began to end, in order, until its end was known: its exit function and the drop of its
    /// state are in it. Zero while it has not begun, and for one that died or was killed before.
    pub exit: Duration,
    /// Which globals, shared objects and captures it has: the same on every context that has workers, but for
    /// how they came there. Of shared objects that it inherited by fork only those that the initialiser was
    /// given; no objects that are gone; what was captured as for its last task.
    pub restored: Vec<Restored>,
    /// How and why it ended; `None` while it lives.
    pub end: Option<WorkerEnd>,
}

/// One of the slowest tasks. Part of a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowTask {
    /// The name of the function's type.
    pub name: &'static str,
    /// Its place among the inputs of its `map`, or its number among the tasks that were submitted.
    pub index: u64,
    /// The worker that ran it.
    pub worker: usize,
    /// How long it ran, to a few milliseconds.
    pub took: Duration,
}

impl WorkerReport {
    pub(super) fn of(
        worker: &Worker,
        index: usize,
        generation: u64,
        end: Option<WorkerEnd>,
    ) -> Self {
        let times = worker.times;
        let between = |from: Option<Instant>, to: Option<Instant>| {
            from.zip(to).map_or(Duration::ZERO, |(from, to)| to.saturating_duration_since(from))
        };
        let made = worker.made();
        // What it said before is heard after that, if it is heard late.
        let greeted = times.greeted.map(|greeted| made.map_or(greeted, |made| made.min(greeted)));
        let (waiting, exit) = (worker.waited(), worker.ending());
        let alive = between(made, Some(Instant::now()));
        // A broken worker may have written any number.
        let exit = exit.min(alive);
        Self {
            index,
            generation,
            pid: u32::try_from(worker.pid).unwrap_or(0),
            tasks: worker.done,
            start: between(Some(times.asked), greeted),
            init: between(greeted, made),
            waiting,
            working: alive.saturating_sub(waiting).saturating_sub(exit),
            exit,
            restored: worker.restored(),
            end,
        }
    }
}

impl<X: DeserializeOwned + 'static> Report<X> {
    pub(super) fn of(account: Account, context: Context) -> Self {
        let Account { tasks, replaced, abnormal, values, workers, slowest, timeline, .. } = account;
        let open = |(worker, value): Value| {
            let (bytes, descriptors) = value?;
            codec::decode(bytes.into(), descriptors).map_err(|error| {
                Error::undecodable("read what a worker left at its end", &error)
                    .in_context(context)
                    .of_worker(worker)
            })
        };
        let values = values.into_iter().map(open).collect();
        let workers = workers.into();
        Self { tasks, replaced, abnormal, values, workers, slowest, context, timeline }
    }
}

impl<X> Report<X> {
    /// What the pool's context cannot do, though its builder may have been told to: for Inline, that it survives no
    /// crash, ends no task, and limits neither time nor memory. Empty for all others.
    ///
    /// For those who choose the context by a variable, and wonder in a log why a limit did not hold.
    #[must_use]
    pub fn cannot(&self) -> &'static [&'static str] {
        match self.context {
            Context::Inline => &[
                "survive a crash or an exit of a task",
                "end a task at its deadline, or by `cancel` once it runs",
                "limit memory",
                "have more than one worker for each thread that uses the pool",
                "capture what workers write, or give them an environment or a directory of their own",
            ],
            _ => &[],
        }
    }

    /// How many tasks got an outcome, also one that is a failure.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks
    }

    /// How many workers were replaced.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// How those workers ended that did not end in the ordinary way: the last 1,000 of them.
    #[must_use]
    pub fn abnormal_exits(&self) -> &[Exit] {
        &self.abnormal
    }

    /// What [`PoolBuilder::exit`](crate::PoolBuilder::exit) returned in the workers, in the order in which
    /// they ended: one value for each that ended in the ordinary way, also for those that were replaced.
    /// Empty before [`Pool::shutdown`](crate::Pool::shutdown).
    pub fn exit_values(&self) -> &[Result<X, Error>] {
        &self.values
    }

    /// Like [`Report::exit_values`], to own them.
    #[must_use]
    pub fn into_exit_values(self) -> Vec<Result<X, Error>> {
        self.values
    }

    /// What the workers did with their time: first those that have ended, of which the last 1,000 are
    /// kept, then those that live. Empty on Inline.
    #[must_use]
    pub fn workers(&self) -> &[WorkerReport] {
        &self.workers
    }

    /// The slowest tasks, at most 10, the slowest first; of those that took more than a few milliseconds,
    /// which is as fine as the clock is that is cheap enough to be read for every task. Empty on Inline.
    #[must_use]
    pub fn slowest(&self) -> &[SlowTask] {
        &self.slowest
    }

    /// Writes a picture of what each worker did when, as SVG, for browsers and documents.
    ///
    /// The pool must have been built with [`PoolBuilder::timeline`](crate::PoolBuilder::timeline). There is a lane
    /// for each place of a worker, also for those that replaced others: their start, their initialiser, tasks,
    /// waiting, and their end. Where more happens than can be drawn, the height of a bar is the part of the time
    /// that was worked, and a mark at its top or bottom says that something in it failed or was killed. A browser shows
    /// what a bar stands for when the mouse rests on it. With up to some hundred workers, the file has some hundred
    /// KiB at most.
    ///
    /// A task that returns `Err` is done: that is its value. One that was begun again because its worker died
    /// ([`PoolBuilder::retries`](crate::PoolBuilder::retries)) is there each time. The times are those of the
    /// workers: without the encoding of arguments and the decoding of results in this process, and without the time
    /// that a task waited. On Inline there is a lane for each thread that has used the pool; a task inside of
    /// another one has its own. After 256 lanes, threads share them.
    ///
    /// <div style="overflow-x: auto">
    ///
    #[doc = include_str!("../../docs/timeline.svg")]
    ///
    /// </div>
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): no timeline was kept.
    /// * [`ErrorKind::System`](crate::ErrorKind::System): the file could not be written; what was there before is gone.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use offspring::Context;
    ///
    /// fn main() -> offspring::Result<()> {
    ///     offspring::init();
    ///     let pool = Context::Spawn.pool().workers(2).timeline(4096).build()?;
    ///     for result in pool.map(0..1000u64, |(), n| n * n) {
    ///         result?;
    ///     }
    ///     let report = pool.shutdown()?;
    ///     let directory = std::env::temp_dir();
    ///     report.write_svg(directory.join("offspring-timeline.svg"))?; // for the eye
    ///     report.write_trace(directory.join("offspring-timeline.json"))?; // for ui.perfetto.dev
    ///     # for name in ["offspring-timeline.svg", "offspring-timeline.json"] {
    ///     #     std::fs::remove_file(directory.join(name)).expect("it was written");
    ///     # }
    ///     Ok(())
    /// }
    /// ```
    pub fn write_svg(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        timeline::write(self.timeline.as_deref(), self.context, path.as_ref(), How::Picture)
    }

    /// Writes what each worker did when as trace events in JSON, for Perfetto (ui.perfetto.dev) and what else reads
    /// the format of Chrome.
    ///
    /// As [`Report::write_svg`], but nothing is joined that the timeline has kept apart. The pool is a process
    /// there, and each lane a thread; tasks have their index, and how they ended. Times are in microseconds since
    /// the pool was built. A file has about 200 bytes for each interval.
    ///
    /// # Errors
    ///
    /// As [`Report::write_svg`].
    pub fn write_trace(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        timeline::write(self.timeline.as_deref(), self.context, path.as_ref(), How::Trace)
    }
}

/// What a pool holds at a moment. Returned by [`Pool::stats`](crate::Pool::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many workers there shall be.
    pub workers: usize,
    /// How many of them have made their state.
    pub ready: usize,
    /// Tasks that no worker has.
    pub tasks_waiting: u64,
    /// Tasks that were sent to workers and have no outcome.
    pub tasks_in_flight: u64,
    /// Tasks that have an outcome.
    pub tasks_done: u64,
    /// The size of the arguments that wait.
    pub bytes_waiting: u64,
    /// The size of the arguments of the tasks in flight.
    pub bytes_in_flight: u64,
    /// The size of the arguments of all tasks that a worker came back with, failures and each attempt too, each with up to
    /// 24 bytes that go with it. Divided by [`Stats::tasks_done`], which counts those without such an end as well, it is
    /// about that of one. None on Inline, where nothing is encoded.
    pub argument_bytes: u64,
    /// The size of their outcomes, counted in the same way, with what captures have brought back; with a timeline, 24
    /// bytes more for each.
    pub result_bytes: u64,
    /// What encoding the arguments of maps took in this process, estimated from the first few and every 64th. `submit`, `broadcast`,
    /// whole byte vectors, which are copied and not encoded, and Inline are not in it.
    pub encoding: Duration,
    /// What decoding the results of maps took in this process, estimated and counted in the same way.
    pub decoding: Duration,
    /// How often workers were sent what was captured for their tasks, which is only when it is not what they
    /// were sent before; see [`capture`](fn@crate::capture). None without captures, and on Inline.
    pub captures_sent: u64,
}

/// Which worker runs the current task. See [`worker`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerInfo {
    context: Context,
    index: usize,
    generation: u64,
    tasks_done: u64,
}

impl WorkerInfo {
    /// The context of the pool.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// The place of the worker in its pool, from 0. A replacement has the place of the one it replaces.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many workers were in this place before.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many tasks this worker has finished.
    #[must_use]
    pub fn tasks_done(&self) -> u64 {
        self.tasks_done
    }
}

/// Which worker this is: in a task, an initialiser, or (but on Inline) what a worker does at its end, on the thread that
/// runs it; also in the closures of [`fork::map`](crate::fork::map). `None` elsewhere, also in threads that a
/// task starts, and in a [`Process`](crate::Process).
#[must_use]
pub fn worker() -> Option<WorkerInfo> {
    let who = whoami()?;
    Some(WorkerInfo {
        context: who.context,
        index: usize::try_from(who.index).ok()?,
        generation: who.generation,
        tasks_done: who.tasks_done,
    })
}
