//! A pool of processes: its state, under one lock, and who drives it.
//!
//! No thread works for the pool. A thread that waits for results drives: it looks into the rings for a
//! moment, then polls, with the lock released, and then takes note of what happened, with the lock held.
//! Others that wait meanwhile sleep until the driver has news. Whoever adds work sends it itself; if a
//! socket did not take all, the driver is woken, so that it also waits for room.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offspring_platform::bell::{self, Listener, Ringer};
use offspring_platform::clock::now;
use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::{self, Interest};

use super::batch::{BatchId, Batches, Outcomes};
use super::report::Report;
use super::task::Waiting;
use super::worker::{SLOW, Worker};
use crate::Context;
use crate::channel::Spin;
use crate::codec::Encoded;
use crate::error::Error;
use crate::function::{Inherited, Name};
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
    pub(super) worker: Option<Box<Worker>>,
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
    pub(super) waiting: VecDeque<Waiting>,
    /// How many those are.
    pub(super) waiting_count: u64,
    pub(super) batches: Batches,
    pub(super) next_child: u64,
    /// Workers that failed to come up since the last that did.
    pub(super) failures: u32,
    /// Why the pool is of no use any more.
    pub(super) broken: Option<Error>,
    pub(super) closing: bool,
    pub(super) report: Report,
    /// With this, workers wake the driver.
    pub(super) ringer: Ringer,
    /// When tasks were handed out last.
    pub(super) now: Instant,
    spin: Spin,
    /// A thread drives.
    driven: bool,
    /// So many threads wait for the driver.
    followers: usize,
}

/// A pool, as threads share it.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core>,
    news: Condvar,
    /// Wakes the driver out of its poll.
    listener: Listener,
}

/// When a worker sleeps longer than expected, and others have nothing to do, its tasks are looked after
/// again after this time.
const SOON: Duration = Duration::from_millis(1);

