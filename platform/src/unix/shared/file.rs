//! Files that are mapped as they are, because their owner promised that they do not change.
//!
//! # Safety
//!
//! No system can freeze an ordinary file. [`UnchangingFile::new`] is where the author of the program
//! promises it. A process that receives such a file makes sure that it is the very same one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};

use super::Wishes;
use crate::os;
use crate::unix::fd::lift;

/// A file of which somebody promised that nobody changes it.
#[derive(Debug, Clone)]
pub struct UnchangingFile(PathBuf);

impl UnchangingFile {
    /// Promises that the file at this path does not change. Nothing is opened yet.
    ///
    /// # Safety
    ///
    /// From the time when the file is mapped until the last process of this program that has it mapped has
    /// ended, nobody may write to the file, cut it short or punch holes into it: no process of this program
    /// and no other. Whoever breaks this changes memory behind a `&[T]`, which is undefined behaviour; a
    /// file that was cut short also ends the reader with SIGBUS, and so does an error of the disk.
    ///
    /// To put another file in its place (write a new one, then rename it over the old) is fine: who has the
    /// old one mapped keeps it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use offspring_platform::shared as offspring;
    /// // SAFETY: this is part of an installed program; updates put another file in its place.
    /// let file = unsafe { offspring::UnchangingFile::new("primes.bin") };
    /// ```
    #[must_use]
    pub unsafe fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What tells a file from all others, and from itself at another length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The number of the file system.
    pub device: u64,
    /// The number of the file in it.
    pub inode: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// A file that is mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    fd: OwnedFd,
    map: Option<Mmap>,
    identity: Identity,
}

impl MappedFile {
    /// Maps all of a file.
    ///
    /// # Errors
    ///
    /// When it cannot be opened or mapped; `InvalidInput` when it is no ordinary file.
    pub fn open(file: &UnchangingFile, wishes: Wishes) -> io::Result<Self> {
        let fd: OwnedFd = File::open(&file.0)?.into();
        let (identity, ordinary) = identify(fd.as_fd())?;
        if !ordinary {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an ordinary file"));
        }
        Self::map(fd, identity, wishes)
    }

    /// Maps a file that another process of this program had mapped, after making sure that it is that one.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it is another file, has another length, or is no ordinary file.
    pub fn receive(fd: OwnedFd, expected: Identity, wishes: Wishes) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let (identity, ordinary) = identify(fd.as_fd())?;
        if !ordinary {
            return Err(invalid("what was received is not an ordinary file".into()));
        }
        if identity != expected {
            return Err(invalid(format!(
                "the file received is not the one that was mapped, or has changed: \
                 {identity:?}, expected {expected:?}"
            )));
        }
        // Memory without seals may look like a file, and no promise is about that.
        if os::shared::is_memory(fd.as_fd())? {
            return Err(invalid(
                "what was received is memory that could change, not a file".into(),
            ));
        }
        Self::map(fd, identity, wishes)
    }

    fn map(fd: OwnedFd, identity: Identity, wishes: Wishes) -> io::Result<Self> {
        let fd = lift(fd)?;
        let length = usize::try_from(identity.length).map_err(io::Error::other)?;
        let mut options = MmapOptions::new();
        options.len(length);
        if wishes.populate {
            options.populate();
        }
        let map = if length == 0 {
            None
        } else {
            // SAFETY: whoever made the `UnchangingFile`, in this or another process of this program, has
            // promised that the file does not change; it has `length` bytes.
            Some(unsafe { options.map(&fd) }?)
        };
        Ok(Self { fd, map, identity })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    /// Which file it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

impl AsFd for MappedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Which file this is, and whether it is an ordinary one.
fn identify(fd: BorrowedFd<'_>) -> io::Result<(Identity, bool)> {
    let metadata = File::from(fd.try_clone_to_owned()?).metadata()?;
    let identity =
        Identity { device: metadata.dev(), inode: metadata.ino(), length: metadata.len() };
    Ok((identity, metadata.is_file()))
}
