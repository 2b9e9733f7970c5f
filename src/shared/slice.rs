//! A read-only table that all processes map, however they were started.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::path::Path;
use std::str::Utf8Error;
use std::sync::Arc;

use bytemuck::Pod;
use offspring_platform::shared::{UnchangingFile, Utf8};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SharedSliceBuilder;
use super::memory::{Memory, Ticket};
use crate::error::Error;

/// A slice in shared memory that nobody can change any more.
///
/// It dereferences to `[T]`. It travels in arguments, results and worker state, on every context, as
/// one descriptor: the receiving process maps the same pages, so neither time nor memory grow with
/// the number of workers. The memory has no name and vanishes with the last process that holds it.
/// Cloning is cheap, and so is [`slice`](Self::slice), which shares the mapping; several slices of one
/// table in one value share it where they arrive, too.
///
/// `T` must be plain data ([`Pod`]): no pointers, no padding, every bit pattern valid.
///
/// What arrives is checked before it is mapped: that it is sealed, its size, the size and alignment of the
/// elements. Something else in its place is an error of the call that it came with.
///
/// # Platform notes
///
/// * Linux: a sealed memfd. The kernel refuses every change, to this process too, and the receiver
///   checks the seals before it maps.
/// * macOS: an unlinked shared memory object that is only ever passed on as a read-only descriptor.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, SharedSlice};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let squares = SharedSlice::from_iter((0..1000u64).map(|n| n * n))?;
///     let child = Context::Spawn.process().start(squares.clone(), |squares: SharedSlice<u64>| squares[12])?;
///     assert_eq!(child.join()?, 144);
///     Ok(())
/// }
/// ```
pub struct SharedSlice<T> {
    memory: Arc<Memory>,
    /// In bytes: inside of the memory, whole elements, aligned.
    range: Range<usize>,
    elements: PhantomData<[T]>,
}

impl<T: Pod> SharedSlice<T> {
    /// Options for the making: huge pages, and mapping all of it at once.
    pub fn builder() -> SharedSliceBuilder<T> {
        SharedSliceBuilder::new()
    }

    /// Copies a slice into shared memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the system, its memory cgroup, a limit for
    /// memory or for the size of files, or the address space has no room for it, or no descriptor is left.
    /// All of the memory is really there when this returns: nobody is ended later because it is not.
    pub fn from_slice(slice: &[T]) -> Result<Self, Error> {
        Self::builder().from_slice(slice)
    }

    /// Writes the items of an iterator into shared memory, without holding them all elsewhere.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_slice`].
    #[expect(clippy::should_implement_trait, reason = "the trait's method cannot fail")]
    pub fn from_iter(items: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        Self::builder().from_iter(items)
    }

    /// Copies a vector into shared memory and frees it.
    ///
    /// Both exist for a moment. [`SharedSlice::from_iter`] and [`SharedSliceMut`](crate::SharedSliceMut)
    /// make a large table without a second copy.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_slice`].
    pub fn from_vec(elements: Vec<T>) -> Result<Self, Error> {
        Self::builder().from_vec(elements)
    }

