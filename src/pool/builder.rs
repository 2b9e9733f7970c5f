//! Describing a pool before it is started.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offspring_platform::environment::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::inline::Inline;
use super::settings::{Initialiser, Reuse, Settings};
use super::shared::Shared;
use super::{Inner, Pool};
use crate::capture;
use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::{self, Given, Name};
use crate::launch::Stdio;
use crate::launch::place::Place;
use crate::state;

const DOING: &str = "start a pool";

/// Enough for tasks of nanoseconds on many workers; the actual number follows their pace.
const IN_FLIGHT: usize = 16 << 10;

/// How a pool shall be started. Made by [`Context::pool`].
///
/// On Inline there are no processes: the environment, the directory, streams, limits of memory and time, `workers`,
/// `pin_cpus`, `inner_threads`, `retries` and `restart_budget` have no effect there, and an initialiser that fails is
/// tried again by the next task.
///
/// `HAS_EXIT` tells whether [`PoolBuilder::exit`] was called. What it was given is for the state that there was then, so
/// from there on no other [`init`](PoolBuilder::init) can be called.
#[derive(Debug)]
#[must_use = "nothing happens before `build`"]
pub struct PoolBuilder<S, X = (), const HAS_EXIT: bool = false> {
    context: Context,
    workers: Option<usize>,
    in_flight: Option<usize>,
    settings: Settings,
    inner_threads: Option<usize>,
    /// The initialiser with its argument, which the workers inherit.
    given: Option<Given>,
    /// The first thing that was wrong.
    wrong: Option<Error>,
    types: PhantomData<fn() -> (S, X)>,
}

impl Context {
    /// Begins to describe a pool of worker processes.
    pub fn pool(self) -> PoolBuilder<()> {
        PoolBuilder {
            context: self,
            workers: None,
            in_flight: None,
            settings: Settings::default(),
            inner_threads: None,
            given: None,
            wrong: None,
            types: PhantomData,
        }
    }
}

impl<S, X, const HAS_EXIT: bool> PoolBuilder<S, X, HAS_EXIT> {
    /// The number of workers. Default: the environment variable `OFFSPRING_WORKERS`, or else as many as
    /// the system lets this process use processors (its affinity and cgroup quota count). In a worker of
    /// another pool: its share of those, since the workers of a pool share the processors of its owner.
    ///
    /// On Inline each thread that uses the pool is its own only worker.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// How many inputs of one `map` are taken ahead of the results that were consumed, at most, and how
    /// many submitted tasks may be without an outcome. Default: 16,384.
    ///
    /// A `map` takes fewer while tasks take long: so many that each worker has its next task, and for
    /// tasks of microseconds some hundreds.
    pub fn in_flight(mut self, count: usize) -> Self {
        self.in_flight = Some(count);
        self
    }

    /// How long workers are used. Default: [`Reuse::Keep`].
    pub fn reuse(mut self, reuse: Reuse) -> Self {
        self.settings.reuse = reuse;
        self
    }

    /// How many tasks a worker runs before a fresh one takes its place. Default: no limit.
    pub fn tasks_per_worker(mut self, count: u64) -> Self {
        self.settings.tasks_per_worker = Some(count);
        self
    }

    /// By how many bytes a worker may grow, from when its state was made, before a fresh one takes its
    /// place. It finishes its task first. Default: no limit.
    ///
    /// # Platform notes
    ///
    /// * Linux: resident memory, looked at every 10 ms at most, after a task. Nothing without `/proc`.
    /// * macOS: the most that was resident at any time.
    pub fn memory_growth_limit(mut self, bytes: u64) -> Self {
        self.settings.growth_limit = Some(bytes);
        self
    }

