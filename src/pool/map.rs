//! The iterators over the results of a pool.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::task::{Outcome, Task};
use super::{Inner, Pool};
use crate::codec;
use crate::error::{Error, ErrorKind, Phase, TaskError};
use crate::function::Name;

/// How many inputs are taken at once, while there is room: they leave in one system call.
const BURST: usize = 16;

/// What ordered and unordered maps have in common: inputs in, outcomes out.
pub(super) struct Feed<'pool, S, I, A, R, F> {
    pool: &'pool Pool<S>,
    inputs: I,
    function: Result<(Name, &'static str), Error>,
    batch: Option<u64>,
    exhausted: bool,
    /// Inputs taken so far.
    taken: u64,
    /// Outcomes handed to the user so far.
    given: u64,
    /// Outcomes that were fetched and not handed out.
    fetched: VecDeque<(u64, Outcome)>,
    /// Tasks to be sent together. When the user's iterator panics, they leave with the next call.
    burst: Vec<Task>,
    types: PhantomData<fn(F, A) -> R>,
}

impl<'pool, S, I, A, R, F> Feed<'pool, S, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize,
    R: DeserializeOwned,
{
    pub(super) fn new(
        pool: &'pool Pool<S>,
        inputs: I,
        function: Result<(Name, &'static str), Error>,
    ) -> Self {
        let batch = match &pool.inner {
            Inner::Processes(shared) => Some(shared.lock().open_batch()),
            Inner::Inline(_) => None,
        };
        Self {
            pool,
            inputs,
            function,
            batch,
            exhausted: false,
            taken: 0,
            given: 0,
            fetched: VecDeque::new(),
            burst: Vec::new(),
            types: PhantomData,
        }
    }

    /// The next outcome to arrive, and its input's index. `held` are those that the caller keeps back.
    fn next(&mut self, held: usize) -> Option<(u64, Outcome)> {
        loop {
            if let Some(next) = self.fetched.pop_front() {
                return Some(next);
            }
            self.take_inputs();
            let under_way = self.taken - self.given - held as u64;
            if under_way == 0 && self.exhausted {
                return None;
            }
            self.fetch();
        }
    }

    /// Takes inputs while there is room for them, and sends them.
    fn take_inputs(&mut self) {
        let room = self.pool.in_flight - usize::try_from(self.taken - self.given).unwrap_or(0);
        if self.exhausted || room == 0 {
            return self.send_burst();
        }
        for _ in 0..room {
            // The user's code, with no lock held: it may panic, block, or use this pool.
            let Some(input) = self.inputs.next() else {
                self.exhausted = true;
                break;
            };
            let index = self.taken;
            let message = codec::encode(&input);
            drop(input);
            self.taken += 1;
            let task = match (&self.function, message) {
                (Ok((function, name)), Ok(message)) => Task {
                    batch: self.batch.unwrap_or(0),
                    index,
                    function: *function,
                    name,
                    message: Arc::new(message),
                },
                (Err(error), _) => {
                    let error = error.again().of_task(index, "?");
                    self.fetched.push_back((index, Outcome::Failed(error)));
                    continue;
                }
                (Ok((_, name)), Err(error)) => {
                    let error = Error::new(ErrorKind::EncodeArguments, "run a task")
                        .in_context(self.pool.context())
                        .of_task(index, name)
                        .detail(error.to_string());
                    self.fetched.push_back((index, Outcome::Failed(error)));
                    continue;
                }
            };
            match &self.pool.inner {
                Inner::Processes(_) => {
                    self.burst.push(task);
                    if self.burst.len() >= BURST {
                        self.send_burst();
                    }
                }
                Inner::Inline(inline) => {
                    let outcome = inline.run(&task);
                    self.fetched.push_back((index, outcome));
                    // One at a time: nothing runs ahead in the same thread.
                    return;
                }
            }
        }
        self.send_burst();
    }

    fn send_burst(&mut self) {
        if let Inner::Processes(shared) = &self.pool.inner {
            if !self.burst.is_empty() {
                shared.add(self.burst.drain(..));
            }
        }
    }

    /// Waits for outcomes of this map.
    fn fetch(&mut self) {
        let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch) else {
            return;
        };
        if !self.fetched.is_empty() {
            return;
        }
        let mut core = shared.lock();
        loop {
            match core.outcomes.get_mut(&batch) {
                Some(outcomes) if !outcomes.is_empty() => {
                    self.fetched.append(outcomes);
                    return;
                }
                _ => core = shared.wait(core),
            }
        }
    }

    /// The next result to arrive, and its input's index.
    fn give(&mut self) -> Option<(u64, Result<R, TaskError>)> {
        let (index, outcome) = self.next(0)?;
        self.given += 1;
        Some((index, self.decode(index, outcome)))
    }

    fn decode(&self, index: u64, outcome: Outcome) -> Result<R, TaskError> {
        let (bytes, descriptors, worker, pid) = match outcome {
            Outcome::Done { bytes, descriptors, worker, pid } => (bytes, descriptors, worker, pid),
            Outcome::Failed(error) => return Err(TaskError::new(error)),
        };
        codec::decode(&bytes, descriptors).map_err(|error| {
            let name = self.function.as_ref().map_or("?", |(_, name)| name);
            TaskError::new(
                Error::new(ErrorKind::DecodeResult, "run a task")
                    .at(Phase::Started)
                    .in_context(self.pool.context())
                    .of_worker(worker)
                    .of_process(pid)
                    .of_task(index, name)
                    .detail(error.to_string()),
            )
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let under_way = usize::try_from(self.taken - self.given).unwrap_or(usize::MAX);
        if self.exhausted {
            return (under_way, Some(under_way));
        }
        let (least, most) = self.inputs.size_hint();
        let add = |count: usize| count.checked_add(under_way);
        (add(least).unwrap_or(usize::MAX), most.and_then(add))
    }
}

impl<S, I, A, R, F> Drop for Feed<'_, S, I, A, R, F> {
    fn drop(&mut self) {
        if let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch) {
            shared.lock().close_batch(batch);
        }
    }
}