    /// Copies a file into shared memory. Later changes of the file do not show.
    ///
    /// The file holds the elements as they are in memory, one after the other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the file cannot be read, and as
    /// [`SharedSlice::from_slice`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when its length is not
    /// a multiple of the size of an element.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().from_file(path)
    }

    /// Maps a file itself, without a copy: it is there at once, and the system may drop and reload its pages.
    ///
    /// No system can freeze a file, so whoever makes the [`UnchangingFile`] promises that nobody changes it:
    /// that is the unsafe part. It travels as a descriptor of the file; the receiver makes sure that it is
    /// the same file (device, inode, length), and trusts the promise, which was made in the same program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`](crate::ErrorKind::System) when the file cannot be opened or mapped;
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it is no ordinary file, or its length is not a
    /// multiple of the size of an element.
    ///
    /// # Examples
    ///
    /// ```
    /// use offspring::{SharedSlice, UnchangingFile};
    ///
    /// # let path = std::env::temp_dir().join(format!("offspring-doc-{}", std::process::id()));
    /// # std::fs::write(&path, [1, 0, 2, 0])?;
    /// // SAFETY: nobody writes to this file; new versions are renamed over it.
    /// let file = unsafe { UnchangingFile::new(&path) };
    /// let table: SharedSlice<u16> = SharedSlice::map_file(&file)?;
    /// assert_eq!(table.len(), 2);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_file(file: &UnchangingFile) -> Result<Self, Error> {
        Self::builder().map_file(file)
    }

    /// All of the memory, which has whole elements.
    pub(super) fn of(memory: Memory) -> Self {
        let range = 0..memory.bytes().len();
        Self { memory: Arc::new(memory), range, elements: PhantomData }
    }

    /// A part of this slice, which shares its mapping and keeps all of it.
    ///
    /// It travels as the same descriptor with a range.
    ///
    /// # Panics
    ///
    /// When the range is not inside of the slice.
    ///
    /// # Examples
    ///
    /// ```
    /// let table = offspring::SharedSlice::from_iter(0..100u32)?;
    /// let tens = table.slice(10..20);
    /// assert_eq!((tens.len(), tens[0]), (10, 10));
    /// assert_eq!(tens.as_ptr(), table[10..].as_ptr());
    /// # Ok::<(), offspring::Error>(())
    /// ```
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let length = self.len();
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => length,
        };
        assert!(start <= end && end <= length, "{start}..{end} is not inside of 0..{length}");
        let size = size_of::<T>();
        let range = self.range.start + start * size..self.range.start + end * size;
        Self { memory: self.memory.clone(), range, elements: PhantomData }
    }

    /// The elements as the bytes that they are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.memory.bytes()[self.range.clone()]
    }

    /// The elements as the bytes that they are, in place.
    pub(super) fn to_bytes(&self) -> SharedSlice<u8> {
        let (memory, range) = (self.memory.clone(), self.range.clone());
        SharedSlice { memory, range, elements: PhantomData }
    }

    /// The same memory with elements of another type, if it has whole ones of that, aligned.
    pub(super) fn reinterpreted<U: Pod>(&self) -> Result<SharedSlice<U>, bytemuck::PodCastError> {
        const { super::creation::check_element::<U>() }
        let bytes = self.as_bytes();
        let range = if bytes.is_empty() {
            // No elements are anywhere: at the beginning they are aligned, also for who receives them.
            0..0
        } else {
            bytemuck::try_cast_slice::<u8, U>(bytes)?;
            self.range.clone()
        };
        let memory = self.memory.clone();
        Ok(SharedSlice { memory, range, elements: PhantomData })
    }
}

impl SharedSlice<u8> {
    /// These bytes as a text.
    pub(super) fn to_text(&self) -> Result<Utf8, Utf8Error> {
        Utf8::new(self.memory.frozen.clone(), self.range.clone())
    }
}

/// The elements that bytes are: whole and aligned, as whoever made the slice saw to.
pub(super) fn elements<T: Pod>(bytes: &[u8]) -> &[T] {
    // Nothing is mapped then, and an empty slice of bytes is not aligned for elements.
    if bytes.is_empty() { &[] } else { bytemuck::cast_slice(bytes) }
}

impl<T: Pod> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        elements(self.as_bytes())
    }
}

impl<T: Pod> AsRef<[T]> for SharedSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        let (memory, range) = (self.memory.clone(), self.range.clone());
        Self { memory, range, elements: PhantomData }
    }
}

impl<T> fmt::Debug for SharedSlice<T> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.range.len() / size_of::<T>().max(1);
        write!(f, "SharedSlice<{}>({length} elements)", type_name::<T>())
    }
}

impl<T: Pod> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ticket = Ticket::write::<T>(&self.memory, self.range.clone());
        ticket.map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const { super::creation::check_element::<T>() }
        let ticket = Ticket::deserialize(deserializer)?;
        let (memory, range) = ticket.read::<T>().map_err(D::Error::custom)?;
        Ok(Self { memory, range, elements: PhantomData })
    }
}
