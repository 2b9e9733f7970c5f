//! One object in memory that several processes write: how it is made, and how it travels.

use std::any::type_name;
use std::ops::Deref;
use std::sync::Arc;

use offspring_platform::region::Region;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::creation::refused;
use crate::codec::descriptors::{self, Carried};
use crate::error::{Error, ErrorKind};

/// What an object is. The number is in the memory itself, where the receiver checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Mutex,
    Array,
    Condvar,
    Semaphore,
    Event,
    Barrier,
    /// Atomics, by their number among the types of atomics.
    Atomics(u8),
}

impl Kind {
    fn number(self) -> u64 {
        match self {
            Self::Mutex => 1,
            Self::Array => 2,
            Self::Condvar => 3,
            Self::Semaphore => 4,
            Self::Event => 5,
            Self::Barrier => 6,
            Self::Atomics(number) => 64 + u64::from(number),
        }
    }
}

/// What an object consists of: its kind, and the layout of its elements.
fn tag<T>(kind: Kind) -> u64 {
    const {
        assert!(size_of::<T>() <= 1 << 31, "at most 2 GiB for one value");
    }
    let layout = size_of::<T>() as u64 | (u64::from(align_of::<T>().trailing_zeros()) << 32);
    // "os", so that no other memory is taken for ours.
    (0x6f73 << 48) | (kind.number() << 40) | layout
}

/// The memory of an object. Clones are the same object.
#[derive(Debug, Clone)]
pub(crate) struct Object(Arc<Region>);

impl Object {
    /// Makes one with room for `count` values, all bytes zero.
    pub(crate) fn new<T>(kind: Kind, count: usize, doing: &'static str) -> Result<Self, Error> {
        let bytes = count.checked_mul(size_of::<T>()).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, doing)
                .detail(format!("{count} times {} bytes is too much", size_of::<T>()))
        })?;
        let region = Region::new(tag::<T>(kind), bytes).map_err(|error| refused(doing, error))?;
        Ok(Self(Arc::new(region)))
    }

    pub(crate) fn serialize<T, S: Serializer>(
        &self,
        kind: Kind,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let carried: Carried = self.0.clone();
        let descriptor = descriptors::put(&carried).ok_or_else(|| {
            S::Error::custom(
                "what is in shared memory travels only in what offspring sends to another process",
            )
        })?;
        Ticket { descriptor, tag: tag::<T>(kind), bytes: self.0.bytes() as u64 }
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T, D: Deserializer<'de>>(
        kind: Kind,
        deserializer: D,
    ) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        let bytes = usize::try_from(ticket.bytes).map_err(D::Error::custom)?;
        let whole = match size_of::<T>() {
            0 => bytes == 0,
            size => bytes % size == 0,
        };
        if ticket.tag != tag::<T>(kind) || !whole {
            return Err(D::Error::custom(format!(
                "the object in shared memory is another one than {kind:?} of `{}`",
                type_name::<T>()
            )));
        }
        let fd = descriptors::take(ticket.descriptor).ok_or_else(|| {
            D::Error::custom("the descriptor of the shared memory did not arrive")
        })?;
        let region = Region::receive(fd, ticket.tag, bytes).map_err(D::Error::custom)?;
        Ok(Self(Arc::new(region)))
    }
}

impl Deref for Object {
    type Target = Region;

    fn deref(&self) -> &Region {
        &self.0
    }
}

/// What travels beside the descriptor, so that the receiver can check it.
#[derive(Serialize, Deserialize)]
struct Ticket {
    descriptor: u32,
    tag: u64,
    bytes: u64,
}
