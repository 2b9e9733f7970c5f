//! Who drives a pool, and how it waits.
//!
//! No thread works for the pool. A thread that waits for results drives: it looks into the rings for a
//! moment, then polls, with the lock released, and then takes note of what happened, with the lock held.
//! Others that wait meanwhile sleep until the driver has news. Whoever adds work sends it itself; if a
//! socket did not take all, the driver is woken, so that it also waits for room.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use offspring_platform::clock::now;
use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::{self, Interest};

use super::core::{Core, Slot};
use super::pace::SLOW;
use super::shared::Shared;
use crate::codec;
use crate::launch::waiters::{self, Waited};
use crate::link::Kind;
use crate::logging::{self, Bell};
use crate::supervisor::protocol::Signal;

/// When a worker sleeps longer than expected, and others have nothing to do, its tasks are looked after
/// again after this time.
const SOON: Duration = Duration::from_millis(1);
/// How long the thread that drives for wakers stays when there are none.
const LINGER: Duration = Duration::from_millis(100);
/// A fork waits for a waker that is being called no longer than this, and is refused then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something the driver waits for.
pub(super) struct Watched {
    pub(super) source: Source,
    pub(super) socket: Arc<PrivateFd>,
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

impl Shared {
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
        if logging::is_due(false) {
            // The logger may take long, or wait for one of them: it is theirs to drive.
            self.tell_followers(&core);
            drop(core);
            logging::deliver();
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
        if logging::is_due(true) {
            core.announce_awake();
            // The logger may take long, or wait for one of them: it is theirs to drive.
            self.tell_followers(&core);
            drop(core);
            logging::deliver();
            return self.lock();
        }
        core.driven = true;
        let watched = core.watched();
        drop(core);
        let since = now();
        let ready = self.poll(&watched, timeout);
        let core = self.end_turn(self.lock(), since, &ready);
        self.tell_followers(&core);
        core
    }

    /// After a sleep that began at this time: takes note of what happened.
    pub(super) fn end_turn<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        since: u64,
        ready: &[Source],
    ) -> MutexGuard<'a, Core> {
        core.driven = false;
        core.learn(since);
        core.announce_awake();
        core.hear(ready);
        core.look();
        core
    }

    /// What to poll: what is watched, all of which are descriptors of this process, and then what
    /// wakes the driver.
    pub(super) fn interests<'a>(&'a self, watched: &'a [Watched], into: &mut Vec<Interest<'a>>) {
        let sockets = watched.iter().filter_map(|one| {
            one.socket.borrow().ok().map(|fd| Interest::readable_and_writable(fd, one.write))
        });
        into.extend(sockets);
        into.extend(self.listener.borrow().ok().map(Interest::readable));
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
    pub(super) fn poll(&self, watched: &[Watched], timeout: Option<Duration>) -> Vec<Source> {
        let logs = logging::bell();
        let mut interests = Vec::with_capacity(watched.len() + 2);
        self.interests(watched, &mut interests);
        let all = interests.len();
        interests.extend(logs.as_ref().and_then(Bell::interest));
        if poll::wait(&mut interests, timeout).is_err() {
            // More than this process may have now (the limit was lowered): look at everything, a little later.
            std::thread::sleep(Duration::from_millis(1));
            return watched.iter().map(|one| one.source).collect();
        }
        if interests[watched.len()..all].iter().any(Interest::can_read) {
            self.listener.clear();
        }
        if let Some(logs) =
            logs.as_ref().filter(|_| interests[all..].iter().any(Interest::can_read))
        {
            logs.clear();
        }
        watched
            .iter()
            .zip(&interests)
            .filter(|(_, interest)| interest.can_read() || interest.can_write())
            .map(|(one, _)| one.source)
            .collect()
    }

    /// In the thread of this number: drives while somebody is to be woken.
    fn drive_for_wakers(&self, own: u64) {
        let mut core = self.lock();
        while core.waiter == Some(own) {
            if core.awaits_nothing() {
                if !core.ended {
                    // The next is mostly not long in coming, and a thread costs more than a short sleep.
                    core = self.follow(core, Some(LINGER));
                }
                if core.awaits_nothing() {
                    if core.waiter == Some(own) {
                        core.waiter = None;
                    }
                    return;
                }
                continue;
            }
            core.look_unless_driven();
            core = match core.batches.to_wake.is_empty() {
                true => self.wait(core, None),
                false => self.wake_here(core),
            };
        }
    }

    /// In the thread that drives for wakers: calls those that are due.
    fn wake_here<'a>(&'a self, core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        self.waking.store(true, Ordering::Relaxed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.wake(core))) {
            // It was shown, and others still need this thread. A payload may panic when it is dropped.
            std::mem::forget(panic);
        }
        let core = self.lock();
        self.waking.store(false, Ordering::Relaxed);
        self.tell_followers(&core);
        core
    }

    /// Makes sure that somebody drives for the sake of a waker. The lock is held.
    pub(super) fn start_waiter(shared: &Arc<Self>, core: &mut Core) -> bool {
        if core.waiter.is_some() {
            shared.tell_followers(core);
            return true;
        }
        let number = core.waiters;
        let own = shared.clone();
        let started = std::thread::Builder::new()
            .name("offspring-wait".into())
            .spawn(move || own.drive_for_wakers(number));
        let Ok(thread) = started else { return false };
        core.waiters += 1;
        core.waiter = Some(number);
        let waited: Weak<Self> = Arc::downgrade(shared);
        waiters::note(thread, waited);
        true
    }
}

