//! The iterator over results of inherited items.

use std::fmt;
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use crate::error::TaskError;
use crate::pool::{InOrder, Indexed, Landed};

/// The results of [`fork::map`](fn@super::map), in the order of the items.
///
/// Each item has exactly one: what the closure returned, or why there is nothing. A result is decoded in
/// this process; if that panics, so does `next`, in its turn.
#[must_use = "the workers wait for the first `next`, and end when this is dropped"]
pub struct Map<R> {
    tasks: Indexed,
    held: InOrder<Landed<R>>,
}

impl<R> Map<R> {
    pub(super) fn new(tasks: Indexed) -> Self {
        Self { tasks, held: InOrder::new() }
    }
}

impl<R: DeserializeOwned + 'static> Iterator for Map<R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.held.given() < self.tasks.count() {
            if let Some(landed) = self.held.give() {
                return Some(landed.give());
            }
            let (given, held) = (self.held.given(), &mut self.held);
            self.tasks.more(given, |index, landed| held.keep(index, landed));
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.tasks.count() - self.held.given()).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl<R: DeserializeOwned + 'static> ExactSizeIterator for Map<R> {}

impl<R: DeserializeOwned + 'static> FusedIterator for Map<R> {}

impl<R> fmt::Debug for Map<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").finish_non_exhaustive()
    }
}
