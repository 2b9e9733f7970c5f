//! A pool as threads share it: the lock, and what is done under it for those who call.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offspring_platform::bell::{self, Listener};

use super::batch::{BatchId, Batches, Outcomes};
use super::core::{Core, Slot};
use super::report::{Account, Stats, WorkerReport};
use super::settings::Settings;
use super::task::Waiting;
use super::timeline::Timeline;
use crate::capture::{self, DropsGone};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::Inherited;
use crate::launch::{Specification, gates, waiters};
use crate::link::Spin;
use crate::logging;
use crate::start::check_settings;
use crate::state::notice::Known;
use crate::state::{Mentions, registry};
use crate::supervisor::Supervisor;

/// A pool, as threads share it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Mutex<Core>,
    pub(super) news: Condvar,
    /// Wakes the driver out of its poll.
    pub(super) listener: Listener,
    /// When workers by fork were copied, as far as shared objects go: older ones they have.
    pub(super) inherited: Option<u64>,
    /// The thread that drives for wakers calls some. Changed under the lock.
    pub(super) waking: AtomicBool,
    /// What encoding arguments and decoding results took, in nanoseconds.
    pub(super) encoding: AtomicU64,
    pub(super) decoding: AtomicU64,
    _gone: DropsGone,
}

impl Shared {
    /// Starts a supervisor and its workers, which run what they inherit if they are forked.
    pub(super) fn start(
        context: Context,
        workers: usize,
        settings: Settings,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Self, Error> {
        // Where it fails, what was captured goes with the settings.
        let _gone = DropsGone;
        let mut settings = settings;
        check_settings(&settings.specification)?;
        gates::check_budget(context, workers)?;
        let forks = context == Context::Fork;
        // Encoded before anything is started: it is the user's code.
        settings.specification = settings.specification.here().into_owned();
        let time = forks.then(registry::now);
        let mut all = registry::globals(None);
        all.extend(settings.initialiser.mentions.iter().cloned());
        if forks {
            settings.inherited = all.drain(..).map(|entry| Arc::downgrade(&entry.recipe)).collect();
        } else {
            settings.mentions = Mentions::prepare(all, None)?;
        }
        let mut own = Specification {
            start_timeout: settings.specification.start_timeout,
            ..Specification::default()
        };
        let builds = context == Context::ForkServer && !settings.mentions.is_empty();
        if builds {
            // It is as its workers are, where they inherit what is made.
            own.environment.clone_from(&settings.specification.environment);
            own.directory.clone_from(&settings.specification.directory);
        }
        let mut supervisor = Supervisor::begin(context, &own, builds, inherited)?;
        if let Some(link) = supervisor.link.as_mut().filter(|_| builds) {
            Known::default().tell(link, &settings.mentions)?;
        }
        let (listener, ringer) =
            bell::new().map_err(|error| Error::system("start a pool", error))?;
        let timeline = settings.timeline.map(|most| {
            let name = settings.specification.name.as_deref();
            Box::new(Timeline::new(name, most))
        });
        let mut core = Core {
            context,
            settings,
            supervisor,
            slots: Vec::new(),
            waiting: VecDeque::new(),
            waiting_count: 0,
            arrived: 1,
            batches: Batches::default(),
            next_child: 1,
            failures: 0,
            kills: 0,
            late_starts: 0,
            broken: None,
            closing: false,
            account: Account { timeline, ..Account::default() },
            retried: HashMap::new(),
            ringer,
            now: Instant::now(),
            spin: Spin::new(),
            target: workers,
            ended: false,
            waiter: None,
            waiters: 0,
            submitted: 0,
            driven: false,
            looks_soon: false,
            followers: 0,
        };
        core.slots.resize_with(workers, Slot::default);
        for index in 0..workers {
            core.start_worker(index)?;
        }
        // What it takes to ask for workers is done while the supervisor comes up. A copy of this process is not waited for:
        // nothing of it can be another program's.
        if !forks {
            core.supervisor.greet(context, own.start_timeout)?;
            // What it said right behind its hello was read with it: nobody would wait for that any more.
            core.hear_supervisor();
        }
        let (encoding, decoding) = (AtomicU64::new(0), AtomicU64::new(0));
        let core = Mutex::new(core);
        let news = Condvar::new();
        let waking = AtomicBool::new(false);
        Ok(Self {
            core,
            news,
            listener,
            inherited: time,
            waking,
            encoding,
            decoding,
            _gone: DropsGone,
        })
    }

    /// The state. In a forked child, which has a copy of its parent's pool, that of a lost pool.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        logging::tell_level();
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
        chunk: u64,
    ) -> u64 {
        let mut core = self.lock();
        let mut added = false;
        for waiting in tasks {
            added = true;
            core.add(waiting);
        }
        loop {
            if !core.driven {
                core.look();
            } else if added {
                core.dispatch_beside_driver();
            }
            if core.batches.take(batch, outcomes) || !wait {
                break;
            }
            let before = core.appetite(chunk);
            core = self.wait(core, None);
            if hungry && core.appetite(chunk) > before {
                core.batches.take(batch, outcomes);
                break;
            }
        }
        self.tell_followers(&core);
        let appetite = core.appetite(chunk);
        self.wake(core);
        appetite
    }

