//! The iterators over the results of a pool.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{BatchId, From, Large, Outcome, Outcomes, What};
use super::inline::Task;
use super::task::{self, LARGEST, Parcel, Waiting};
use super::{Inner, Pool};
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind, Phase, TaskError};
use crate::function::Name;

/// Inputs are encoded together until they are as many, or as large, or took as long. Then they leave.
const BURST: u64 = 256;
const BURST_SIZE: usize = 16 << 10;
const BURST_TIME: Duration = Duration::from_micros(20);

/// A result as it waits to be given out.
enum Held<R> {
    Ready(Result<R, TaskError>),
    /// Decoding it panicked, which is for the one who asks for it.
    Panicked(Box<dyn Any + Send>),
}

/// What ordered and unordered maps have in common: inputs in, results out.
pub(super) struct Feed<'pool, S, X, I, A, R, F> {
    pool: &'pool Pool<S, X>,
    inputs: I,
    function: Result<(Name, &'static str), Error>,
    batch: Option<BatchId>,
    exhausted: bool,
    /// The user's code panicked, and the user was not told yet.
    halted: bool,
    /// Inputs taken so far.
    taken: u64,
    /// Outcomes that have arrived so far.
    arrived: u64,
    /// Results handed to the user so far.
    given: u64,
    /// How many more tasks the workers could take when they were asked last.
    wanted: u64,
    /// Tasks to be sent together. When the user's iterator panics, they leave with the next call.
    parcel: Option<Parcel>,
    /// Memory for the next parcel.
    spare: Vec<u8>,
    encoded: Encoded,
    outcomes: Outcomes,
    types: PhantomData<fn(F, A) -> R>,
}