    /// Limits the address space of each worker, in bytes; allocations beyond it fail, which usually aborts
    /// the worker. See [`ProcessBuilder::memory_limit`](crate::ProcessBuilder::memory_limit). Default: no
    /// limit.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.settings.specification.memory_limit = Some(bytes);
        self
    }

    /// How long a task may take, from when it begins in its worker. One that takes longer is ended with
    /// its worker, which is replaced, and fails with [`ErrorKind::TimedOut`]. The supervisor sees to it,
    /// also while this process is busy, or stopped (Ctrl-Z). Default: no limit. On Inline: no limit.
    pub fn task_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.task = Some(limit);
        self
    }

    /// How long a worker may take from its start until it has made its state. Default: no limit. On
    /// Inline: no limit.
    ///
    /// On ForkServer the supervisor makes globals and shared objects before it starts the first worker: workers that
    /// wait for that have this time, and `start_timeout`, for it.
    pub fn init_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.init = Some(limit);
        self
    }

    /// How long the supervisor may take until it says hello, and each worker: until it is set up, and has run what is
    /// to run [after a fork](crate::after_fork). Its initialiser comes later. Default: 30 seconds.
    ///
    /// On Fork the supervisor is a copy of this process, and `build` does not wait for it: should it end before it says hello,
    /// the tasks get that error.
    ///
    /// On ForkServer the time in which the supervisor makes globals and shared objects does not count.
    /// [`init_timeout`](PoolBuilder::init_timeout) limits it, and without that nothing does.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.specification.start_timeout = limit;
        self
    }

    /// How many workers in a row may fail to come up (their initialiser fails, panics, or takes too long,
    /// or they die before, or the system refuses to start them) and are replaced. The one after that breaks
    /// the pool: its error is what all tasks get. Before each replacement there is a pause: 10 ms, then twice
    /// as much each time, up to a second. Default: 2; where somebody killed
    /// workers, 2 others, and 19 in all.
    pub fn restart_budget(mut self, count: u32) -> Self {
        self.settings.restart_budget = Some(count);
        self
    }

    /// How often a task is begun again when its worker, or the copy of it that ran the task
    /// ([`Reuse::PerTask`](crate::Reuse::PerTask)), died of it. Default: 0. Inline, where nothing dies, has no tries.
    ///
    /// Only for tasks that may run twice: the first time may have got anywhere before it died. A task that
    /// panics or takes too long is not begun again.
    pub fn retries(mut self, count: u32) -> Self {
        self.settings.retries = count;
        self
    }

    /// Names the workers, in `ps`: this, and `:w` with the worker's index; 15 bytes in all. Default:
    /// `offspring`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.specification.name = Some(name.into());
        self
    }

    /// Sets an environment variable in the workers. The others are those of this process when the pool was
    /// started.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let change = Change::Set(name.as_ref().into(), value.as_ref().into());
        self.settings.specification.environment.push(change);
        self
    }

    /// Removes an environment variable in the workers.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.settings.specification.environment.push(Change::Remove(name.as_ref().into()));
        self
    }

    /// Tells libraries that start threads of their own to start so many in each worker: sets the usual
    /// variables (`OMP_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS`, `VECLIB_MAXIMUM_THREADS`,
    /// `NUMEXPR_NUM_THREADS`, `RAYON_NUM_THREADS`), except those that the user has set. Default: nothing
    /// is set, so that each worker may start as many threads as there are processors.
    pub fn inner_threads(mut self, count: usize) -> Self {
        self.inner_threads = Some(count);
        self
    }

    /// Keeps each worker on one of the processors that this process may use. Default: off.
    ///
    /// # Platform notes
    ///
    /// * macOS: nothing happens; there is no such call.
    pub fn pin_cpus(mut self, pin: bool) -> Self {
        self.settings.pin = pin;
        self
    }

    /// Keeps a timeline: what each worker did when, task by task, for [`Report::write_svg`] and
    /// [`Report::write_trace`]. Default: none is kept.
    ///
    /// At most `intervals` are kept for each worker, of 128 bytes at most each, however many tasks there are.
    /// When there are more, neighbours are joined into blocks of some time each, which know how many tasks
    /// ran in them, for how long, and how they ended. 4,096 are enough for a picture without a visible joint.
    ///
    /// It costs two looks at the clock and 24 bytes in a ring for each task, no allocation and no system call.
    /// Pools without a timeline pay nothing for it. [`Pool::report`] copies what is kept.
    ///
    /// [`Report::write_svg`]: crate::Report::write_svg
    /// [`Report::write_trace`]: crate::Report::write_trace
    pub fn timeline(mut self, intervals: usize) -> Self {
        self.settings.timeline = Some(intervals);
        self
    }

    /// The working directory of the workers. Default: that of this process when the pool was started.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.settings.specification.directory = Some(directory.as_ref().into());
        self
    }

    /// Standard output of the workers. Default: [`Stdio::inherit`].
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.settings.specification.standard[1] = stream.into().into_stream();
        self
    }

    /// Standard error of the workers. Default: [`Stdio::inherit`]. With [`Stdio::captured`], the error of a task
    /// that fails or ends its worker has the last lines that were written since it began, and that of an
    /// initialiser those since the start of its worker.
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.settings.specification.standard[2] = stream.into().into_stream();
        self
    }

    fn with<T, Y, const EXITS: bool>(
        self,
        settings: Result<Settings, Error>,
    ) -> PoolBuilder<T, Y, EXITS> {
        let (settings, error) = match settings {
            Ok(settings) => (settings, None),
            Err(error) => (self.settings, Some(error)),
        };
        PoolBuilder {
            context: self.context,
            workers: self.workers,
            in_flight: self.in_flight,
            settings,
            inner_threads: self.inner_threads,
            given: self.given,
            wrong: self.wrong.or(error),
            types: PhantomData,
        }
    }
}

