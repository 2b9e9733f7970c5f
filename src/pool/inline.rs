//! A pool without processes: each thread that uses it is its own worker, with its own state.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use offspring_platform::clock::now;
use once_cell::unsync::OnceCell;

use super::batch::{Large, Origin, What};
use super::report::{Account, Stats, Value};
use super::settings::{Reuse, Settings};
use super::timeline::Threads;
use crate::capture::{Brought, DropsGone, Set};
use crate::child::whoami::{Whoami, working_as};
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::inline::{Answer, perform};

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Inline {
    /// Tells this pool's states from those of others.
    id: Arc<u64>,
    settings: Settings,
    tasks: AtomicU64,
    replaced: AtomicU64,
    submitted: AtomicU64,
    ended: AtomicBool,
    values: Mutex<Vec<Value>>,
    /// What threads did when, if somebody wants to know.
    timeline: Option<Mutex<Threads>>,
    _gone: DropsGone,
}

/// One task.
pub(super) struct Task<'a> {
    pub(super) index: u64,
    pub(super) function: Name,
    pub(super) name: &'static str,
    pub(super) message: &'a Encoded,
    pub(super) captured: Option<&'a Arc<Set>>,
}

type State = RefCell<Option<Box<dyn Any>>>;

/// The worker that one thread is for one pool, since its first task.
#[derive(Default)]
struct Place {
    /// Made by the first task of the worker.
    state: OnceCell<State>,
    /// How many workers this thread was before.
    generation: u64,
    tasks_done: u64,
    /// Where this is told in the timeline, while the thread is here.
    lane: usize,
}