/// The results of [`Pool::map`], in the order of the inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Map<'pool, S, I, A, R, F> {
    feed: Feed<'pool, S, I, A, R, F>,
    /// Outcomes that came before their turn.
    early: BTreeMap<u64, Outcome>,
}

/// The results of [`Pool::map_unordered`], as they come.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct MapUnordered<'pool, S, I, A, R, F> {
    feed: Feed<'pool, S, I, A, R, F>,
}

/// The results of [`Pool::map_unordered`] as they come, with the indexes of their inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Enumerated<'pool, S, I, A, R, F> {
    feed: Feed<'pool, S, I, A, R, F>,
}

impl<'pool, S, I, A, R, F> Map<'pool, S, I, A, R, F> {
    pub(super) fn new(feed: Feed<'pool, S, I, A, R, F>) -> Self {
        Self { feed, early: BTreeMap::new() }
    }
}

impl<'pool, S, I, A, R, F> MapUnordered<'pool, S, I, A, R, F> {
    pub(super) fn new(feed: Feed<'pool, S, I, A, R, F>) -> Self {
        Self { feed }
    }

    /// Gives the index of the input with each result.
    pub fn enumerated(self) -> Enumerated<'pool, S, I, A, R, F> {
        Enumerated { feed: self.feed }
    }
}

impl<S, I, A, R, F> Iterator for Map<'_, S, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize,
    R: DeserializeOwned,
{
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let turn = self.feed.given;
        let outcome = loop {
            if let Some(outcome) = self.early.remove(&turn) {
                break outcome;
            }
            let (index, outcome) = self.feed.next(self.early.len())?;
            self.early.insert(index, outcome);
        };
        self.feed.given += 1;
        Some(self.feed.decode(turn, outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

impl<S, I, A, R, F> Iterator for MapUnordered<'_, S, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize,
    R: DeserializeOwned,
{
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.feed.give().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

impl<S, I, A, R, F> Iterator for Enumerated<'_, S, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize,
    R: DeserializeOwned,
{
    type Item = (u64, Result<R, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.feed.give()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

macro_rules! same_for_all {
    ($($map:ident),*) => {$(
        impl<S, I, A, R, F> ExactSizeIterator for $map<'_, S, I, A, R, F>
        where
            I: ExactSizeIterator<Item = A>,
            A: Serialize,
            R: DeserializeOwned,
        {
        }

        impl<S, I, A, R, F> FusedIterator for $map<'_, S, I, A, R, F>
        where
            I: Iterator<Item = A>,
            A: Serialize,
            R: DeserializeOwned,
        {
        }

        impl<S, I, A, R, F> fmt::Debug for $map<'_, S, I, A, R, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($map))
                    .field("taken", &self.feed.taken)
                    .field("given", &self.feed.given)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

same_for_all!(Map, MapUnordered, Enumerated);
