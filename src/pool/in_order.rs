//! What comes in any order, and is given out in that of its indexes.

use std::collections::VecDeque;

/// See the head of the file.
pub(crate) struct InOrder<T> {
    given: u64,
    /// From the next to be given out on; `None` for those that have not come.
    held: VecDeque<Option<T>>,
}

impl<T> InOrder<T> {
    pub(crate) fn new() -> Self {
        Self { given: 0, held: VecDeque::new() }
    }

    /// How many were given out.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Keeps what has come, of which no index comes twice.
    pub(crate) fn keep(&mut self, index: u64, one: T) {
        let place = usize::try_from(index - self.given).unwrap_or(usize::MAX);
        if place >= self.held.len() {
            self.held.resize_with(place + 1, || None);
        }
        self.held[place] = Some(one);
    }

    /// Gives out the next, if it has come.
    pub(crate) fn give(&mut self) -> Option<T> {
        let next = self.held.front_mut()?.take()?;
        self.held.pop_front();
        self.given += 1;
        Some(next)
    }
}
