//! Parts of a table that several processes fill at the same time.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytemuck::Pod;
use offspring_platform::shared::{Lent, Part, Wishes};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SharedSlice;
use super::creation::refused;
use super::memory::{check_layout, small};
use super::slice_mut::{elements_mut, frozen, not_frozen};
use crate::codec::descriptors;
use crate::error::{Error, ErrorKind};

/// How long `freeze` waits for messages that nobody needs any more.
const GRACE: Duration = Duration::from_secs(1);

/// A table whose parts were given out, from [`SharedSliceMut::split`](crate::SharedSliceMut::split).
///
/// A part is *held* while a [`SharedPart`] of it exists in any process or is on its way to one. It is held
/// no more when it was dropped, when the process that had it has ended in whatever way, or when the message
/// that carried it was thrown away. The kernel keeps the count, so a worker that is killed loses its part
/// and holds up nothing.
///
/// What a lost part had in it is what was written until then.
pub struct LentSlice<T> {
    lent: Lent,
    wishes: Wishes,
    elements: PhantomData<[T]>,
}

impl<T: Pod> LentSlice<T> {
    pub(super) fn new(lent: Lent, wishes: Wishes) -> Self {
        Self { lent, wishes, elements: PhantomData }
    }

    /// Makes the table read-only, for all processes, for ever. Afterwards this is of no use.
    ///
    /// To be called when those who fill it are done. A part may still be held then for a moment, in a message
    /// that a worker has not thrown away yet; that is waited for, for one second.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] while a part is held: wait for those who fill it, then call again.
    /// [`ErrorKind::Closed`] after it was frozen. [`ErrorKind::System`] when the system refuses, as without a
    /// descriptor or room in the address space left: free some, then call again. The table may be read-only
    /// then already.
    ///
    /// # Platform notes
    ///
    /// * Linux: the kernel itself refuses as long as anybody can write. And a part that arrives after the
    ///   table was frozen is an error there, and never a second truth.
    pub fn freeze(&mut self) -> Result<SharedSlice<T>, Error> {
        self.freeze_timeout(GRACE)
    }

    /// The same, but waits for so long until nobody holds a part.
    ///
    /// # Errors
    ///
    /// As [`LentSlice::freeze`].
    pub fn freeze_timeout(&mut self, limit: Duration) -> Result<SharedSlice<T>, Error> {
        self.lent.wait(limit).map_err(not_frozen)?;
        let sealed = self.lent.freeze().map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => closed(super::slice_mut::FREEZING, &error),
            _ => not_frozen(error),
        })?;
        Ok(frozen(sealed, self.wishes))
    }

    /// The elements of the first part that is held; `None` when all are back or lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] in a forked child of the process that split the table.
    pub fn first_held(&self) -> Result<Option<Range<usize>>, Error> {
        let held = self.lent.first_held().map_err(|error| refused("look for parts", error))?;
        Ok(held.map(places::<T>))
    }

    /// New parts for all places whose part nobody holds any more: because it was lost with a worker, or
    /// because it is to be filled once more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] after it was frozen, also if only its memory was and [`freeze`](Self::freeze) is to
    /// be called again; [`ErrorKind::System`] when no descriptor or no room in the address space is left.
    pub fn reclaim(&mut self) -> Result<Vec<SharedPart<T>>, Error> {
        const DOING: &str = "take back parts of a table";
        let parts = self.lent.reclaim().map_err(|error| unusable(DOING, error))?;
        Ok(parts.into_iter().map(SharedPart::new).collect())
    }

    /// All elements, when no part is held.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] while a part is held; [`ErrorKind::Closed`] after the table was frozen, also if only
    /// its memory was and [`freeze`](Self::freeze) is to be called again; [`ErrorKind::System`] when it could not
    /// be frozen, and there is no room in the address space to write to it again.
    pub fn as_mut_slice(&mut self) -> Result<&mut [T], Error> {
        const DOING: &str = "write to a table";
        match self.lent.bytes_mut() {
            Ok(Some(bytes)) => Ok(elements_mut(bytes)),
            Ok(None) => Err(Error::new(ErrorKind::Busy, DOING)
                .detail("somebody has a part of it")
                .advice("wait for the tasks that fill it, and drop the parts that came back")),
            Err(error) => Err(unusable(DOING, error)),
        }
    }
}

