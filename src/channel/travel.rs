//! How an end of a channel goes to another process: duplicates of its descriptors.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use offspring_platform::fd::{PrivateFd, duplicate};
use serde::{de, ser};

use crate::codec::descriptors::{self, Carried};

/// A duplicate of an end on its way. Children by fork close theirs, as they do with ends.
struct Travelling(PrivateFd);

impl AsFd for Travelling {
    /// # Panics
    ///
    /// In a forked child, where nobody has it: what a child is sent is duplicated first.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.borrow().unwrap_or_else(|error| panic!("a message of the parent: {error}"))
    }
}

/// Adds a duplicate of the socket of an end to the value that is being encoded.
pub(crate) fn put_end<E: ser::Error>(socket: &PrivateFd) -> Result<u32, E> {
    let socket = socket.borrow().and_then(duplicate).and_then(PrivateFd::capturable);
    put(&(Arc::new(Travelling(socket.map_err(E::custom)?)) as Carried))
}

/// Adds a descriptor to the value that is being encoded.
pub(crate) fn put<E: ser::Error>(carried: &Carried) -> Result<u32, E> {
    descriptors::put(carried).ok_or_else(|| {
        E::custom("the end of a channel travels only in what offspring sends to another process")
    })
}

/// Takes a descriptor out of the value that is being decoded.
pub(crate) fn take<E: de::Error>(index: u32) -> Result<OwnedFd, E> {
    descriptors::take(index).ok_or_else(|| {
        E::custom(
            "a descriptor of the end of a channel did not arrive; is there room for it (`ulimit -n`)?",
        )
    })
}
