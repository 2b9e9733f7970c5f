//! A text that all processes map.

use std::fmt;
use std::ops::{Deref, RangeBounds};
use std::path::Path;

use offspring_platform::shared::Utf8;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SharedBytes;
use crate::error::{Error, ErrorKind};

/// A text in shared memory that nobody can change any more. It dereferences to `str`.
///
/// That it is UTF-8 is checked when it is made and when it arrives, which reads all of it once in each
/// process (about a tenth of a second for a gigabyte); looking at it costs nothing after that.
///
/// # Examples
///
/// ```
/// let text = offspring::SharedStr::new("Zwölf Boxkämpfer")?;
/// assert_eq!(text.slice(7..).to_uppercase(), "BOXKÄMPFER");
/// # Ok::<(), offspring::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedStr {
    bytes: SharedBytes,
    /// The same, checked.
    text: Utf8,
}

const DOING: &str = "make a shared text";

impl SharedStr {
    /// Copies a text into shared memory.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_slice`](crate::SharedSlice::from_slice).
    pub fn new(text: impl AsRef<str>) -> Result<Self, Error> {
        Self::try_from(SharedBytes::from_bytes(text.as_ref())?)
    }

    /// Copies a file into shared memory.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_file`](crate::SharedSlice::from_file), and [`ErrorKind::Invalid`] when it is not
    /// UTF-8.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::try_from(SharedBytes::from_file(path)?)
    }

    /// A part of the text, which shares its mapping. The range is in bytes.
    ///
    /// # Panics
    ///
    /// When the range is not inside, or begins or ends in the middle of a character.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        let part = &self.as_str()[bounds];
        let start = part.as_ptr().addr() - self.as_str().as_ptr().addr();
        let range = start..start + part.len();
        Self { bytes: self.bytes.slice(range.clone()), text: self.text.slice(range) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// The text as bytes, in place.
    #[must_use]
    pub fn into_bytes(self) -> SharedBytes {
        self.bytes
    }
}

impl TryFrom<SharedBytes> for SharedStr {
    type Error = Error;

    /// [`ErrorKind::Invalid`] when the bytes are not UTF-8.
    fn try_from(bytes: SharedBytes) -> Result<Self, Error> {
        match bytes.to_text() {
            Ok(text) => Ok(Self { bytes, text }),
            Err(error) => Err(Error::new(ErrorKind::Invalid, DOING)
                .detail(format!("the bytes are not UTF-8 ({error})"))
                .caused_by(error)),
        }
    }
}

impl Deref for SharedStr {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for SharedStr {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for SharedStr {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for SharedStr {
    /// The number of bytes, and not the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedStr({} bytes)", self.len())
    }
}

impl Serialize for SharedStr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedStr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = SharedBytes::deserialize(deserializer)?;
        Self::try_from(bytes).map_err(D::Error::custom)
    }
}
