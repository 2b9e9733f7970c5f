//! What a worker has besides its tasks: the globals, shared objects and captures that it was given.

use super::worker::Worker;

/// Something that a worker has from its parent, besides its tasks. Part of a
/// [`WorkerReport`](crate::WorkerReport).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// What errors call it: type and place of a [`Global`](crate::Global), number or name, and type, of a
    /// [`Shared`](crate::Shared), name of a [`capture`](fn@crate::capture).
    pub name: String,
    /// The size of what was encoded for it: its specification, or what was captured. 0 where nothing was.
    pub bytes: u64,
    /// How it came there.
    pub source: Source,
}

/// How a worker got what it has. Part of [`Restored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The object was there when the worker was forked from its parent, or from the template of its pool.
    Inherited,
    /// It was sent what it needs. An object is made from that when a task asks for it.
    Sent,
}

impl Worker {
    /// What it has now: globals, shared objects, and what was captured last.
    pub(super) fn restored(&self) -> Vec<Restored> {
        let sized = |bytes: usize| bytes as u64;
        let state = self.known.items().map(|(recipe, bytes, inherited)| Restored {
            name: recipe.title(),
            bytes: sized(bytes),
            source: if inherited { Source::Inherited } else { Source::Sent },
        });
        let captures = self.captured.iter().map(|(name, bytes)| Restored {
            name: format!("the capture `{name}`"),
            bytes: sized(*bytes),
            source: Source::Sent,
        });
        state.chain(captures).collect()
    }
}
