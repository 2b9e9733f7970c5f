//! How a table is made: from what, and mapped in which way.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::Path;

use bytemuck::Pod;
use offspring_platform::shared::{Frozen, MappedFile, Sealed, UnchangingFile, Unsealed, Wishes};

use super::creation::{check_element, check_whole, refused};
use super::memory::Memory;
use super::{SharedSlice, SharedSliceMut};
use crate::error::{Error, ErrorKind};

const DOING: &str = "make a shared slice";

/// How much is collected before it is written.
const BUFFER: usize = 256 << 10;

/// Options for a [`SharedSlice`], from [`SharedSlice::builder`].
///
/// The options travel with the table: each process maps it in the same way. Both are wishes. A system that
/// does not know them, or has no huge pages left, makes the same table without them.
///
/// # Examples
///
/// ```
/// use offspring::SharedSlice;
///
/// let table = SharedSlice::builder().huge_pages(true).populate(true).from_iter(0..1_000_000u64)?;
/// assert_eq!(table[999_999], 999_999);
/// # Ok::<(), offspring::Error>(())
/// ```
#[derive(Clone, Copy)]
#[must_use]
pub struct SharedSliceBuilder<T> {
    wishes: Wishes,
    elements: PhantomData<[T]>,
}

impl<T> fmt::Debug for SharedSliceBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSliceBuilder")
            .field("huge_pages", &self.wishes.huge_pages)
            .field("populate", &self.wishes.populate)
            .finish()
    }
}

impl<T: Pod> SharedSliceBuilder<T> {
    pub(super) fn new() -> Self {
        Self { wishes: Wishes::default(), elements: PhantomData }
    }

    /// Maps the table in pages of 2 MiB where that is possible. Default: no.
    ///
    /// For large tables that are read in no order: fewer misses in the processor's address cache, and one
    /// page fault where there were 512. Making the table takes longer (it is copied once more, inside the
    /// kernel), and a table of less than 2 MiB is not changed. Does nothing for a mapped file.
    ///
    /// # Platform notes
    ///
    /// * Linux: asked for with `madvise`; since Linux 6.1 also where the setting
    ///   `/sys/kernel/mm/transparent_hugepage/shmem_enabled` is `never`.
    /// * macOS: nothing.
    pub fn huge_pages(mut self, wanted: bool) -> Self {
        self.wishes.huge_pages = wanted;
        self
    }

    /// Maps all pages of the table at once when a process gets it, instead of each when it is first read.
    /// Default: no.
    ///
    /// The first pass is faster by the page faults that it does not have; to receive the table takes time
    /// that grows with its size. For tables of which every process reads most.
    ///
    /// # Platform notes
    ///
    /// * macOS: nothing.
    pub fn populate(mut self, wanted: bool) -> Self {
        self.wishes.populate = wanted;
        self
    }

    /// As [`SharedSlice::from_slice`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_slice(self, slice: &[T]) -> Result<SharedSlice<T>, Error> {
        self.fill(|memory| memory.write_all(bytemuck::cast_slice(slice)))
    }

    /// As [`SharedSlice::from_iter`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_iter(self, items: impl IntoIterator<Item = T>) -> Result<SharedSlice<T>, Error> {
        self.fill(|memory| {
            let most = (BUFFER / size_of::<T>().max(1)).max(1);
            let mut buffer: Vec<T> = Vec::with_capacity(most);
            for item in items {
                buffer.push(item);
                if buffer.len() == most {
                    memory.write_all(bytemuck::cast_slice(&buffer))?;
                    buffer.clear();
                }
            }
            memory.write_all(bytemuck::cast_slice(&buffer))
        })
    }

    /// As [`SharedSlice::from_vec`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_vec(self, elements: Vec<T>) -> Result<SharedSlice<T>, Error> {
        self.from_slice(&elements)
    }

    /// As [`SharedSlice::from_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_file(self, path: impl AsRef<Path>) -> Result<SharedSlice<T>, Error> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(|error| {
            Error::system(DOING, error).detail(format!("`{}` cannot be opened", path.display()))
        })?;
        // What the file lacks, and what the system lacks, are told apart by whoever was asked last.
        let mut unread = None;
        let result = self.fill(|memory| {
            memory.append_file(&mut file).inspect_err(|error| {
                unread = offspring_platform::shared::what_ran_out(error).is_none().then_some(());
            })
        });
        result.map_err(|error| match unread {
            Some(()) => error.detail(format!("`{}` cannot be copied", path.display())),
            None => error,
        })
    }

    /// As [`SharedSlice::map_file`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map_file(self, file: &UnchangingFile) -> Result<SharedSlice<T>, Error> {
        const DOING: &str = "map a file as a shared slice";
        const { check_element::<T>() }
        let path = file.path().display();
        let file = MappedFile::open(file, self.wishes).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::InvalidInput => ErrorKind::Invalid,
                _ => ErrorKind::System,
            };
            Error::new(kind, DOING)
                .detail(format!("`{path}` cannot be mapped ({error})"))
                .caused_by(error)
        })?;
        check_whole::<T>(DOING, file.bytes().len())?;
        Ok(SharedSlice::of(Memory::new(Frozen::File(file), self.wishes)))
    }

    /// As [`SharedSliceMut::zeroed`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn zeroed(self, elements: usize) -> Result<SharedSliceMut<T>, Error> {
        SharedSliceMut::make(elements, self.wishes)
    }

    fn fill(
        self,
        write: impl FnOnce(&mut Unsealed) -> io::Result<()>,
    ) -> Result<SharedSlice<T>, Error> {
        const { check_element::<T>() }
        let sealed = Unsealed::new().and_then(|mut memory| {
            write(&mut memory)?;
            memory.seal_as(self.wishes)
        });
        let sealed = sealed.map_err(|error| refused(DOING, error))?;
        check_whole::<T>(DOING, sealed.length())?;
        Ok(self.adopt(sealed))
    }

    /// Whole elements that were just sealed.
    fn adopt(self, sealed: Sealed) -> SharedSlice<T> {
        SharedSlice::of(Memory::new(Frozen::Sealed(sealed), self.wishes))
    }
}
