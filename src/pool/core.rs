//! A pool of processes: its state, under one lock, and who drives it.
//!
//! No thread works for the pool. A thread that waits for results drives: it polls, with the lock
//! released, and then takes note of what happened, with the lock held. Others that wait meanwhile
//! sleep until the driver has news. Whoever adds work sends it itself; if a channel is full, the
//! driver is woken, so that it also waits for room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::{self, Interest};
use offspring_platform::{descriptors, socket};

use super::report::Report;
use super::task::{Outcome, Task};
use super::worker::Worker;
use crate::Context;
use crate::codec::Encoded;
use crate::error::Error;
use crate::function::Name;
use crate::launch::Specification;
use crate::supervisor::{self, Supervisor};

/// How each worker makes its state.
#[derive(Debug, Default, Clone)]
pub(super) struct Initialiser {
    pub(super) function: Option<Name>,
    pub(super) message: Arc<Encoded>,
}

/// One place for a worker.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) worker: Option<Worker>,
    /// How many workers were here before.
    pub(super) generation: u64,
}

/// The state of a pool.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: Context,
    pub(super) specification: Specification,
    pub(super) supervisor: Supervisor,
    pub(super) slots: Vec<Slot>,
    pub(super) initialiser: Initialiser,
    /// Tasks that no worker has.
    pub(super) waiting: VecDeque<Task>,
    /// Outcomes that nobody has taken, by batch.
    pub(super) outcomes: HashMap<u64, VecDeque<(u64, Outcome)>>,
    pub(super) next_batch: u64,
    pub(super) next_child: u64,
    /// Workers that failed to come up since the last that did.
    pub(super) failures: u32,
    /// Why the pool is of no use any more.
    pub(super) broken: Option<Error>,
    pub(super) closing: bool,
    pub(super) report: Report,
    /// A thread polls for this pool.
    driven: bool,
}

/// A pool, as threads share it.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    news: Condvar,
    /// Wakes the driver out of its poll.
    alarm: PrivateFd,
    alarmed: PrivateFd,
}

impl Shared {
    /// Starts a supervisor and its workers.
    pub(super) fn start(
        context: Context,
        workers: usize,
        initialiser: Initialiser,
    ) -> Result<Self, Error> {
        let specification = Specification::default();
        let supervisor = Supervisor::start(context, &specification, supervisor::NAME)?;
        let (alarm, alarmed) =
            descriptors::socket_pair().map_err(|error| Error::system("start a pool", error))?;
        let mut core = Core {
            context,
            specification,
            supervisor,
            slots: Vec::new(),
            initialiser,
            waiting: VecDeque::new(),
            outcomes: HashMap::new(),
            next_batch: 0,
            next_child: 1,
            failures: 0,
            broken: None,
            closing: false,
            report: Report::default(),
            driven: false,
        };
        core.slots.resize_with(workers, Slot::default);
        for index in 0..workers {
            core.start_worker(index)?;
        }
        Ok(Self { core: Mutex::new(core), news: Condvar::new(), alarm, alarmed })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // No user code runs under the lock, and every change under it is complete in itself.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tasks, and sends as many as workers have room for.
    pub(super) fn add(&self, tasks: impl IntoIterator<Item = Task>) {
        let mut core = self.lock();
        core.waiting.extend(tasks);
        core.dispatch();
        if core.driven && core.slots.iter().any(Slot::has_output) {
            self.wake_driver();
        }
        if core.broken.is_some() {
            self.news.notify_all();
        }
    }

    fn wake_driver(&self) {
        // A full buffer means that it is awake already.
        if let Ok(alarm) = self.alarm.borrow() {
            let _ = socket::send(alarm, &[0], &[]);
        }
    }

    /// Waits until something has happened that may concern the caller.
    pub(super) fn wait<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        if !core.supervisor.is_ours() {
            core.disown();
            return core;
        }
        if core.driven {
            return self.news.wait(core).unwrap_or_else(PoisonError::into_inner);
        }
        core.driven = true;
        let watched = core.watched();
        let timeout = core.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        drop(core);
        let ready = self.poll(&watched, timeout);
        let mut core = self.lock();
        core.driven = false;
        core.hear(&ready);
        core.dispatch();
        self.news.notify_all();
        core
    }

