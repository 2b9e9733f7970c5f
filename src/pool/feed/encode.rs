//! Inputs that are encoded straight into the parcel in which they will travel.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Feed, Sample};
use crate::capture::Set;
use crate::codec::{self, Encoded};
use crate::function::Name;
use crate::pool::Inner;
use crate::pool::batch::BatchId;
use crate::pool::task::{Parcel, is_same};
use crate::state::Mentions;

/// What workers have to know for an argument that was just encoded.
#[inline]
fn prepare(encoded: &mut Encoded, inner: &Inner) -> Result<Mentions, String> {
    match inner {
        Inner::Processes(shared) if !encoded.mentions.is_empty() => {
            Mentions::of(&mut encoded.mentions, shared.inherited).map_err(|error| error.to_string())
        }
        _ => Ok(Mentions::default()),
    }
}

impl<S, X, I, A, R, F> Feed<'_, S, X, I, A, R, F>
where
    I: Iterator<Item = A>,
    A: Serialize + 'static,
    R: DeserializeOwned + 'static,
{
    /// Adds a task to the parcel. Gives the message back if it does not belong there; `Err` is why it cannot be
    /// encoded.
    pub(super) fn encode_small(
        &mut self,
        batch: BatchId,
        function: Name,
        captured: Option<&Arc<Set>>,
        input: A,
    ) -> std::thread::Result<Result<Option<(Encoded, Mentions)>, String>> {
        // Where one was left out, another parcel begins: indexes in a parcel follow each other, and one worker
        // gets them.
        let next = self.taken;
        let ends = |parcel: &Parcel| {
            self.turns
                || parcel.index + parcel.count != next
                || !is_same(parcel.needs.captured.as_ref(), captured)
        };
        if self.parcel.as_ref().is_some_and(ends) {
            self.exchange(false);
        }
        let spare = &mut self.spare;
        let parcel = self.parcel.get_or_insert_with(|| {
            let captured = captured.cloned();
            Parcel::with_memory(batch, next, self.chunk, captured, std::mem::take(spare))
        });
        let (begun, into) = parcel.begin(function);
        let sample = Sample::begin(next);
        // A panic in the user's `Serialize` must not leave half a task.
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let encoded = codec::encode_into(&input, into);
            // What it mentions is to be told before the input, which may be the last to hold it, is dropped.
            let mentions = encoded
                .map_err(|error| error.to_string())
                .and_then(|()| prepare(into, &self.pool.inner));
            drop(input);
            // Of one that could not be encoded. They may be the last, too.
            into.mentions.clear();
            mentions
        }));
        if let (Some(sample), Inner::Processes(shared)) = (sample, &self.pool.inner) {
            sample.end(&shared.encoding);
        }
        match encoded {
            Ok(Ok(mentions)) => Ok(Ok(match parcel.end(begun) {
                Ok(()) => {
                    if !mentions.is_empty() {
                        parcel.needs.mentions.join(mentions);
                    }
                    None
                }
                Err(large) => Some((large, mentions)),
            })),
            Ok(Err(text)) => {
                parcel.take_back(begun);
                Ok(Err(text))
            }
            Err(panic) => {
                // What the input mentioned may be gone with this, and panic in its turn: one of them is told.
                let forget = AssertUnwindSafe(|| parcel.forget_mentions());
                if let Err(second) = catch_unwind(forget) {
                    // Its destructor may be the third.
                    std::mem::forget(second);
                }
                parcel.take_back(begun);
                Err(panic)
            }
        }
    }
}
