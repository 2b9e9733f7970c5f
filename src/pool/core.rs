//! A pool of processes: its state, under one lock, and who drives it.
//!
//! No thread works for the pool. A thread that waits for results drives: it looks into the rings for a
//! moment, then polls, with the lock released, and then takes note of what happened, with the lock held.
//! Others that wait meanwhile sleep until the driver has news. Whoever adds work sends it itself; if a
//! socket did not take all, the driver is woken, so that it also waits for room.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use offspring_platform::bell::{self, Listener, Ringer};
use offspring_platform::clock::now;
use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::{self, Interest};

use super::batch::{BatchId, Batches, Kind, Outcomes};
use super::report::{Account, Stats, WorkerReport};
use super::settings::{Reuse, Settings};
use super::task::Waiting;
use super::worker::{SLOW, Worker};
use crate::Context;
use crate::channel::Spin;
use crate::error::{Error, ErrorKind};
use crate::function::Inherited;
use crate::launch::{Specification, gates};
use crate::start::check_settings;
use crate::supervisor::{self, Supervisor};

/// One place for a worker.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) worker: Option<Box<Worker>>,
    /// How many workers were here before.
    pub(super) generation: u64,
    /// When a new worker is to be started, after some did not come up.
    pub(super) start_at: Option<Instant>,
    /// Tasks for whoever works here, and for nobody else.
    pub(super) pinned: VecDeque<Waiting>,
}

/// The state of a pool.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) context: Context,
    pub(super) settings: Settings,
    pub(super) supervisor: Supervisor,
    pub(super) slots: Vec<Slot>,
    /// Tasks that no worker has.
    pub(super) waiting: VecDeque<Waiting>,
    /// How many those are.
    pub(super) waiting_count: u64,
    pub(super) batches: Batches,
    pub(super) next_child: u64,
    /// Workers that failed to come up since the last that did.
    pub(super) failures: u32,
    /// So many slots wait until a new worker is to be started.
    pub(super) late_starts: usize,
    /// Why the pool is of no use any more.
    pub(super) broken: Option<Error>,
    pub(super) closing: bool,
    pub(super) account: Account,
    /// How often tasks were begun again that ended with their worker.
    pub(super) retried: HashMap<(BatchId, u64), u32>,
    /// With this, workers wake the driver.
    pub(super) ringer: Ringer,
    /// When tasks were handed out last.
    pub(super) now: Instant,
    spin: Spin,
    /// How many workers there shall be.
    pub(super) target: usize,
    /// All is over.
    pub(super) ended: bool,
    /// A thread was started to drive for the sake of wakers.
    has_waiter: bool,
    /// There was a map.
    mapped: bool,
    /// How many single tasks were submitted.
    pub(super) submitted: u64,
    /// A thread drives.
    pub(super) driven: bool,
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
    /// What encoding arguments and decoding results took, in nanoseconds.
    pub(super) encoding: AtomicU64,
    pub(super) decoding: AtomicU64,
}

/// When a worker sleeps longer than expected, and others have nothing to do, its tasks are looked after
/// again after this time.
const SOON: Duration = Duration::from_millis(1);
/// How long the thread that drives for wakers stays when there are none.
const LINGER: Duration = Duration::from_millis(100);

impl Shared {
    /// Starts a supervisor and its workers, which run what they inherit if they are forked.
    pub(super) fn start(
        context: Context,
        workers: usize,
        settings: Settings,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Self, Error> {
        check_settings(&settings.specification)?;
        gates::check_budget(context, workers)?;
        let own = Specification {
            start_timeout: settings.specification.start_timeout,
            ..Specification::default()
        };
        let supervisor = Supervisor::start(context, &own, supervisor::NAME, inherited)?;
        let (listener, ringer) =
            bell::new().map_err(|error| Error::system("start a pool", error))?;
        let mut core = Core {
            context,
            settings,
            supervisor,
            slots: Vec::new(),
            waiting: VecDeque::new(),
            waiting_count: 0,
            batches: Batches::default(),
            next_child: 1,
            failures: 0,
            late_starts: 0,
            broken: None,
            closing: false,
            account: Account::default(),
            retried: HashMap::new(),
            ringer,
            now: Instant::now(),
            spin: Spin::new(),
            target: workers,
            ended: false,
            has_waiter: false,
            mapped: false,
            submitted: 0,
            driven: false,
            followers: 0,
        };
        core.slots.resize_with(workers, Slot::default);
        for index in 0..workers {
            core.start_worker(index)?;
        }
        let (encoding, decoding) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { core: Mutex::new(core), news: Condvar::new(), listener, encoding, decoding })
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
            core = self.wait(core, None);
            if hungry && core.appetite() > before {
                core.batches.take(batch, outcomes);
                break;
            }
        }
        self.tell_followers(&core);
        let appetite = core.appetite();
        self.wake(core);
        appetite
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