fn unusable(doing: &'static str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidInput => closed(doing, &error),
        _ => refused(doing, error),
    }
}

fn closed(doing: &'static str, why: &std::io::Error) -> Error {
    Error::new(ErrorKind::Closed, doing).detail(why.to_string())
}

/// Elements instead of bytes.
fn places<T>(bytes: Range<usize>) -> Range<usize> {
    let size = size_of::<T>().max(1);
    bytes.start / size..bytes.end / size
}

impl<T> fmt::Debug for LentSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LentSlice<{}>", type_name::<T>())
    }
}

/// A part of a table that is being filled: exactly one process has it, and nobody else reaches its elements.
///
/// It travels in arguments and results, on every context. Sending it gives it away. A message that reaches
/// several processes (`broadcast`, `init`, the second try of `retries`) gives it to the first of them, and
/// is an error in the others. Drop it, or return it, when it is filled. One in a message that comes back
/// ([`SendError`](crate::channel::SendError)) is here as before.
///
/// # Examples
///
/// See [`SharedSliceMut::split`](crate::SharedSliceMut::split).
#[must_use = "a part that is dropped can be reclaimed, and is filled by nobody until then"]
pub struct SharedPart<T> {
    part: Part,
    elements: PhantomData<[T]>,
}

impl<T: Pod> SharedPart<T> {
    pub(super) fn new(part: Part) -> Self {
        Self { part, elements: PhantomData }
    }

    /// The elements. There is no way to read them that does not exclude all others, since the part can be
    /// sent through a shared reference to it.
    ///
    /// # Panics
    ///
    /// After it was sent to another process that took it (possible when it lies in an `Rc` or the like), and in
    /// a forked child of the process that has it. What is on its way still is taken back, and is an error for
    /// who receives it.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self.part.bytes_mut() {
            Some(bytes) => elements_mut(bytes),
            None => {
                panic!("this part of a table was sent to another process, and is not here any more")
            }
        }
    }
}

impl<T> SharedPart<T> {
    /// Which elements of the table these are.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        places::<T>(self.part.range())
    }

    /// The index in the table of the first element.
    #[must_use]
    pub fn first_index(&self) -> usize {
        self.range().start
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range().is_empty()
    }
}

impl<T> fmt::Debug for SharedPart<T> {
    /// The type and the place, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedPart<{}>({:?})", type_name::<T>(), self.range())
    }
}

/// What travels beside the descriptors. Which part it is, the receiver learns from the baton.
#[derive(Serialize, Deserialize)]
struct PartTicket {
    descriptors: [u32; 3],
    size: u32,
    align: u32,
}

impl<T: Pod> Serialize for SharedPart<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut indexes = [0; 3];
        let descriptors = self.part.descriptors().map_err(S::Error::custom)?;
        for (index, descriptor) in indexes.iter_mut().zip(descriptors) {
            // It may wait here for long, until a worker is free.
            let carried = descriptors::travelling(descriptor).map_err(S::Error::custom)?;
            *index = descriptors::put(&carried).ok_or_else(|| {
                S::Error::custom(
                    "a part of a table travels only in what offspring sends to another process",
                )
            })?;
        }
        self.part.give().map_err(S::Error::custom)?;
        PartTicket {
            descriptors: indexes,
            size: small(size_of::<T>()).map_err(S::Error::custom)?,
            align: small(align_of::<T>()).map_err(S::Error::custom)?,
        }
        .serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for SharedPart<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const { super::creation::check_element::<T>() }
        let ticket = PartTicket::deserialize(deserializer)?;
        check_layout::<T>(ticket.size, ticket.align).map_err(D::Error::custom)?;
        let take = |index: u32| -> Result<OwnedFd, D::Error> {
            descriptors::take(index).ok_or_else(|| {
                D::Error::custom("a descriptor of the part of a table did not arrive")
            })
        };
        let [object, reading, writing] = ticket.descriptors;
        let descriptors = [take(object)?, take(reading)?, take(writing)?];
        let part = Part::receive(descriptors).map_err(D::Error::custom)?;
        let bytes = part.range();
        // The note of another table's part, with elements of another layout.
        if bytes.start % size_of::<T>() != 0 || bytes.len() % size_of::<T>() != 0 {
            return Err(D::Error::custom(format!(
                "the part of a table has the bytes {bytes:?}, which are no whole elements"
            )));
        }
        Ok(Self::new(part))
    }
}
