//! What all maps have in common: inputs go in, encoded; outcomes come out.

mod answers;
mod encode;

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{BatchId, Outcome, Outcomes, What};
use super::inline::Task;
use super::task::{self, LARGEST, Needs, Parcel, Waiting};
use super::{Inner, Pool};
use crate::capture;
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::state::Mentions;

pub(super) use answers::Held;

/// Inputs are encoded together until they are as many, or as large, or took as long. Then they leave.
const BURST: u64 = 256;
const BURST_SIZE: usize = 16 << 10;
const BURST_TIME: Duration = Duration::from_micros(20);

/// One in so many is timed: looking at the clock costs about as much as encoding a number.
const SAMPLE: u64 = 64;

/// One of many that is timed. It stands for itself and those that follow until the next that is.
struct Sample {
    since: Instant,
    stands_for: u64,
}

impl Sample {
    /// If the one with this index is timed. Of the first, more are: else there would be one for a short map, and
    /// that would stand for as many as there may not be.
    #[inline]
    fn begin(index: u64) -> Option<Self> {
        (index % SAMPLE == 0 || index.is_power_of_two())
            .then(|| Self { since: Instant::now(), stands_for: index.clamp(1, SAMPLE) })
    }

    fn end(self, sum: &AtomicU64) {
        let took = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        sum.fetch_add(took.saturating_mul(self.stands_for), Ordering::Relaxed);
    }
}

/// The pool of a map: the user's, or one of its own.
pub(super) enum Lender<'pool, S, X> {
    Borrowed(&'pool Pool<S, X>),
    Owned(Box<Pool<S, X>>),
}

impl<S, X> std::ops::Deref for Lender<'_, S, X> {
    type Target = Pool<S, X>;

    fn deref(&self) -> &Pool<S, X> {
        match self {
            Self::Borrowed(pool) => pool,
            Self::Owned(pool) => pool,
        }
    }
}

/// What ordered and unordered maps have in common: inputs in, results out.
pub(super) struct Feed<'pool, S, X, I, A, R, F> {
    pool: Lender<'pool, S, X>,
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
    pub(super) given: u64,
    /// The first failure ends it.
    pub(super) fail_fast: bool,
    /// It has ended early.
    pub(super) over: bool,
    /// So many inputs that follow each other go to one worker; 0: as many as fit its pace.
    pub(super) chunk: u64,
    /// Each input is for one certain worker.
    turns: bool,
    /// How many more tasks the workers could take when they were asked last.
    wanted: u64,
    /// Tasks to be sent together. When the user's iterator panics, they leave with the next call.
    parcel: Option<Parcel>,
    /// Memory for the next parcel.
    spare: Vec<u8>,
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
        pool: Lender<'pool, S, X>,
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
            fail_fast: false,
            over: false,
            chunk: 0,
            turns: false,
            wanted: 1,
            parcel: None,
            spare: Vec::new(),
            outcomes: Outcomes::default(),
            types: PhantomData,
        }
    }

    /// Gets at least one more result, unless there are none left: then false. `keep` is told of each.
    pub(super) fn more(&mut self, mut keep: impl FnMut(u64, Held<R>)) -> bool {
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
        // Whole chunks, so that a worker gets one together.
        self.allowed().min(self.wanted.next_multiple_of(self.chunk.max(1)))
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
        let chunk = self.chunk.max(1);
        for count in 1..=self.room().min(BURST.max(chunk)) {
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
            let whole = chunk == 1 || count % chunk == 0;
            let chunks = count / chunk;
            let look = whole && (chunks < 16 || chunks % 16 == 0);
            let late = look && start.elapsed() > BURST_TIME;
            let large = |parcel: &Parcel| parcel.size() > BURST_SIZE;
            if whole && (late || self.parcel.as_ref().is_some_and(large)) {
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
        let current = match capture::is_used() {
            true => catch_unwind(AssertUnwindSafe(capture::current)),
            false => Ok(Ok(None)),
        };
        let captured = match current {
            Ok(Ok(captured)) => captured,
            Ok(Err(error)) => {
                let error = error.in_context(self.pool.context()).of_task(index, name);
                self.taken += 1;
                self.settle(index, What::Failed(error));
                return true;
            }
            Err(panic) => {
                self.panicked(panic);
                return false;
            }
        };
        if let Some(batch) = self.batch {
            // Not copied into a frame first.
            let large = match codec::large_bytes(&mut input, LARGEST) {
                Some(bytes) => Some((Encoded { bytes, ..Encoded::default() }, Mentions::default())),
                None => match self.encode_small(batch, function, captured.as_ref(), input) {
                    Ok(Ok(large)) => large,
                    Ok(Err(text)) => {
                        self.taken += 1;
                        self.settle(index, What::Failed(self.not_encoded(index, name, &text)));
                        return true;
                    }
                    Err(panic) => {
                        self.panicked(panic);
                        return false;
                    }
                },
            };
            self.taken += 1;
            if let Some((message, mentions)) = large {
                let message = Arc::new(message);
                let needs = Needs { mentions, captured };
                let large = task::Large::new(batch, index, function, message, needs);
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
                let captured = captured.as_ref();
                inline.run(&Task { index, function, name, message: &message, captured })
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
        self.outcomes.list.push(Outcome { index, what });
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
            let (outcomes, chunk) = (&mut self.outcomes, self.chunk);
            self.wanted = shared.exchange(batch, tasks, outcomes, wait, hungry, chunk);
        } else {
            // What was fetched before is still to be decoded.
            self.wanted = shared.add(tasks, self.chunk);
        }
    }

    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        if self.over {
            return (0, Some(0));
        }
        let under_way = usize::try_from(self.taken - self.given).unwrap_or(usize::MAX);
        if self.exhausted {
            return (under_way, Some(under_way));
        }
        let (least, most) = self.inputs.size_hint();
        let add = |count: usize| count.checked_add(under_way);
        (add(least).unwrap_or(usize::MAX), most.and_then(add))
    }
}

impl<S, X, I, A, R, F> Feed<'_, S, X, I, A, R, F> {
    /// From here on, the workers take turns.
    pub(super) fn take_turns(&mut self) {
        if let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch) {
            self.turns = true;
            shared.lock().batches.take_turns(batch);
        }
    }

    /// What has not begun will not; what runs is let finish.
    fn cancel(&mut self) {
        if let (Inner::Processes(shared), Some(batch)) = (&self.pool.inner, self.batch.take()) {
            let mut core = shared.lock();
            core.close_batch(batch);
            core.wake_driver();
            shared.release(core);
        }
    }
}

impl<S, X, I, A, R, F> Drop for Feed<'_, S, X, I, A, R, F> {
    fn drop(&mut self) {
        self.cancel();
    }
}