thread_local! {
    static PLACES: RefCell<HashMap<u64, Place>> = RefCell::new(HashMap::new());
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Inline {
    pub(super) fn new(settings: Settings) -> Self {
        let id = Arc::new(NEXT.fetch_add(1, Ordering::Relaxed));
        let [tasks, replaced, submitted] = [const { AtomicU64::new(0) }; 3];
        let name = settings.specification.name.as_deref();
        let timeline = settings.timeline.map(|most| Mutex::new(Threads::new(name, most)));
        Self {
            id,
            settings,
            tasks,
            replaced,
            submitted,
            ended: AtomicBool::new(false),
            values: Mutex::default(),
            timeline,
            _gone: DropsGone,
        }
    }

    /// The number of the next task that is submitted.
    pub(super) fn next_number(&self) -> u64 {
        self.submitted.fetch_add(1, Ordering::Relaxed)
    }

    /// An error if the pool was ended.
    pub(super) fn check_open(&self, doing: &'static str) -> Result<(), Error> {
        if !self.ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Cancelled, doing).detail("the pool was ended");
        Err(error.in_context(Context::Inline))
    }

    /// Makes the state of this thread, unless it is there.
    pub(super) fn ready(&self) -> Result<(), Error> {
        self.check_open("wait for the workers of a pool")?;
        self.at_place(|place| match self.state_of(place) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.in_context(Context::Inline).of_worker(0)),
        })
    }

    /// Runs a task in this thread.
    pub(super) fn run(&self, task: &Task<'_>) -> What {
        if let Err(error) = self.check_open("run a task") {
            return What::Failed(error.of_task(task.index, task.name));
        }
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.at_place(|place| {
            let outcome = self.run_in(place, task);
            place.tasks_done += 1;
            outcome
        })
    }

    /// Works as this thread's worker. Its place is taken out while user code runs: a task may use this
    /// very pool, or another.
    fn at_place<T>(&self, work: impl FnOnce(&mut Place) -> T) -> T {
        let mut place =
            PLACES.with_borrow_mut(|places| places.remove(&self.id)).unwrap_or_default();
        place.lane = self.tell(Threads::enter).unwrap_or(0);
        let before = place.tasks_done;
        let who = Whoami {
            context: Context::Inline,
            index: 0,
            generation: place.generation,
            tasks_done: before,
        };
        let result = working_as(Some(who), || work(&mut place));
        self.tell(|threads| threads.leave(place.lane));
        let spent = self.settings.most_tasks().is_some_and(|most| place.tasks_done >= most);
        // As where a task runs in a copy of its worker, which stays: it is the same worker with a fresh state.
        let begins_anew = self.settings.reuse == Reuse::PerTask && place.tasks_done > before;
        let state = begins_anew.then(|| std::mem::take(&mut place.state));
        PLACES.with_borrow_mut(|places| places.insert(*self.id, place));
        self.end_state(state);
        if spent {
            self.recycle();
        }
        result
    }

    fn run_in(&self, place: &Place, task: &Task<'_>) -> What {
        let told = |error: Error| {
            What::Failed(
                error.in_context(Context::Inline).of_worker(0).of_task(task.index, task.name),
            )
        };
        let state = match self.state_of(place) {
            Ok(state) => state,
            Err(error) => return told(error),
        };
        self.tell(|threads| threads.begin_task(place.lane, task.name, task.index));
        let (answer, pieces) =
            perform(task.function, &mut state.borrow_mut(), task.message, task.captured);
        let what = match answer {
            Ok(Answer::Done(bytes, descriptors)) => {
                What::Large(Box::new(Large { bytes, descriptors, from: Origin::default() }))
            }
            Ok(Answer::Failed(failure)) => told(failure.into_error("run a task")),
            Err(error) => told(Error::system("run a task", error)),
        };
        self.tell(|threads| threads.end_task(place.lane, &what));
        match pieces.zip(task.captured) {
            Some((pieces, set)) => {
                What::Brought(Box::new((Brought::new(set.clone(), pieces), what)))
            }
            None => what,
        }
    }

    /// Tells the timeline, if there is one.
    fn tell<T>(&self, what: impl FnOnce(&mut Threads) -> T) -> Option<T> {
        let timeline = self.timeline.as_ref()?;
        Some(what(&mut timeline.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The state of this thread, which is made if it is not there.
    fn state_of<'a>(&self, place: &'a Place) -> Result<&'a State, Error> {
        place.state.get_or_try_init(|| {
            let since = self.timeline.as_ref().map_or(0, |_| now());
            let made = self.make_state();
            self.tell(|threads| threads.made(place.lane, since, made.is_err()));
            made
        })
    }

    fn make_state(&self) -> Result<State, Error> {
        let doing = "initialise a worker";
        let mut state: Option<Box<dyn Any>> = Some(Box::new(()));
        if let Some(function) = self.settings.initialiser.function {
            let message = &self.settings.initialiser.message;
            let captured = self.settings.captured.as_ref();
            let (made, _) = perform(function, &mut state, message, captured);
            match made.map_err(|error| Error::new(ErrorKind::Init, doing).caused_by(error))? {
                Answer::Done(..) => {}
                Answer::Failed(failure) => return Err(failure.of_initialiser()),
            }
        }
        Ok(RefCell::new(state))
    }

    pub(super) fn shutdown(&self) -> Result<Account, Error> {
        self.check_open("run a task")?;
        self.end_worker();
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let values = { values }.drain(..).collect();
        Ok(Account { values, ..self.report() })
    }

    pub(super) fn report(&self) -> Account {
        let tasks = self.tasks.load(Ordering::Relaxed);
        let replaced = self.replaced.load(Ordering::Relaxed);
        let timeline = self.tell(|threads| threads.so_far());
        Account { tasks, replaced, timeline, ..Account::default() }
    }

    pub(super) fn stats(&self) -> Stats {
        let tasks_done = self.tasks.load(Ordering::Relaxed);
        Stats { workers: 1, ready: 1, tasks_done, ..Stats::default() }
    }

    /// At the beginning of a map.
    pub(super) fn begin_map(&self) {
        // One that has run nothing is as good as a fresh one.
        let is_used = || {
            PLACES.with_borrow(|places| {
                places.get(&self.id).is_some_and(|place| place.tasks_done > 0)
            })
        };
        if self.settings.reuse == Reuse::PerMap && is_used() {
            self.recycle();
        }
    }

    pub(super) fn terminate(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.end_worker();
    }

    /// Puts another worker in the place of the one that this thread is, if it is one.
    pub(super) fn recycle(&self) {
        let Some(generation) = self.end_worker() else { return };
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        self.replaced.fetch_add(1, Ordering::Relaxed);
        let next = Place { generation: generation + 1, ..Place::default() };
        PLACES.with_borrow_mut(|places| places.insert(*self.id, next));
    }

    /// Ends the worker that this thread is, and tells its generation. Those of other threads go when the threads end.
    fn end_worker(&self) -> Option<u64> {
        // Fails only while this thread ends, and then its states go anyway.
        let place = PLACES
            .try_with(|places| {
                places.try_borrow_mut().ok().and_then(|mut places| places.remove(&self.id))
            })
            .ok()
            .flatten()?;
        let Place { state, generation, .. } = place;
        self.end_state(Some(state));
        Some(generation)
    }

    /// Runs what a worker does at its end, and drops its state.
    fn end_state(&self, state: Option<OnceCell<State>>) {
        let Some(state) = state.and_then(OnceCell::into_inner) else { return };
        let since = self.timeline.as_ref().map_or(0, |_| now());
        // Not by the worker that this thread may be meanwhile, in a task of another pool.
        working_as(None, || {
            self.finalise(&state);
            // It is dropped with all that it has.
            drop(state);
        });
        self.tell(|threads| threads.recycled(since));
    }

    /// What a worker does at its end.
    fn finalise(&self, state: &State) {
        let ended = self.ended.load(Ordering::Relaxed);
        let Some(function) = self.settings.finaliser.filter(|_| !ended) else { return };
        let (message, captured) = (Encoded::default(), self.settings.captured.as_ref());
        let (answer, _) = perform(function, &mut state.borrow_mut(), &message, captured);
        let value = match answer {
            Ok(Answer::Done(bytes, descriptors)) => Ok((bytes, descriptors)),
            Ok(Answer::Failed(failure)) => Err(failure.into_error(AT_END)),
            Err(error) => Err(Error::system(AT_END, error)),
        };
        let value = value.map_err(|error| error.in_context(Context::Inline).of_worker(0));
        self.values.lock().unwrap_or_else(PoisonError::into_inner).push((0, value));
    }
}

const AT_END: &str = "run what a worker does at its end";