    /// Adds tasks, and sends what can be sent. Returns how many more the workers could take.
    pub(super) fn add(&self, tasks: impl IntoIterator<Item = Waiting>, chunk: u64) -> u64 {
        let mut core = self.lock();
        for waiting in tasks {
            core.add(waiting);
        }
        if core.driven {
            core.dispatch_beside_driver();
        } else {
            core.dispatch();
        }
        core.appetite(chunk)
    }

    /// Releases the lock, and tells all who wait for what was found meanwhile.
    pub(super) fn release(&self, core: MutexGuard<'_, Core>) {
        self.tell_followers(&core);
        self.wake(core);
    }

    /// Releases the lock, delivers records, wakes those who wait for single tasks that have their outcomes, and
    /// drops what captures held that nobody needs any more.
    pub(super) fn wake(&self, mut core: MutexGuard<'_, Core>) {
        let wakers = std::mem::take(&mut core.batches.to_wake);
        drop(core);
        // Before whoever holds the outcomes gives them out.
        logging::deliver();
        waiters::call_all(wakers);
        capture::drop_gone();
    }

    pub(super) fn tell_followers(&self, core: &Core) {
        if core.followers > 0 {
            self.news.notify_all();
        }
    }

    /// Lets all tasks finish, ends the workers and the supervisor.
    pub(super) fn shutdown(&self) -> Result<Account, Error> {
        let mut core = self.lock();
        loop {
            // Looked at first: whoever sleeps when nothing is left to come sleeps for long.
            core.look_unless_driven();
            if core.broken.is_some() || (core.waiting_count == 0 && !core.has_tasks()) {
                break;
            }
            core = self.wait(core, None);
        }
        core.close();
        while core.broken.is_none() && core.slots.iter().any(|slot| slot.worker.is_some()) {
            core = self.wait(core, None);
        }
        let broken = core.broken.as_ref().map(Error::again);
        core.end("the pool was shut down");
        let mut account = std::mem::take(&mut core.account);
        account.timeline = account.timeline.map(Timeline::ends_now);
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
        account.timeline = core.timeline_so_far();
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
        // What waits for one certain worker waits as well.
        let pinned = || core.slots.iter().flat_map(|slot| &slot.pinned);
        let mut traffic = core.account.traffic;
        workers().for_each(|worker| traffic += worker.traffic());
        Stats {
            workers: core.target,
            ready: workers().filter(|worker| worker.serves()).count(),
            tasks_waiting: core.waiting_count + pinned().map(Waiting::count).sum::<u64>(),
            tasks_in_flight: workers().map(|worker| worker.in_flight).sum(),
            tasks_done: core.account.tasks,
            bytes_waiting: core.waiting.iter().chain(pinned()).map(Waiting::size).sum(),
            bytes_in_flight: workers().map(|worker| worker.bytes_in_flight()).sum(),
            argument_bytes: traffic.arguments,
            result_bytes: traffic.results,
            encoding: Duration::from_nanos(self.encoding.load(Ordering::Relaxed)),
            decoding: Duration::from_nanos(self.decoding.load(Ordering::Relaxed)),
            captures_sent: core.account.tellings
                + workers().map(|worker| worker.tellings).sum::<u64>(),
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
                    .detail("not all of them were ready in time")
                    .advice("wait longer; `stats` tells how many are"));
            }
            core = self.wait(core, deadline);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        core.end("the pool was dropped");
        logging::deliver();
    }
}