impl Shared {
    /// Starts a supervisor and its workers, which run what they inherit if they are forked.
    pub(super) fn start(
        context: Context,
        workers: usize,
        initialiser: Initialiser,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Self, Error> {
        let specification = Specification::default();
        let supervisor = Supervisor::start(context, &specification, supervisor::NAME, inherited)?;
        let (listener, ringer) =
            bell::new().map_err(|error| Error::system("start a pool", error))?;
        let mut core = Core {
            context,
            specification,
            supervisor,
            slots: Vec::new(),
            initialiser,
            waiting: VecDeque::new(),
            waiting_count: 0,
            batches: Batches::default(),
            next_child: 1,
            failures: 0,
            broken: None,
            closing: false,
            report: Report::default(),
            ringer,
            now: Instant::now(),
            spin: Spin::new(),
            driven: false,
            followers: 0,
        };
        core.slots.resize_with(workers, Slot::default);
        for index in 0..workers {
            core.start_worker(index)?;
        }
        Ok(Self { core: Mutex::new(core), news: Condvar::new(), listener })
    }

    /// The state. In a forked child, which has a copy of its parent's pool, that of a lost pool.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        // No user code runs under the lock, and every change under it is complete in itself.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if !core.supervisor.is_ours() {
            core.disown();
        }
        core
    }

    /// Adds tasks, sends what can be sent, and takes outcomes of `batch`; if there are none and `wait`,
    /// waits for some, or, if `hungry`, until workers could take more tasks. Returns how many they could.
    pub(super) fn exchange(
        &self,
        batch: BatchId,
        tasks: impl IntoIterator<Item = Waiting>,
        outcomes: &mut Outcomes,
        wait: bool,
        hungry: bool,
    ) -> u64 {
        let mut core = self.lock();
        let before = core.waiting_count;
        for waiting in tasks {
            core.add(waiting);
        }
        let added = core.waiting_count > before;
        loop {
            if !core.driven {
                core.look();
            } else if added {
                core.dispatch();
                if core.slots.iter().any(Slot::has_output) {
                    core.wake_driver();
                }
            }
            if core.batches.take(batch, outcomes) || !wait {
                break;
            }
            let before = core.appetite();
            core = self.wait(core);
            if hungry && core.appetite() > before {
                core.batches.take(batch, outcomes);
                break;
            }
        }
        self.tell_followers(&core);
        core.appetite()
    }

    /// Adds tasks, and sends what can be sent. Returns how many more the workers could take.
    pub(super) fn add(&self, tasks: impl IntoIterator<Item = Waiting>) -> u64 {
        let mut core = self.lock();
        for waiting in tasks {
            core.add(waiting);
        }
        core.dispatch();
        if core.driven && core.slots.iter().any(Slot::has_output) {
            core.wake_driver();
        }
        core.appetite()
    }

    fn tell_followers(&self, core: &Core) {
        if core.followers > 0 {
            self.news.notify_all();
        }
    }

    /// Waits until something has happened that may concern the caller.
    pub(super) fn wait<'a>(&'a self, mut core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        if !core.supervisor.is_ours() {
            core.disown();
            return core;
        }
        if core.driven {
            core.followers += 1;
            core = self.news.wait(core).unwrap_or_else(PoisonError::into_inner);
            core.followers -= 1;
            return core;
        }
        let mut spin = core.spin;
        let seen = core.has_served() && spin.look(|| core.has_news());
        core.spin = spin;
        if seen {
            core.look();
            return core;
        }
        let Some(timeout) = core.announce_sleep() else {
            core.look();
            return core;
        };
        core.driven = true;
        let watched = core.watched();
        drop(core);
        let since = now();
        let ready = self.poll(&watched, timeout);
        let mut core = self.lock();
        core.driven = false;
        core.learn(since);
        core.announce_awake();
        core.hear(&ready);
        core.look();
        self.tell_followers(&core);
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
        if let Ok(bell) = self.listener.borrow() {
            interests.push(Interest::readable(bell));
        }
        if poll::wait(&mut interests, timeout).is_err() {
            // Out of memory: look at everything, a little later.
            std::thread::sleep(Duration::from_millis(1));
            return sources;
        }
        if interests.last().is_some_and(Interest::can_read) {
            self.listener.clear();
        }
        sources
            .into_iter()
            .zip(&interests)
            .filter(|(_, interest)| interest.can_read() || interest.can_write())
            .map(|(source, _)| source)
            .collect()
    }

    /// Lets workers finish, ends them and the supervisor.
    pub(super) fn shutdown(&self) -> Result<Report, Error> {
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
    source: Source,
    socket: Arc<PrivateFd>,
    write: bool,
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

    /// Makes the thread that drives look at the list of sockets again.
    fn wake_driver(&self) {
        // Fails only if somebody has closed the descriptor; then the driver's own fails as well.
        let _ = self.ringer.ring();
    }

    /// Adds tasks behind all others.
    pub(super) fn add(&mut self, waiting: Waiting) {
        if waiting.count() > 0 {
            self.waiting_count += waiting.count();
            self.waiting.push_back(waiting);
        }
    }

    /// Puts tasks that were with a worker before all others.
    pub(super) fn put_back(&mut self, returned: Vec<Waiting>) {
        for waiting in returned.into_iter().rev() {
            self.waiting_count += waiting.count();
            self.waiting.push_front(waiting);
        }
    }

    /// Takes outcomes out of the rings, and hands out tasks in their place.
    fn look(&mut self) {
        self.hear_rings();
        self.dispatch();
    }

    /// Forgets a batch: its tasks that have not begun will not, and its outcomes are dropped.
    pub(super) fn close_batch(&mut self, batch: BatchId) {
        self.batches.close(batch);
        self.forget_waiting(batch);
        if self.broken.is_some() {
            return;
        }
        for slot in 0..self.slots.len() {
            let Some(worker) = &mut self.slots[slot].worker else { continue };
            if worker.has_tasks_of(batch) {
                let returned = worker.take_back();
                self.put_back(returned);
            }
        }
        self.forget_waiting(batch);
        self.dispatch();
    }

    fn forget_waiting(&mut self, batch: BatchId) {
        self.waiting.retain(|waiting| waiting.batch() != batch);
        self.waiting_count = self.waiting.iter().map(Waiting::count).sum();
    }

    /// How many more tasks the workers could take now.
    fn appetite(&self) -> u64 {
        if self.broken.is_some() {
            return 1;
        }
        let room = |slot: &Slot| match &slot.worker {
            Some(worker) if worker.ready => worker.room(self.now),
            // On its way: it will have time for the first ones.
            _ => 2,
        };
        let wanted: u64 = self.slots.iter().map(room).sum();
        wanted.saturating_sub(self.waiting_count)
    }

    /// Whether a worker is there whose outcomes could be waited for without sleep.
    fn has_served(&self) -> bool {
        self.slots.iter().any(|slot| {
            slot.worker.as_ref().is_some_and(|worker| worker.in_flight > 0 && worker.ready)
        })
    }

    fn has_news(&mut self) -> bool {
        self.slots
            .iter_mut()
            .any(|slot| slot.worker.as_mut().is_some_and(|worker| worker.has_news()))
    }

    /// Tells the workers to ring the bell. `None` if one has something to say already; else for how long
    /// to sleep at most.
    fn announce_sleep(&mut self) -> Option<Option<Duration>> {
        let mut patient = false;
        let mut silent = true;
        for slot in &mut self.slots {
            let Some(worker) = &mut slot.worker else { continue };
            patient |= worker.is_patient();
            if !worker.announce_sleep().is_ok_and(|sleep| sleep) {
                silent = false;
                break;
            }
        }
        if !silent {
            self.announce_awake();
            return None;
        }
        let deadline = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // A worker of which more than the next outcome was wanted may be held up by a long task; and one
        // that is held up may have tasks that another could run.
        let soon = match patient || self.is_uneven() {
            true => Some(SOON),
            false => self.has_tasks_behind_others().then_some(SLOW),
        };
        Some(match (deadline, soon) {
            (Some(deadline), Some(soon)) => Some(deadline.min(soon)),
            (deadline, soon) => deadline.or(soon),
        })
    }

    fn has_tasks_behind_others(&self) -> bool {
        let mut workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        workers.any(|worker| worker.in_flight > 1)
    }

    /// After a sleep that began at this time: was it worth it?
    fn learn(&mut self, since: u64) {
        let workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        if let Some(first) = workers.map(|worker| worker.rung()).filter(|at| *at >= since).min() {
            self.spin.slept(since, first);
        }
    }

    fn announce_awake(&mut self) {
        for slot in &mut self.slots {
            if let Some(worker) = &mut slot.worker {
                worker.announce_awake();
            }
        }
    }

    fn watched(&self) -> Vec<Watched> {
        let mut watched = Vec::new();
        if let Some(link) = &self.supervisor.link {
            let (socket, write) = (link.socket(), link.has_output());
            watched.push(Watched { source: Source::Supervisor, socket, write });
        }
        for (slot, place) in self.slots.iter().enumerate() {
            if let Some(worker) = &place.worker {
                if worker.uses_socket() {
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
