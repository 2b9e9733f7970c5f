//! The iterators over the results of a pool.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::feed::{Feed, Held};
use super::in_order::InOrder;
use crate::context::Context;
use crate::error::{Error, TaskError};

/// The results of [`Pool::map`](crate::Pool::map), in the order of the inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Map<'pool, S, X, I, A, R, F> {
    feed: Feed<'pool, S, X, I, A, R, F>,
    held: InOrder<Held<R>>,
}

/// The results of [`Pool::map_unordered`](crate::Pool::map_unordered), as they come.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct MapUnordered<'pool, S, X, I, A, R, F>(Enumerated<'pool, S, X, I, A, R, F>);

/// The results of [`Pool::map_unordered`](crate::Pool::map_unordered) as they come, with the indexes of their inputs.
#[must_use = "iterators are lazy: nothing runs before the first `next`"]
pub struct Enumerated<'pool, S, X, I, A, R, F> {
    feed: Feed<'pool, S, X, I, A, R, F>,
    held: VecDeque<(u64, Held<R>)>,
}

impl Context {
    /// Runs `function` on each input in a pool of its own, with the default number of workers
    /// ([`PoolBuilder::workers`](crate::PoolBuilder::workers)), and returns the results in the order of the inputs.
    ///
    /// The short form of [`PoolBuilder::build`](crate::PoolBuilder::build) and [`Pool::map`](crate::Pool::map), for functions without
    /// a state. The pool ends with the iterator.
    ///
    /// # Errors
    ///
    /// Those of [`PoolBuilder::build`](crate::PoolBuilder::build), before anything runs; then each item is a `Result`.
    ///
    /// # Panics
    ///
    /// As [`Pool::map`](crate::Pool::map).
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use offspring::Context;
    ///
    /// fn main() -> offspring::Result<()> {
    ///     offspring::init();
    ///     let mut total = 0;
    ///     for result in Context::Spawn.map(1..=10u64, |n| n * n)? {
    ///         total += result?;
    ///     }
    ///     assert_eq!(total, 385);
    ///     Ok(())
    /// }
    /// ```
    #[expect(clippy::type_complexity, reason = "the iterator names what it holds")]
    pub fn map<I, A, R, F>(
        self,
        inputs: I,
        function: F,
    ) -> Result<Map<'static, (), (), I::IntoIter, A, R, F>, Error>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(A) -> R + Copy + 'static,
    {
        Ok(self.pool().build()?.into_map(inputs.into_iter(), function))
    }
}

impl<'pool, S, X, I, A, R, F> Map<'pool, S, X, I, A, R, F> {
    fn feed(&mut self) -> &mut Feed<'pool, S, X, I, A, R, F> {
        &mut self.feed
    }

    pub(super) fn new(feed: Feed<'pool, S, X, I, A, R, F>) -> Self {
        Self { feed, held: InOrder::new() }
    }
}

impl<'pool, S, X, I, A, R, F> Enumerated<'pool, S, X, I, A, R, F> {
    fn feed(&mut self) -> &mut Feed<'pool, S, X, I, A, R, F> {
        &mut self.feed
    }
}

impl<'pool, S, X, I, A, R, F> MapUnordered<'pool, S, X, I, A, R, F> {
    fn feed(&mut self) -> &mut Feed<'pool, S, X, I, A, R, F> {
        &mut self.0.feed
    }

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
        while !self.feed.over {
            if let Some(held) = self.held.give() {
                return Some(self.feed.give(held));
            }
            let (feed, held) = (&mut self.feed, &mut self.held);
            if !feed.more(|index, one| held.keep(index, one)) {
                return None;
            }
        }
        None
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
        if self.feed.over {
            return None;
        }
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
        impl<S, X, I, A, R, F> $map<'_, S, X, I, A, R, F> {
            /// Ends with the first failure: it is the last result, tasks that have not begun never will,
            /// and the results of those that have are dropped.
            pub fn fail_fast(mut self) -> Self {
                self.feed().fail_fast = true;
                self
            }

            /// Gives the input with index *i* to the worker with index *i* modulo the number of workers, so that
            /// who runs what is the same each time: for tests, and to find out what one worker does wrong.
            ///
            /// Costs a round trip for each task, and workers wait for their turn: a slow task holds up those
            /// behind it on the same worker. A replacement has the place of the worker that it replaces. When
            /// [`Pool::resize`](crate::Pool::resize) changes the number in between, that counts from then on.
            /// Default: whoever has time. Takes the place of `chunk_size`.
            ///
            /// Nothing on Inline.
            pub fn round_robin(mut self) -> Self {
                self.feed().take_turns();
                self
            }

            /// Hands inputs to workers in groups of `count` that follow each other: a worker has the group that it works
            /// on and at most one more, whatever its pace. 1 sends as little ahead as there can be. 0 is taken for 1.
            ///
            /// Default: as many as a worker does in some 200 µs, which is rarely worth a thought. Each input is a task of its
            /// own all the same: one that fails takes none of its group with it, and what waits behind one that takes more
            /// than 5 ms goes to whoever has time. A group is at most what fits a worker's ring (128 KiB of arguments).
            ///
            /// Nothing on Inline.
            pub fn chunk_size(mut self, count: usize) -> Self {
                // More would be all there is; and such numbers are added and multiplied.
                self.feed().chunk = (count as u64).clamp(1, u32::MAX.into());
                self
            }
        }

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