impl<'pool, S, X, I, A, R, F> Feed<'pool, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    pub(super) fn new(
        pool: &'pool Pool<S, X>,
        inputs: I,
        function: Result<(Name, &'static str), Error>,
    ) -> Self {
        let name = function.as_ref().map_or("?", |(_, name)| name);
        let batch = match &pool.inner {
            Inner::Processes(shared) => Some(shared.lock().begin_map(name)),
            Inner::Inline(inline) => {
                inline.begin_map();
                None
            }
        };
        Self {
            pool,
            inputs,
            function,
            batch,
            exhausted: false,
            halted: false,
            taken: 0,
            arrived: 0,
            given: 0,
            wanted: 1,
            parcel: None,
            spare: Vec::new(),
            encoded: Encoded::default(),
            outcomes: Outcomes::default(),
            types: PhantomData,
        }
    }

    /// Gets at least one more result, unless there are none left: then false. `keep` is told of each.
    fn more(&mut self, mut keep: impl FnMut(u64, Held<R>)) -> bool {
        let before = self.arrived;
        while self.arrived == before {
            self.take_inputs();
            if self.taken == self.arrived && self.outcomes.list.is_empty() {
                if self.exhausted {
                    return false;
                }
                // Inputs are held back only while results are: the caller would have given one out.
                self.wanted = self.wanted.max(1);
                continue;
            }
            if self.outcomes.list.is_empty() {
                self.exchange(true);
            }
            self.decode_all(&mut keep);
        }
        // While the user works on these, the workers shall have something to do.
        if self.batch.is_some() {
            self.take_inputs();
        }
        true
    }

    /// How many inputs may be taken now, whether or not workers have room for them.
    fn allowed(&self) -> u64 {
        let ahead = usize::try_from(self.taken - self.given).unwrap_or(usize::MAX);
        let allowed = self.pool.in_flight.saturating_sub(ahead) as u64;
        if self.exhausted || self.halted { 0 } else { allowed }
    }

    fn room(&self) -> u64 {
        self.allowed().min(self.wanted)
    }

    /// Takes inputs while workers have room for them, and sends them.
    fn take_inputs(&mut self) {
        while self.room() > 0 && self.take_burst() {}
        if self.parcel.as_ref().is_some_and(|parcel| !parcel.is_empty()) {
            self.exchange(false);
        }
    }

    /// Takes inputs that leave together, and sends them. False if no more should be taken now.
    fn take_burst(&mut self) -> bool {
        let start = Instant::now();
        for count in 1..=self.room().min(BURST) {
            // The user's code, with no lock held: it may panic, block, or use this pool.
            let input = match catch_unwind(AssertUnwindSafe(|| self.inputs.next())) {
                Ok(Some(input)) => input,
                Ok(None) => {
                    self.exhausted = true;
                    return false;
                }
                Err(panic) => {
                    self.panicked(panic);
                    return false;
                }
            };
            self.wanted = self.wanted.saturating_sub(1);
            if !self.take(input) {
                return false;
            }
            // A look at the clock costs about as much as a small task.
            let late = (count < 16 || count % 16 == 0) && start.elapsed() > BURST_TIME;
            let large = |parcel: &Parcel| parcel.size() > BURST_SIZE;
            if late || self.parcel.as_ref().is_some_and(large) {
                break;
            }
        }
        self.exchange(false);
        true
    }

    /// Encodes an input. False if no more should be taken now.
    fn take(&mut self, mut input: A) -> bool {
        let index = self.taken;
        let (function, name) = match &self.function {
            Ok(function) => *function,
            Err(error) => {
                let error = error.again().of_task(index, "?");
                self.taken += 1;
                self.settle(index, What::Failed(error));
                return true;
            }
        };
        if let Some(batch) = self.batch {
            // Not copied into a frame first.
            let large = match codec::large_bytes(&mut input, LARGEST) {
                Some(bytes) => Some(Encoded { bytes, descriptors: Vec::new() }),
                None => match self.encode_small(batch, function, input) {
                    Ok(Ok(large)) => large,
                    Ok(Err(error)) => {
                        self.taken += 1;
                        self.settle(index, What::Failed(self.not_encoded(index, name, &error)));
                        return true;
                    }
                    Err(panic) => {
                        self.panicked(panic);
                        return false;
                    }
                },
            };
            self.taken += 1;
            if let Some(message) = large {
                let message = Arc::new(message);
                let large = task::Large { batch, index, function, message };
                self.send(Some(Waiting::Large(large)), false);
            }
            return true;
        }
        let message = match catch_unwind(AssertUnwindSafe(|| codec::encode_owned(input))) {
            Ok(message) => message,
            Err(panic) => {
                self.panicked(panic);
                return false;
            }
        };
        self.taken += 1;
        let what = match (&self.pool.inner, message) {
            (Inner::Inline(inline), Ok(message)) => {
                inline.run(&Task { index, function, name, message: &message })
            }
            (_, Err(error)) => What::Failed(self.not_encoded(index, name, &error)),
            (Inner::Processes(_), Ok(_)) => return true,
        };
        self.settle(index, what);
        // One at a time: nothing runs ahead in the same thread.
        self.wanted = 1;
        false
    }

    fn not_encoded(&self, index: u64, name: &str, error: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::EncodeArguments, "run a task")
            .in_context(self.pool.context())
            .of_task(index, name)
            .detail(error.to_string())
    }

    /// The panic takes the place of a result, and no more inputs are taken until it was given out.
    fn panicked(&mut self, panic: Box<dyn Any + Send>) {
        self.halted = true;
        self.settle(self.taken, What::Panicked(panic));
        self.taken += 1;
    }

    fn settle(&mut self, index: u64, what: What) {
        self.outcomes.list.push_back(Outcome { index, what });
    }

    /// Adds a task to the parcel. Gives the message back if it does not belong there.
    fn encode_small(
        &mut self,
        batch: BatchId,
        function: Name,
        input: A,
    ) -> std::thread::Result<Result<Option<Encoded>, codec::CodecError>> {
        // Where one was left out, another parcel begins: indexes in a parcel follow each other.
        let next = self.taken;
        if self.parcel.as_ref().is_some_and(|parcel| parcel.index + parcel.count != next) {
            self.exchange(false);
        }
        let spare = &mut self.spare;
        let parcel = self
            .parcel
            .get_or_insert_with(|| Parcel::with_memory(batch, next, std::mem::take(spare)));
        let begun = parcel.begin(function, &mut self.encoded);
        // A panic in the user's `Serialize` must not leave half a task.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let encoded = codec::encode_into(&input, &mut self.encoded);
            drop(input);
            encoded
        }));
        if let Ok(Ok(())) = encoded {
            return Ok(Ok(parcel.end(begun, &mut self.encoded).err()));
        }
        parcel.take_back(begun, &mut self.encoded);
        encoded.map(|encoded| encoded.map(|()| None))
    }

    /// Sends what was encoded, and fetches outcomes; waits for some if `wait`.
    fn exchange(&mut self, wait: bool) {
        self.send(None, wait);
    }

    fn send(&mut self, large: Option<Waiting>, wait: bool) {
        let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch) else {
            return;
        };
        let mut parcel = self.parcel.take();
        if parcel.as_ref().is_some_and(Parcel::is_empty) {
            self.spare = parcel.take().map(Parcel::into_memory).unwrap_or_default();
        }
        let tasks = parcel.map(Waiting::Parcel).into_iter().chain(large);
        if self.outcomes.list.is_empty() {
            let hungry = self.allowed() > 0;
            let outcomes = &mut self.outcomes;
            self.wanted = shared.exchange(batch, tasks, outcomes, wait, hungry);
        } else {
            // What was fetched before is still to be decoded.
            self.wanted = shared.add(tasks);
        }
    }

    /// Decodes all outcomes that were fetched.
    fn decode_all(&mut self, keep: &mut impl FnMut(u64, Held<R>)) {
        while let Some(Outcome { index, what }) = self.outcomes.list.pop_front() {
            self.arrived += 1;
            let held = match what {
                What::Failed(error) => Held::Ready(Err(TaskError::new(error))),
                What::Panicked(panic) => Held::Panicked(panic),
                What::Done { start, length, from } => {
                    let bytes = &self.outcomes.bytes[start..start + length];
                    self.decode(index, from, || codec::decode(bytes.into(), Vec::new()))
                }
                What::Large(large) => {
                    let Large { bytes, descriptors, from } = *large;
                    self.decode(index, from, || codec::decode(bytes.into(), descriptors))
                }
            };
            keep(index, held);
        }
    }

    #[inline]
    fn decode(
        &self,
        index: u64,
        from: From,
        decode: impl FnOnce() -> Result<R, codec::CodecError>,
    ) -> Held<R> {
        match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(Ok(result)) => Held::Ready(Ok(result)),
            Ok(Err(error)) => {
                let name = self.function.as_ref().map_or("?", |(_, name)| name);
                Held::Ready(Err(TaskError::new(
                    Error::new(ErrorKind::DecodeResult, "run a task")
                        .at(Phase::Started)
                        .in_context(self.pool.context())
                        .of_worker(from.worker)
                        .of_process(from.pid)
                        .of_task(index, name)
                        .detail(error.to_string()),
                )))
            }
            Err(panic) => Held::Panicked(panic),
        }
    }

    fn give(&mut self, held: Held<R>) -> Result<R, TaskError> {
        self.given += 1;
        match held {
            Held::Ready(result) => result,
            Held::Panicked(panic) => {
                self.halted = false;
                resume_unwind(panic)
            }
        }
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

impl<S, X, I, A, R, F> Drop for Feed<'_, S, X, I, A, R, F> {
    fn drop(&mut self) {
        if let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch) {
            shared.lock().close_batch(batch);
        }
    }
}

