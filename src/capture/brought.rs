//! What tasks bring back beside their results, and where it goes.
//!
//! On the wire: for each piece, which capture of the set it belongs to, its length, its bytes.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::Set;
use super::registry::{self, Capture};
use crate::error::{Error, ErrorKind, Phase};

/// Where what one capture brings back goes.
#[derive(Clone)]
pub(super) enum Sink {
    Nowhere,
    /// To the closure of the capture, in this process.
    Merge(Arc<Capture>),
    /// This process runs a task itself, and passes its captures on: to that task's owner.
    Relay(Arc<Relay>, u32),
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Merge(_) => "Merge",
            Self::Relay(..) => "Relay",
        })
    }
}

impl Sink {
    /// Whether the user's code runs when it is dropped.
    pub(super) fn owns_closure(&self) -> bool {
        matches!(self, Self::Merge(_))
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nowhere, Self::Nowhere) => true,
            (Self::Merge(one), Self::Merge(two)) => Arc::ptr_eq(one, two),
            (Self::Relay(one, at), Self::Relay(two, place)) => Arc::ptr_eq(one, two) && at == place,
            _ => false,
        }
    }
}

/// What the tasks of a task have brought back, on its way up. After the end of that task nobody reads it.
#[derive(Debug, Default)]
pub(super) struct Relay(Mutex<Vec<u8>>);

impl Relay {
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds a piece.
pub(super) fn add(pieces: &mut Vec<u8>, index: u32, bytes: &[u8]) {
    pieces.extend_from_slice(&u64::from(index).to_ne_bytes());
    pieces.extend_from_slice(&(bytes.len() as u64).to_ne_bytes());
    pieces.extend_from_slice(bytes);
}

/// What one task brought back.
#[derive(Debug)]
pub(crate) struct Brought {
    set: Arc<Set>,
    pieces: Vec<u8>,
}

impl Brought {
    pub(crate) fn new(set: Arc<Set>, pieces: Vec<u8>) -> Self {
        Self { set, pieces }
    }

    /// Hands it to whom it is for. Runs the user's code, which may panic; where one capture's fails, the others get what is
    /// theirs all the same, and the first failure is told.
    pub(crate) fn deliver(self) -> Result<(), Error> {
        // Whichever way this ends.
        let _gone = registry::DropsGone;
        let Self { set, pieces } = self;
        let mut rest = pieces.as_slice();
        let mut failed = None;
        while !rest.is_empty() {
            let Some((index, bytes, others)) = split(rest) else {
                let error = Error::new(ErrorKind::Protocol, super::MERGING).at(Phase::Started);
                failed.get_or_insert(Ok(Err(error)));
                break;
            };
            rest = others;
            match set.entries.get(index).map(|entry| &entry.sink) {
                Some(Sink::Merge(capture)) => {
                    let merged = catch_unwind(AssertUnwindSafe(|| capture.merge(bytes)));
                    match merged {
                        Ok(Ok(())) => {}
                        how if failed.is_none() => failed = Some(how),
                        Ok(Err(_)) => {}
                        // A payload may panic when it is dropped.
                        Err(panic) => std::mem::forget(panic),
                    }
                }
                Some(Sink::Relay(relay, index)) => {
                    add(&mut relay.0.lock().unwrap_or_else(PoisonError::into_inner), *index, bytes);
                }
                Some(Sink::Nowhere) | None => {}
            }
        }
        failed.map_or(Ok(()), |how| how.unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// The first piece, and what is behind it.
fn split(pieces: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let (index, rest) = pieces.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_ne_bytes(*length)).ok()?;
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((usize::try_from(u64::from_ne_bytes(*index)).ok()?, bytes, rest))
}