impl<S> PoolBuilder<S> {
    /// Makes the state of each worker: `function` runs once in each, before its first task, and what it
    /// returns is handed to the tasks as `&mut S`.
    ///
    /// The state stays in the worker, so it needs neither `Send` nor serde: it can hold a connection, an
    /// `Rc`, a library's context. The arguments are encoded once and sent to each worker, also to those
    /// that replace others; this process drops them.
    ///
    /// **On Fork nothing is encoded**: the workers inherit the arguments as they are, at no cost for
    /// their size, and each owns its copy; this process drops its own when the pool was built. So what
    /// `Deserialize` would make anew (a connection left out by `#[serde(skip)]`, say) is the parent's
    /// there; make such things in `function`. There is an exception, which costs time
    /// and, for such types, makes them anew: while this process has ends of channels, tables that it fills, or handles of a
    /// [`Shared`](crate::Shared), one of which may be among the arguments, they are encoded and sent as
    /// elsewhere.
    ///
    /// What a worker does is in the same order on every context: it inherits or receives what it is to be;
    /// ties its life to that of its owner; sets up signals, the way of its log records, standard streams,
    /// environment, directory and limits; runs the hooks of [`after_fork`](crate::after_fork), if it was forked; says
    /// hello; decodes these arguments, if it did not inherit them; makes its state; and is ready.
    pub fn init<A, T, F>(self, arguments: A, function: F) -> PoolBuilder<T>
    where
        A: Serialize + DeserializeOwned + 'static,
        T: 'static,
        F: Fn(A) -> T + Copy + 'static,
    {
        if self.can_give() {
            return self.given(Given::new(arguments, function));
        }
        let settings = self.initialised(arguments, function::initial::<F, A, T>(function));
        self.with(settings)
    }

    /// Like [`PoolBuilder::init`], for a function that can fail.
    ///
    /// A worker whose initialiser failed is replaced, a few times: see [`PoolBuilder::restart_budget`].
    /// Then the pool is broken, and all tasks get [`ErrorKind::Init`] with the text of the error.
    pub fn try_init<A, T, E, F>(self, arguments: A, function: F) -> PoolBuilder<T>
    where
        A: Serialize + DeserializeOwned + 'static,
        T: 'static,
        E: Display + 'static,
        F: Fn(A) -> Result<T, E> + Copy + 'static,
    {
        if self.can_give() {
            return self.given(Given::fallible(arguments, function));
        }
        let settings = self.initialised(arguments, function::fallible::<F, A, T, E>(function));
        self.with(settings)
    }

    /// Whether workers inherit the initialiser's arguments. Not where a shared object exists, which one of them may
    /// mention: it lives as long as the handles of the parent, of which an encoded argument keeps one.
    fn can_give(&self) -> bool {
        self.context == Context::Fork && Given::is_possible() && !state::registry::has_handles()
    }

    fn given<T>(mut self, given: Given) -> PoolBuilder<T> {
        self.given = Some(given);
        self.settings.initialiser =
            Initialiser { function: Some(Name::INHERITED), ..Initialiser::default() };
        let settings = std::mem::take(&mut self.settings);
        self.with(Ok(settings))
    }

    fn initialised<A: Serialize + 'static>(
        &self,
        arguments: A,
        function: Result<Name, Error>,
    ) -> Result<Settings, Error> {
        let mut message = codec::encode_owned(arguments).map_err(|error| {
            Error::new(ErrorKind::EncodeArguments, DOING).detail(error.to_string())
        })?;
        let mentions = state::entries(&mut message.mentions).collect();
        let message = Arc::new(message);
        let initialiser = Initialiser { function: Some(function?), message, mentions };
        Ok(Settings { initialiser, ..self.settings.clone() })
    }

    /// What a worker does at its end: `function` gets its state, and what it returns comes back from
    /// [`Pool::shutdown`], in [`Report::exit_values`](crate::Report::exit_values).
    ///
    /// It runs in each worker that ends in the ordinary way: at `shutdown`, and when it is replaced because
    /// of [`PoolBuilder::tasks_per_worker`], [`Pool::recycle`] and the like. It does not run in a worker
    /// that dies, or when the pool is dropped or terminated.
    ///
    /// To be called once, after [`PoolBuilder::init`]; the other way round does not compile:
    ///
    /// ```compile_fail
    /// # use offspring::Context;
    /// Context::Spawn.pool().exit(|()| ()).init(7, |n: i32| n).build()?;
    /// # Ok::<(), offspring::Error>(())
    /// ```
    ///
    /// On Inline it runs for the thread that calls `shutdown` or `recycle`; the states of other threads are dropped
    /// with their threads, without it.
    pub fn exit<X, F>(self, function: F) -> PoolBuilder<S, X, true>
    where
        S: 'static,
        X: Serialize + DeserializeOwned + 'static,
        F: Fn(S) -> X + Copy + 'static,
    {
        let finaliser = function::finale::<F, S, X>(function);
        let settings = finaliser
            .map(|finaliser| Settings { finaliser: Some(finaliser), ..self.settings.clone() });
        self.with(settings)
    }
}