    /// Which of the watched are ready.
    fn poll(&self, watched: &[Watched], timeout: Option<Duration>) -> Vec<Source> {
        let mut interests = Vec::with_capacity(watched.len() + 1);
        let mut sources = Vec::with_capacity(watched.len());
        for one in watched {
            if let Ok(fd) = one.socket.borrow() {
                interests.push(Interest::readable_and_writable(fd, one.write));
                sources.push(one.source);
            }
        }
        if let Ok(alarmed) = self.alarmed.borrow() {
            interests.push(Interest::readable(alarmed));
        }
        if poll::wait(&mut interests, timeout).is_err() {
            // Out of memory: look at everything, a little later.
            std::thread::sleep(Duration::from_millis(1));
            return sources;
        }
        if interests.last().is_some_and(Interest::can_read) {
            if let Ok(alarmed) = self.alarmed.borrow() {
                // Any error will be met again by the next poll.
                let _ = socket::receive(alarmed, &mut [0; 256], &mut Vec::new());
            }
        }
        sources
            .into_iter()
            .zip(&interests)
            .filter(|(_, interest)| interest.can_read() || interest.can_write())
            .map(|(source, _)| source)
            .collect()
    }

    /// Lets workers finish, ends them and the supervisor.
    pub(super) fn shutdown(self) -> Result<Report, Error> {
        let mut core = self.lock();
        core.close();
        while core.broken.is_none() && core.slots.iter().any(|slot| slot.worker.is_some()) {
            core = self.wait(core);
        }
        core.slots.clear();
        core.supervisor.finish();
        match core.broken.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut core.report)),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Their lifelines go first, so that no worker begins anything while the supervisor ends.
        core.slots.clear();
        core.supervisor.finish();
    }
}

/// Something the driver waits for.
pub(super) struct Watched {
    pub(super) source: Source,
    pub(super) socket: Arc<PrivateFd>,
    pub(super) write: bool,
}

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Supervisor,
    /// The worker with this child number, in this slot.
    Worker {
        slot: usize,
        child: u64,
    },
}

impl Slot {
    fn has_output(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.link.has_output())
    }
}

impl Core {
    pub(super) fn context(&self) -> Context {
        self.context
    }

    pub(super) fn worker_count(&self) -> usize {
        self.slots.len()
    }

    /// A new batch: the place where the outcomes of one `map` are kept.
    pub(super) fn open_batch(&mut self) -> u64 {
        let batch = self.next_batch;
        self.next_batch += 1;
        self.outcomes.insert(batch, VecDeque::new());
        batch
    }

    /// Forgets a batch: its tasks that have not begun will not, and its outcomes are dropped.
    pub(super) fn close_batch(&mut self, batch: u64) {
        self.outcomes.remove(&batch);
        self.waiting.retain(|task| task.batch != batch);
    }

    /// Keeps an outcome until it is taken, if its batch still exists.
    pub(super) fn settle(&mut self, task: &Task, outcome: Outcome) {
        self.report.tasks += 1;
        if let Some(outcomes) = self.outcomes.get_mut(&task.batch) {
            outcomes.push_back((task.index, outcome));
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let mut watched = Vec::with_capacity(self.slots.len() + 1);
        if let Some(link) = &self.supervisor.link {
            let (socket, write) = (link.socket(), link.has_output());
            watched.push(Watched { source: Source::Supervisor, socket, write });
        }
        for (slot, place) in self.slots.iter().enumerate() {
            if let Some(worker) = &place.worker {
                if worker.link.is_open() {
                    let (socket, write) = worker.socket();
                    let source = Source::Worker { slot, child: worker.child };
                    watched.push(Watched { source, socket, write });
                }
            }
        }
        watched
    }

    fn next_deadline(&self) -> Option<Instant> {
        let workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        workers
            .filter(|worker| !worker.greeted && worker.keeper.is_some())
            .map(|worker| worker.must_greet_by)
            .min()
    }
}
