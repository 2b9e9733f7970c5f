//! Describing a pool before it is started.

use std::marker::PhantomData;
use std::num::NonZero;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::core::{Initialiser, Shared};
use super::inline::Inline;
use super::{Inner, Pool};
use crate::Context;
use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::function;

const DOING: &str = "start a pool";

/// Enough for tasks of nanoseconds on many workers; the actual number follows their pace.
const IN_FLIGHT: usize = 16 << 10;

/// How a pool shall be started. Made by [`Context::pool`].
#[derive(Debug)]
#[must_use = "nothing happens before `build`"]
pub struct PoolBuilder<S> {
    context: Context,
    workers: Option<usize>,
    in_flight: Option<usize>,
    initialiser: Result<Initialiser, Error>,
    state: PhantomData<fn() -> S>,
}

impl PoolBuilder<()> {
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            workers: None,
            in_flight: None,
            initialiser: Ok(Initialiser::default()),
            state: PhantomData,
        }
    }
}

impl<S> PoolBuilder<S> {
    /// The number of workers. Default: the environment variable `OFFSPRING_WORKERS`, or else as many as
    /// the system lets this process use processors (its affinity and cgroup quota count).
    ///
    /// On Inline each thread that uses the pool is its own only worker.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = Some(count);
        self
    }

    /// How many inputs of one `map` are taken ahead of the results that were consumed, at most. Default:
    /// 16,384.
    ///
    /// Fewer are taken while tasks take long: so many that each worker has its next task, and for tasks of
    /// microseconds some hundreds.
    pub fn in_flight(mut self, count: usize) -> Self {
        self.in_flight = Some(count);
        self
    }

    /// Makes the state of each worker: `function` runs once in each, before its first task, and what it
    /// returns is handed to the tasks as `&mut S`.
    ///
    /// The state stays in the worker, so it needs neither `Send` nor serde: it can hold a connection, an
    /// `Rc`, a library's context. The arguments are encoded once and sent to each worker, also to those
    /// that replace others.
    pub fn init<A, T, F>(self, arguments: A, function: F) -> PoolBuilder<T>
    where
        A: Serialize + DeserializeOwned + 'static,
        T: 'static,
        F: Fn(A) -> T + Copy + 'static,
    {
        let encode = || {
            let message = codec::encode(&arguments).map_err(|error| {
                Error::new(ErrorKind::EncodeArguments, DOING).detail(error.to_string())
            })?;
            let function = function::initial::<F, A, T>(function)?;
            Ok(Initialiser { function: Some(function), message: message.into() })
        };
        PoolBuilder {
            context: self.context,
            workers: self.workers,
            in_flight: self.in_flight,
            initialiser: encode(),
            state: PhantomData,
        }
    }

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
    /// * [`ErrorKind::Invalid`]: no workers, or nothing in flight.
    /// * [`ErrorKind::EncodeArguments`]: the initialiser's arguments could not be encoded.
    /// * Those of [`ProcessBuilder::start`](crate::ProcessBuilder::start), for the supervisor.
    pub fn build(self) -> Result<Pool<S>, Error> {
        let initialiser = self.initialiser.map_err(|error| error.in_context(self.context))?;
        let workers = match self.workers {
            Some(count) => count,
            None => default_workers(self.context)?,
        };
        let in_flight = self.in_flight.unwrap_or(IN_FLIGHT);
        if workers == 0 || in_flight == 0 {
            let what = if workers == 0 { "worker" } else { "task in flight" };
            return Err(Error::new(ErrorKind::Invalid, DOING)
                .in_context(self.context)
                .detail(format!("a pool needs at least one {what}"))
                .advice("to run without processes, use `Context::Inline`"));
        }
        let inner = match self.context {
            Context::Inline => Inner::Inline(Inline::new(initialiser)),
            _ => {
                Inner::Processes(Arc::new(Shared::start(self.context, workers, initialiser, None)?))
            }
        };
        Ok(Pool { inner, in_flight, state: PhantomData })
    }
}

/// As the environment says, or as many as there are processors for us.
pub(super) fn default_workers(context: Context) -> Result<usize, Error> {
    let Some(text) = std::env::var_os("OFFSPRING_WORKERS") else {
        return Ok(std::thread::available_parallelism().map_or(1, NonZero::get));
    };
    let number = text.to_str().and_then(|text| text.trim().parse::<NonZero<usize>>().ok());
    number.map(NonZero::get).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, DOING)
            .in_context(context)
            .detail(format!("OFFSPRING_WORKERS is {text:?}, which is no number above 0"))
    })
}
