//! How an end of a channel goes to another process: duplicates of its descriptors.

use std::os::fd::{AsFd, OwnedFd};

use offspring_platform::fd::{PrivateFd, duplicate};
use offspring_platform::socket;
use serde::{de, ser};

use crate::codec::descriptors::{self, Carried};

/// Adds a duplicate of the socket of an end to the value that is being encoded.
pub(crate) fn put_end<E: ser::Error>(socket: &PrivateFd) -> Result<u32, E> {
    let socket = socket.borrow().and_then(duplicate).and_then(descriptors::travelling);
    put(&socket.map_err(E::custom)?)
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

/// Takes the socket of an end out of the value that is being decoded.
pub(crate) fn take_end<E: de::Error>(index: u32) -> Result<OwnedFd, E> {
    let socket = take(index)?;
    socket::verify(socket.as_fd()).map_err(E::custom)?;
    Ok(socket)
}
