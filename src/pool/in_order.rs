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
        match place.checked_sub(self.held.len()) {
            Some(missing) => {
                self.held.extend(std::iter::repeat_with(|| None).take(missing));
                self.held.push_back(Some(one));
            }
            None => self.held[place] = Some(one),
        }
    }

    /// Gives out the next, if it has come.
    pub(crate) fn give(&mut self) -> Option<T> {
        // Moved once, not first out of its place and then out of the list.
        self.held.front()?.as_ref()?;
        self.given += 1;
        self.held.pop_front()?
    }
}
