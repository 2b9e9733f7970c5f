//! The way out of a map: outcomes are decoded, held, and given out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Feed, Sample};
use crate::capture::Brought;
use crate::codec;
use crate::error::{Error, TaskError};
use crate::pool::Inner;
use crate::pool::batch::{Large, Origin, Outcome, What};
use crate::pool::handle::unless_lost;

/// A result as it waits to be given out.
pub(in crate::pool) enum Held<R> {
    Ready(Result<R, TaskError>),
    /// Decoding it panicked, which is for the one who asks for it.
    Panicked(Box<dyn Any + Send>),
    /// The task with this index brought something back, which is merged when this is given out.
    Brought(Box<(u64, Brought, Self)>),
}

impl<S, X, I, A, R, F> Feed<'_, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    /// Decodes all outcomes that were fetched.
    pub(super) fn decode_all(&mut self, keep: &mut impl FnMut(u64, Held<R>)) {
        let mut list = std::mem::take(&mut self.outcomes.list);
        for Outcome { index, what } in list.drain(..) {
            self.arrived += 1;
            keep(index, self.open(index, what));
        }
        // Its memory, for the next.
        self.outcomes.list = list;
    }

    #[inline]
    fn open(&self, index: u64, what: What) -> Held<R> {
        match what {
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
            What::Brought(both) => self.open_brought(index, *both),
        }
    }

    #[cold]
    fn open_brought(&self, index: u64, (brought, what): (Brought, What)) -> Held<R> {
        Held::Brought(Box::new((index, brought, self.open(index, what))))
    }

    #[inline]
    fn decode(
        &self,
        index: u64,
        from: Origin,
        decode: impl FnOnce() -> Result<R, codec::CodecError>,
    ) -> Held<R> {
        let sample = Sample::begin(index);
        let decoded = catch_unwind(AssertUnwindSafe(decode));
        if let (Some(sample), Inner::Processes(shared)) = (sample, &self.pool.inner) {
            sample.end(&shared.decoding);
        }
        match decoded {
            Ok(Ok(result)) => Held::Ready(Ok(result)),
            Ok(Err(error)) => {
                let name = self.function.as_ref().map_or("?", |(_, name)| name);
                Held::Ready(Err(from.undecodable(&error, self.pool.context(), index, name)))
            }
            Err(panic) => Held::Panicked(panic),
        }
    }

    pub(in crate::pool) fn give(&mut self, held: Held<R>) -> Result<R, TaskError> {
        self.given += 1;
        match held {
            Held::Brought(both) => self.give_brought(*both),
            held => self.give_held(held),
        }
    }

    #[cold]
    fn give_brought(
        &mut self,
        (index, brought, held): (u64, Brought, Held<R>),
    ) -> Result<R, TaskError> {
        let delivered = brought.deliver();
        let context = self.pool.context();
        let name = self.function.as_ref().map_or("?", |(_, name)| name);
        let tell = |error: Error| error.in_context(context).of_task(index, name);
        let held = match held {
            Held::Ready(result) => Held::Ready(unless_lost(result, delivered, tell)),
            other => other,
        };
        self.give_held(held)
    }

    fn give_held(&mut self, held: Held<R>) -> Result<R, TaskError> {
        match held {
            // There are no two at once.
            Held::Brought(both) => self.give_held(both.2),
            Held::Ready(Err(error)) if self.fail_fast => {
                self.over = true;
                self.cancel();
                Err(error)
            }
            Held::Ready(result) => result,
            Held::Panicked(panic) => {
                self.halted = false;
                resume_unwind(panic)
            }
        }
    }
}