    /// Releases the lock, and tells all who wait for what was found meanwhile.
    pub(super) fn release(&self, core: MutexGuard<'_, Core>) {
        self.tell_followers(&core);
        self.wake(core);
    }

    /// Releases the lock, and wakes those who wait for single tasks that have their outcomes.
    fn wake(&self, mut core: MutexGuard<'_, Core>) {
        if core.batches.to_wake.is_empty() {
            return;
        }
        let wakers = std::mem::take(&mut core.batches.to_wake);
        drop(core);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn tell_followers(&self, core: &Core) {
        if core.followers > 0 {
            self.news.notify_all();
        }
    }

    /// Waits until something has happened that may concern the caller, or until a deadline.
    pub(super) fn wait<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, Core> {
        if !core.batches.to_wake.is_empty() {
            self.wake(core);
            return self.lock();
        }
        if core.ended {
            return core;
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if core.driven {
            return self.follow(core, left);
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
        let timeout = match (timeout, left) {
            (Some(timeout), Some(left)) => Some(timeout.min(left)),
            (timeout, left) => timeout.or(left),
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

    /// Sleeps until the thread that drives has news.
    fn follow<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, Core> {
        core.followers += 1;
        let mut core = match limit {
            None => self.news.wait(core).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.news.wait_timeout(core, limit);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        core.followers -= 1;
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

    /// Lets all tasks finish, ends the workers and the supervisor.
    pub(super) fn shutdown(&self) -> Result<Account, Error> {
        let mut core = self.lock();
        while core.broken.is_none() && (core.waiting_count > 0 || core.has_tasks()) {
            core.look_unless_driven();
            core = self.wait(core, None);
        }
        core.close();
        while core.broken.is_none() && core.slots.iter().any(|slot| slot.worker.is_some()) {
            core = self.wait(core, None);
        }
        let broken = core.broken.as_ref().map(Error::again);
        core.end("the pool was shut down");
        let account = std::mem::take(&mut core.account);
        self.release(core);
        broken.map_or(Ok(account), Err)
    }

    /// Ends everything now. Tasks without an outcome fail.
    pub(super) fn terminate(&self) {
        let mut core = self.lock();
        core.end("the pool was ended");
        core.wake_driver();
        self.tell_followers(&core);
        self.wake(core);
    }

    pub(super) fn report(&self) -> Account {
        let mut core = self.lock();
        core.look_unless_driven();
        let mut account = core.account.so_far();
        for (index, slot) in core.slots.iter().enumerate() {
            if let Some(worker) = &slot.worker {
                account.ended(WorkerReport::of(worker, index, slot.generation, None));
            }
        }
        self.release(core);
        account
    }

    pub(super) fn stats(&self) -> Stats {
        let core = self.lock();
        let workers = || core.slots.iter().filter_map(|slot| slot.worker.as_ref());
        Stats {
            workers: core.target,
            ready: workers().filter(|worker| worker.serves()).count(),
            tasks_waiting: core.waiting_count,
            tasks_in_flight: workers().map(|worker| worker.in_flight).sum(),
            tasks_done: core.account.tasks,
            bytes_waiting: core.waiting.iter().map(Waiting::size).sum(),
            bytes_in_flight: workers().map(|worker| worker.bytes_in_flight()).sum(),
            encoding: Duration::from_nanos(self.encoding.load(Ordering::Relaxed)),
            decoding: Duration::from_nanos(self.decoding.load(Ordering::Relaxed)),
        }
    }

    /// Takes note of all that has happened, and waits for nothing. A thread that drives does it by itself.
    pub(super) fn glance(&self, core: &mut Core) {
        if core.driven || core.ended || !core.supervisor.is_ours() {
            return;
        }
        let watched = core.watched();
        let ready = self.poll(&watched, Some(Duration::ZERO));
        core.hear(&ready);
        core.look();
    }

    /// Waits until all workers are ready.
    pub(super) fn ready(&self, deadline: Option<Instant>) -> Result<(), Error> {
        let mut core = self.lock();
        loop {
            self.glance(&mut core);
            if let Some(error) = &core.broken {
                return Err(error.again());
            }
            let ready = |slot: &Slot| slot.worker.as_ref().is_some_and(|worker| worker.serves());
            if core.slots[..core.target].iter().all(ready) {
                return Ok(());
            }
            if deadline.is_some_and(|at| at <= Instant::now()) {
                return Err(Error::new(ErrorKind::TimedOut, "wait for the workers of a pool")
                    .in_context(core.context)
                    .detail("not all of them were ready in time"));
            }
            core = self.wait(core, deadline);
        }
    }

    /// In a thread that was started for it: drives while somebody is to be woken.
    pub(super) fn drive_for_wakers(&self) {
        let mut core = self.lock();
        loop {
            if core.batches.awaited == 0 && core.batches.to_wake.is_empty() {
                // The next is mostly not long in coming, and a thread costs more than a short sleep.
                core = self.follow(core, Some(LINGER));
                if core.batches.awaited == 0 && core.batches.to_wake.is_empty() {
                    core.has_waiter = false;
                    return;
                }
            }
            core.look_unless_driven();
            core = self.wait(core, None);
        }
    }

    /// Makes sure that somebody drives for the sake of a waker. The lock is held.
    pub(super) fn start_waiter(shared: &Arc<Self>, core: &mut Core) -> bool {
        if core.has_waiter {
            shared.tell_followers(core);
            return true;
        }
        let own = shared.clone();
        let started = std::thread::Builder::new()
            .name("offspring-waiter".into())
            .spawn(move || own.drive_for_wakers());
        core.has_waiter = started.is_ok();
        core.has_waiter
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        core.end("the pool was dropped");
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
        self.target
    }

    /// Makes the thread that drives look at the list of sockets again.
    pub(super) fn wake_driver(&self) {
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
            let batch = waiting.batch();
            if self.batches.is_cancelled(batch) {
                self.settle_cancelled(&waiting);
                continue;
            }
            if self.batches.is_pinned(batch) {
                match usize::try_from(waiting.index()).ok().filter(|slot| *slot < self.target) {
                    Some(slot) => self.slots[slot].pinned.push_front(waiting),
                    // Nobody will come after the worker that had it.
                    None => self.settle_cancelled(&waiting),
                }
                continue;
            }
            self.waiting_count += waiting.count();
            self.waiting.push_front(waiting);
        }
    }

    /// Whether a worker has tasks.
    fn has_tasks(&self) -> bool {
        self.slots.iter().any(|slot| {
            slot.worker.as_ref().is_some_and(|worker| worker.in_flight > 0)
                || !slot.pinned.is_empty()
        })
    }

    /// Opens a batch for the tasks of a map.
    pub(super) fn begin_map(&mut self, name: &'static str) -> BatchId {
        if self.settings.reuse == Reuse::PerMap && std::mem::replace(&mut self.mapped, true) {
            self.recycle();
        }
        self.batches.open(name, Kind::Map)
    }

    /// Opens a batch for a task that is submitted, unless so many have no outcome yet.
    pub(super) fn open_single(
        &mut self,
        name: &'static str,
        most: usize,
    ) -> Option<(BatchId, u64)> {
        if self.batches.unsettled >= most {
            return None;
        }
        let number = self.submitted;
        self.submitted += 1;
        let kind = Kind::Single { number, settled: false, detached: false, waker: None };
        Some((self.batches.open(name, kind), number))
    }

    /// Ends all workers and the supervisor; what has no outcome gets one.
    fn end(&mut self, why: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if self.broken.is_none() {
            let error = Error::new(ErrorKind::Cancelled, "run a task");
            self.broken = Some(error.in_context(self.context).detail(why));
        }
        for slot in 0..self.slots.len() {
            // Their lifelines go first, so that no worker begins anything while the supervisor ends.
            if let Some(mut worker) = self.slots[slot].worker.take() {
                for (batch, index) in worker.lose() {
                    self.fail_as_broken(batch, index);
                }
            }
        }
        self.fail_waiting();
        self.supervisor.finish();
    }

    /// See [`Core::look`]; the one who drives will do it.
    pub(super) fn look_unless_driven(&mut self) {
        if !self.driven {
            self.look();
        }
    }

    /// Takes outcomes out of the rings, and hands out tasks in their place.
    pub(super) fn look(&mut self) {
        self.hear_rings();
        self.dispatch();
        if self.late_starts > 0 {
            self.start_late();
        }
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
        let room = |(index, slot): (usize, &Slot)| match &slot.worker {
            Some(worker) if worker.ready => worker.room(self.now),
            // On its way: it will have time for the first ones.
            Some(worker) if !worker.closing => 2,
            // One takes its place, or will after a pause.
            _ => u64::from(index < self.target),
        };
        let wanted: u64 = self.slots.iter().enumerate().map(room).sum();
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
        let greetings = workers
            .filter(|worker| !worker.greeted && worker.keeper.is_some())
            .map(|worker| worker.must_greet_by);
        greetings.chain(self.slots.iter().filter_map(|slot| slot.start_at)).min()
    }
}