impl<S, X, const HAS_EXIT: bool> PoolBuilder<S, X, HAS_EXIT> {
    /// Starts the pool.
    ///
    /// Returns when the supervisor is there; the workers come up meanwhile. What goes wrong in them,
    /// their initialiser included, is the outcome of the tasks.
    ///
    /// On Fork the workers are copies of this process at this moment, also those that replace others
    /// later. The supervisor keeps the files that are open in this process open until the pool ends.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Invalid`]: a setting is not possible, such as no workers, or nothing in flight; also
    ///   `OFFSPRING_WORKERS`, where that decides.
    /// * [`ErrorKind::TooDeep`]: more generations, or more processes of pools inside of pools, than the limits.
    /// * [`ErrorKind::Capture`]: the value of a capture could not be encoded.
    /// * [`ErrorKind::EncodeArguments`]: the initialiser's arguments could not be encoded; see
    ///   [`PoolBuilder::init`] for when they are.
    /// * Those of [`ProcessBuilder::start`](crate::ProcessBuilder::start), for the supervisor.
    pub fn build(self) -> Result<Pool<S, X>, Error> {
        let context = self.context;
        if let Some(error) = self.wrong {
            return Err(error.in_context(context));
        }
        let workers = match self.workers {
            Some(count) => count,
            None => default_workers(context)?,
        };
        let in_flight = self.in_flight.unwrap_or(IN_FLIGHT);
        let mut settings = self.settings;
        for (number, what) in [
            (workers as u64, "worker"),
            (in_flight as u64, "task in flight"),
            (settings.tasks_per_worker.unwrap_or(1), "task for each worker"),
            (self.inner_threads.unwrap_or(1) as u64, "thread in each worker"),
            (settings.timeline.unwrap_or(1) as u64, "interval in its timeline"),
        ] {
            if number == 0 {
                return Err(Error::new(ErrorKind::Invalid, DOING)
                    .in_context(context)
                    .detail(format!("a pool needs at least one {what}"))
                    .advice("to run without processes, use `Context::Inline`"));
            }
        }
        if let Some(count) = self.inner_threads {
            limit_threads(&mut settings.specification.environment, count);
        }
        settings.captured = capture::current().map_err(|error| error.in_context(context))?;
        let inner = match context {
            Context::Inline => Inner::Inline(Box::new(Inline::new(settings))),
            _ => {
                let inherited = self.given.as_ref().map(Given::inherited);
                let started = Shared::start(context, workers, settings, inherited);
                Inner::Processes(Arc::new(started.map_err(|error| error.in_context(context))?))
            }
        };
        Ok(Pool { inner, in_flight, state: PhantomData, value: PhantomData })
    }
}

/// Sets what is not set, by the user of this process or of the builder.
fn limit_threads(environment: &mut Vec<Change>, count: usize) {
    let names = [
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "RAYON_NUM_THREADS",
    ];
    for name in names {
        let told = environment.iter().any(|change| match change {
            Change::Set(other, _) | Change::Remove(other) => other == name,
            Change::Clear => false,
        });
        if !told && std::env::var_os(name).is_none() {
            environment.push(Change::Set(name.into(), count.to_string().into()));
        }
    }
}

/// As the environment says, or as many as there are processors for us.
pub(super) fn default_workers(context: Context) -> Result<usize, Error> {
    let Some(text) = std::env::var_os("OFFSPRING_WORKERS") else {
        return Ok(Place::own().processors());
    };
    let number = text.to_str().and_then(|text| text.trim().parse::<NonZero<usize>>().ok());
    number.map(NonZero::get).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, DOING)
            .in_context(context)
            .detail(format!("OFFSPRING_WORKERS is {text:?}, which is no number above 0"))
    })
}