impl Waited for Shared {
    fn dismiss(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut core = self.lock();
        // Mostly it is about to return, having just woken the one who forks. But it may also wait for something
        // that this one holds.
        while self.waking.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            core = self.follow(core, Some(left));
        }
        if !core.awaits_nothing() {
            return false;
        }
        core.waiter = None;
        if core.driven {
            core.wake_driver();
        }
        self.tell_followers(&core);
        true
    }
}

impl Core {
    /// Whether nobody is to be woken, now or later.
    fn awaits_nothing(&self) -> bool {
        self.batches.awaited == 0 && self.batches.to_wake.is_empty()
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
            .filter_map(|slot| slot.worker.as_mut())
            .any(|worker| worker.has_news() || worker.has_room_for_more())
    }

    /// Tells the workers to ring the bell. `None` if one has something to say already; else for how long
    /// to sleep at most.
    pub(super) fn announce_sleep(&mut self) -> Option<Option<Duration>> {
        self.ask_for_kills();
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
            false => (self.has_tasks_behind_others() || self.may_sleep_on()).then_some(SLOW),
        };
        self.looks_soon = soon.is_some();
        Some(match (deadline, soon) {
            (Some(deadline), Some(soon)) => Some(deadline.min(soon)),
            (deadline, soon) => deadline.or(soon),
        })
    }

    /// Hands out tasks while another thread sleeps for the pool, and wakes that one if there is more to wait for than it
    /// knew: room in a socket, or workers that may not begin what they were just sent, which somebody must take back.
    pub(super) fn dispatch_beside_driver(&mut self) {
        self.dispatch();
        let stuck = || self.has_tasks_behind_others() || self.may_sleep_on();
        if self.slots.iter().any(Slot::has_output) || (!self.looks_soon && stuck()) {
            self.wake_driver();
        }
    }

    /// A lifeline does not end everybody: not who has yet to tie itself to it, or has closed all that it has, and one
    /// that is a thread not who is stopped. The supervisor does.
    fn ask_for_kills(&mut self) {
        let Some(link) = &mut self.supervisor.link else { return };
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            if worker.keeper.is_none() && !worker.kill_asked {
                if let Ok(message) = codec::encode(&Signal::Kill) {
                    worker.kill_asked = true;
                    link.queue(Kind::Signal, worker.child, message);
                }
            }
        }
        // What cannot be sent now is sent when there is room. A link that is broken shows that to whoever
        // waits for it.
        let _ = link.flush();
    }

    fn has_tasks_behind_others(&self) -> bool {
        let mut workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        workers.any(|worker| worker.ready && worker.in_flight > 1)
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

    pub(super) fn watched(&self) -> Vec<Watched> {
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
        // A forked child has none of them.
        watched.retain(|one| one.socket.borrow().is_ok());
        watched
    }

    fn next_deadline(&self) -> Option<Instant> {
        let workers = self.slots.iter().filter_map(|slot| slot.worker.as_ref());
        let greetings = workers
            .filter(|worker| !worker.greeted && worker.keeper.is_some())
            .filter_map(|worker| worker.must_greet_by);
        greetings.chain(self.slots.iter().filter_map(|slot| slot.start_at)).min()
    }
}
