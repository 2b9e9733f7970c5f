//! A read-only table that all processes map, however they were started.

use std::any::type_name;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use offspring_platform::shared::{Sealed, Unsealed};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::descriptors::{self, Carried};
use crate::error::{Error, ErrorKind};

/// A slice in shared memory that nobody can change any more.
///
/// It dereferences to `[T]`. It travels in arguments, results and worker state, on every context, as
/// one descriptor: the receiving process maps the same pages, so neither time nor memory grow with
/// the number of workers. The memory has no name and vanishes with the last process that holds it.
/// Cloning is cheap.
///
/// `T` must be plain data ([`Pod`]): no pointers, no padding, every bit pattern valid.
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
    memory: Arc<Sealed>,
    elements: PhantomData<[T]>,
}

const DOING: &str = "make a shared slice";

/// How much is collected before it is written.
const BUFFER: usize = 256 << 10;

impl<T: Pod> SharedSlice<T> {
    /// Copies a slice into shared memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when there is no memory or no descriptor left.
    pub fn from_slice(slice: &[T]) -> Result<Self, Error> {
        Self::fill(|memory| memory.write_all(bytemuck::cast_slice(slice)))
    }

    /// Writes the items of an iterator into shared memory, without holding them all elsewhere.
    ///
    /// # Errors
    ///
    /// As [`SharedSlice::from_slice`].
    #[expect(clippy::should_implement_trait, reason = "the trait's method cannot fail")]
    pub fn from_iter(items: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        Self::fill(|memory| {
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

    /// Copies a file into shared memory. Later changes of the file do not show.
    ///
    /// The file holds the elements as they are in memory, one after the other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when the file cannot be read, or there is no memory or no descriptor left;
    /// [`ErrorKind::Invalid`] when its length is not a multiple of the size of an element.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut file = File::open(path).map_err(|error| {
            Error::system(DOING, error).detail(format!("`{}` cannot be opened", path.display()))
        })?;
        Self::fill(|memory| memory.append_file(&mut file)).map_err(|error| match error.kind() {
            ErrorKind::System => error.detail(format!("`{}` cannot be copied", path.display())),
            _ => error,
        })
    }

    fn fill(write: impl FnOnce(&mut Unsealed) -> std::io::Result<()>) -> Result<Self, Error> {
        const {
            assert!(size_of::<T>() > 0, "elements without a size need no shared memory");
            assert!(align_of::<T>() <= 4096, "shared memory starts at a page");
        }
        let sealed = Unsealed::new().and_then(|mut memory| {
            write(&mut memory)?;
            memory.seal()
        });
        let sealed = sealed.map_err(|error| {
            Error::system(DOING, error).detail("the system has no shared memory for it")
        })?;
        if sealed.length() % size_of::<T>() != 0 {
            return Err(Error::new(ErrorKind::Invalid, DOING).detail(format!(
                "{} bytes are not a whole number of elements of {} bytes",
                sealed.length(),
                size_of::<T>()
            )));
        }
        Ok(Self { memory: Arc::new(sealed), elements: PhantomData })
    }
}

impl<T: Pod> Deref for SharedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self.memory.bytes() {
            // Nothing is mapped then, and an empty slice of bytes is not aligned for elements.
            [] => &[],
            // Checked where it was made: a whole number of elements, aligned to a page.
            bytes => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T: Pod> AsRef<[T]> for SharedSlice<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), elements: PhantomData }
    }
}

impl<T> fmt::Debug for SharedSlice<T> {
    /// The type and the number of elements, and not the elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.memory.length() / size_of::<T>().max(1);
        write!(f, "SharedSlice<{}>({length} elements)", type_name::<T>())
    }
}

/// What travels beside the descriptor, so that the receiver can check it.
#[derive(Serialize, Deserialize)]
struct Ticket {
    descriptor: u32,
    bytes: u64,
    size: u32,
    align: u32,
}

impl<T: Pod> Serialize for SharedSlice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let carried: Carried = self.memory.clone();
        let descriptor = descriptors::put(&carried).ok_or_else(|| {
            S::Error::custom(
                "a shared slice travels only in what offspring sends to another process",
            )
        })?;
        Ticket {
            descriptor,
            bytes: self.memory.length() as u64,
            size: layout(size_of::<T>()).map_err(S::Error::custom)?,
            align: layout(align_of::<T>()).map_err(S::Error::custom)?,
        }
        .serialize(serializer)
    }
}

fn layout(number: usize) -> Result<u32, &'static str> {
    u32::try_from(number).map_err(|_| "the elements are too large")
}

impl<'de, T: Pod> Deserialize<'de> for SharedSlice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        let (size, align) = (size_of::<T>(), align_of::<T>());
        let bytes = usize::try_from(ticket.bytes).map_err(D::Error::custom)?;
        if ticket.size as usize != size || ticket.align as usize != align || bytes % size != 0 {
            return Err(D::Error::custom(format!(
                "the shared slice holds elements of {} bytes, and a `{}` has {size}",
                ticket.size,
                type_name::<T>()
            )));
        }
        let fd: OwnedFd = descriptors::take(ticket.descriptor)
            .ok_or_else(|| D::Error::custom("the shared slice's descriptor did not arrive"))?;
        let memory = Sealed::receive(fd, bytes).map_err(D::Error::custom)?;
        Ok(Self { memory: Arc::new(memory), elements: PhantomData })
    }
}
