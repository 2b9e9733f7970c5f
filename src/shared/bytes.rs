//! Bytes that all processes map: what formats that are read in place lie in.

use std::fmt;
use std::ops::{Deref, RangeBounds};
use std::path::Path;
use std::str::Utf8Error;

use bytemuck::Pod;
use offspring_platform::shared::{UnchangingFile, Utf8};
use serde::{Deserialize, Serialize};

use super::SharedSlice;
use crate::error::{Error, ErrorKind};

/// Bytes in shared memory that nobody can change any more: a [`SharedSlice<u8>`](SharedSlice) with
/// conveniences.
///
/// It is `AsRef<[u8]>`, so formats that are read where they lie (`fst`, `rkyv`, `zerocopy` and others) work
/// on it without a copy, in every process. All of it starts at a page, so archives are aligned.
///
/// # Examples
///
/// ```
/// use offspring::SharedBytes;
///
/// let bytes = SharedBytes::from_bytes(b"\x01\x00\x02\x00 and a text")?;
/// let numbers = bytes.slice(..4).view::<u16>()?;
/// assert_eq!(*numbers, [1u16.to_le(), 2u16.to_le()]);
/// assert_eq!(&bytes.slice(5..)[..], b"and a text");
/// # Ok::<(), offspring::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SharedBytes(SharedSlice<u8>);

impl SharedBytes {
    /// Copies bytes into shared memory.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_slice`].
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, Error> {
        SharedSlice::from_slice(bytes.as_ref()).map(Self)
    }

    /// Copies a file into shared memory.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_file`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        SharedSlice::from_file(path).map(Self)
    }

    /// Maps a file itself.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::map_file`].
    pub fn map_file(file: &UnchangingFile) -> Result<Self, Error> {
        SharedSlice::map_file(file).map(Self)
    }

    /// A part of these bytes, which shares their mapping.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// These bytes as a text.
    pub(super) fn to_text(&self) -> Result<Utf8, Utf8Error> {
        self.0.to_text()
    }

    /// The same bytes as elements of another type, in place.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when they are no whole number of elements, or not aligned for them.
    pub fn view<T: Pod>(&self) -> Result<SharedSlice<T>, Error> {
        self.0.reinterpreted().map_err(|error| {
            Error::new(ErrorKind::Invalid, "look at shared bytes as elements")
                .detail(format!(
                    "{} bytes at {:p} are no slice of `{}` ({error})",
                    self.len(),
                    self.as_ptr(),
                    std::any::type_name::<T>()
                ))
                .advice("cut them with `slice` to whole elements, at a multiple of their alignment")
        })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: Pod> From<SharedSlice<T>> for SharedBytes {
    /// The elements as the bytes that they are, in place.
    fn from(slice: SharedSlice<T>) -> Self {
        Self(slice.to_bytes())
    }
}

impl fmt::Debug for SharedBytes {
    /// The number of bytes, and not the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}