/// The results of [`Pool::map`], in the order of the inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Map<'pool, S, X, I, A, R, F> {
    feed: Feed<'pool, S, X, I, A, R, F>,
    /// Results from the next to be given on; `None` for those that have not come.
    held: VecDeque<Option<Held<R>>>,
}

/// The results of [`Pool::map_unordered`], as they come.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct MapUnordered<'pool, S, X, I, A, R, F>(Enumerated<'pool, S, X, I, A, R, F>);

/// The results of [`Pool::map_unordered`] as they come, with the indexes of their inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Enumerated<'pool, S, X, I, A, R, F> {
    feed: Feed<'pool, S, X, I, A, R, F>,
    held: VecDeque<(u64, Held<R>)>,
}

impl<'pool, S, X, I, A, R, F> Map<'pool, S, X, I, A, R, F> {
    pub(super) fn new(feed: Feed<'pool, S, X, I, A, R, F>) -> Self {
        Self { feed, held: VecDeque::new() }
    }
}

impl<'pool, S, X, I, A, R, F> MapUnordered<'pool, S, X, I, A, R, F> {
    pub(super) fn new(feed: Feed<'pool, S, X, I, A, R, F>) -> Self {
        Self(Enumerated { feed, held: VecDeque::new() })
    }

    /// Gives the index of the input with each result.
    pub fn enumerated(self) -> Enumerated<'pool, S, X, I, A, R, F> {
        self.0
    }
}

impl<S, X, I, A, R, F> Iterator for Map<'_, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(Some(_)) = self.held.front() {
                let held = self.held.pop_front().flatten()?;
                return Some(self.feed.give(held));
            }
            let (feed, early) = (&mut self.feed, &mut self.held);
            let turn = feed.given;
            let more = feed.more(|index, held| {
                let place = usize::try_from(index - turn).unwrap_or(usize::MAX);
                if place >= early.len() {
                    early.resize_with(place + 1, || None);
                }
                early[place] = Some(held);
            });
            if !more {
                return None;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

impl<S, X, I, A, R, F> Iterator for Enumerated<'_, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    type Item = (u64, Result<R, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.held.is_empty() {
            let (feed, held) = (&mut self.feed, &mut self.held);
            feed.more(|index, result| held.push_back((index, result)));
        }
        let (index, held) = self.held.pop_front()?;
        Some((index, self.feed.give(held)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint()
    }
}

impl<S, X, I, A, R, F> Iterator for MapUnordered<'_, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(_, result)| result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

macro_rules! same_for_all {
    ($($map:ident),*) => {$(
        impl<S, X, I, A, R, F> ExactSizeIterator for $map<'_, S, X, I, A, R, F>
        where
            I: ExactSizeIterator<Item = A>,
            A: Serialize + 'static,
            R: DeserializeOwned + 'static,
        {
        }

        impl<S, X, I, A, R, F> FusedIterator for $map<'_, S, X, I, A, R, F>
        where
            I: Iterator<Item = A>,
            A: Serialize + 'static,
            R: DeserializeOwned + 'static,
        {
        }

        impl<S, X, I, A, R, F> fmt::Debug for $map<'_, S, X, I, A, R, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($map)).finish_non_exhaustive()
            }
        }
    )*};
}

same_for_all!(Map, MapUnordered, Enumerated);
