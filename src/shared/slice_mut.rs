//! A table that is being filled in place, and frozen afterwards.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use offspring_platform::shared::{Draft, Frozen, Lent, Sealed, Wishes};

use super::SharedSlice;
use super::creation::{bytes_of, check_element, refused};
use super::memory::Memory;
use super::parts::{LentSlice, SharedPart};
use super::slice::elements;
use crate::error::{Error, ErrorKind};

/// A slice in shared memory that this process can write, until it is [frozen](Self::freeze).
///
/// It dereferences to `[T]`, also for writing. To fill a table in place takes half the memory traffic of
/// making it elsewhere and copying it. [`split`](Self::split) gives parts of it to other processes, which
/// fill them at the same time.
///
/// It does not travel itself: only its parts do, and the [`SharedSlice`] that it becomes.
///
/// # Panics
///
/// A forked child does not inherit the memory: there, every use panics, and a borrow that was made before
/// the fork ends the child with SIGSEGV.
///
/// # Examples
///
/// ```
/// use offspring::SharedSliceMut;
///
/// let mut table = SharedSliceMut::<u32>::zeroed(1000)?;
/// for (n, place) in (0..).zip(table.iter_mut()) {
///     *place = n * n;
/// }
/// let table = table.freeze()?;
/// assert_eq!(table[31], 961);
/// # Ok::<(), offspring::Error>(())
/// ```
pub struct SharedSliceMut<T> {
    draft: Draft,
    wishes: Wishes,
    elements: PhantomData<[T]>,
}

pub(super) const FREEZING: &str = "freeze a table";

impl<T: Pod> SharedSliceMut<T> {
    /// Makes a table of zeroes. All of its memory is really there when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is not enough memory in the system or its memory cgroup, no room in
    /// the address space, or no descriptor left; [`ErrorKind::Invalid`] for more elements than can exist.
    pub fn zeroed(elements: usize) -> Result<Self, Error> {
        Self::make(elements, Wishes::default())
    }

    pub(super) fn make(elements: usize, wishes: Wishes) -> Result<Self, Error> {
        const DOING: &str = "make a table of zeroes";
        const { check_element::<T>() }
        let length = bytes_of::<T>(DOING, elements)?;
        let draft = Draft::zeroed(length, wishes).map_err(|error| refused(DOING, error))?;
        Ok(Self { draft, wishes, elements: PhantomData })
    }

    /// Makes the table read-only, for this process and all others, for ever.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] when somebody else has the memory mapped for writing, which only unsafe code of
    /// the program can bring about. [`ErrorKind::System`] when the limit of the address space was lowered below
    /// what is in use, so that what was there cannot be there again. The table is lost then. No descriptor is
    /// needed, and no memory.
    pub fn freeze(self) -> Result<SharedSlice<T>, Error> {
        let sealed = self.draft.into_frozen().map_err(not_frozen)?;
        Ok(frozen(sealed, self.wishes))
    }

    /// Cuts the table into parts of `elements` elements (the last may be smaller), which can be sent to other
    /// processes, as arguments and as results, and be filled there.
    ///
    /// The first of the pair stays here; it freezes the table when all parts have been dropped, wherever
    /// they are. Each part is mapped by itself, and has three descriptors: some per worker, not thousands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when `elements` is 0; [`ErrorKind::System`] when no descriptor or no room in
    /// the address space is left.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use offspring::{Context, SharedPart, SharedSliceMut};
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     offspring::init();
    ///     let (mut table, parts) = SharedSliceMut::<u64>::zeroed(1000)?.split(250)?;
    ///     let pool = Context::Spawn.pool().workers(2).build()?;
    ///     for done in pool.map(parts, |_, mut part: SharedPart<u64>| {
    ///         let first = part.first_index();
    ///         for (n, place) in (first as u64..).zip(part.as_mut_slice()) {
    ///             *place = n * n;
    ///         }
    ///         // Dropped here: nothing has to come back.
    ///     }) {
    ///         done?;
    ///     }
    ///     let table = table.freeze()?;
    ///     assert_eq!(table[999], 998_001);
    ///     Ok(())
    /// }
    /// ```
    pub fn split(self, elements: usize) -> Result<(LentSlice<T>, Vec<SharedPart<T>>), Error> {
        const DOING: &str = "split a table";
        if elements == 0 {
            return Err(Error::new(ErrorKind::Invalid, DOING)
                .detail("parts of 0 elements do not cover it")
                .advice("ask for 1 element at least"));
        }
        let size = elements.saturating_mul(size_of::<T>());
        // A multiple of the size of an element, also when it is larger than the table.
        let size = if size == usize::MAX { self.draft.length().max(1) } else { size };
        let (lent, parts) = Lent::new(self.draft, size).map_err(|error| refused(DOING, error))?;
        let parts = parts.into_iter().map(SharedPart::new).collect();
        Ok((LentSlice::new(lent, self.wishes), parts))
    }
}

/// The error of a table that could not be frozen.
pub(super) fn not_frozen(error: std::io::Error) -> Error {
    if error.kind() != std::io::ErrorKind::ResourceBusy {
        return refused(FREEZING, error);
    }
    Error::new(ErrorKind::Busy, FREEZING)
        .detail(format!("another process, or other code of this one, can still write to it ({error})"))
        .advice("join the processes and tasks that fill it, drop the parts that came back, then freeze again")
        .caused_by(error)
}

pub(super) fn frozen<T: Pod>(sealed: Sealed, wishes: Wishes) -> SharedSlice<T> {
    SharedSlice::of(Memory::new(Frozen::Sealed(sealed), wishes))
}

impl<T: Pod> Deref for SharedSliceMut<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        elements(self.draft.bytes())
    }
}

impl<T: Pod> DerefMut for SharedSliceMut<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        elements_mut(self.draft.bytes_mut())
    }
}

/// Whole elements, aligned, as whoever made the memory saw to.
pub(super) fn elements_mut<T: Pod>(bytes: &mut [u8]) -> &mut [T] {
    // An empty slice of bytes is not aligned for elements.
    if bytes.is_empty() { &mut [] } else { bytemuck::cast_slice_mut(bytes) }
}

impl<T> fmt::Debug for SharedSliceMut<T> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.draft.length() / size_of::<T>().max(1);
        write!(f, "SharedSliceMut<{}>({length} elements)", type_name::<T>())
    }
}
