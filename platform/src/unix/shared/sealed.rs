//! Tables that nobody can change any more.
//!
//! # Safety
//!
//! A mapping handed out as `&[u8]` must never change and never shrink. `os::shared` makes objects for
//! which the kernel guarantees both, and [`Sealed::receive`] asks the kernel again before it maps
//! what another process sent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use memmap2::{Mmap, MmapOptions};

use super::Wishes;
use crate::os;
use crate::unix::fd::lift;

/// Tables up to this size are made without asking how much memory there is, which takes longer.
pub(crate) const UNCHECKED: usize = 16 << 20;
/// After how many bytes it is asked again.
const STEP: usize = 64 << 20;

/// Makes sure that the system and our memory cgroup have room for so many bytes more, and returns how many
/// there are.
///
/// Neither says so by an error when memory is allocated: they end a process. Others may take what is
/// there now, so this is no guarantee.
pub(crate) fn room_for(bytes: usize) -> io::Result<usize> {
    let room =
        os::memory::room().map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX));
    if bytes > room {
        return Err(io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "{bytes} bytes are needed, and {room} bytes are free in this system or memory cgroup"
            ),
        ));
    }
    Ok(room)
}

/// Read-only memory that no process can change any more.
#[derive(Debug)]
pub struct Sealed {
    fd: OwnedFd,
    /// `None` when there are no bytes, since an empty mapping does not exist.
    map: Option<Map>,
    length: usize,
}

#[derive(Debug)]
enum Map {
    Plain(Mmap),
    Huge(os::huge::HugeMap),
}

impl Sealed {
    /// Maps an object that was just frozen or verified.
    pub(super) fn map(fd: OwnedFd, length: usize, wishes: Wishes) -> io::Result<Self> {
        if length == 0 {
            return Ok(Self { fd, map: None, length });
        }
        if wishes.huge_pages {
            // SAFETY: as below.
            let huge = unsafe { os::huge::HugeMap::new(fd.as_fd(), length) };
            if let Some(map) = huge {
                if wishes.populate {
                    map.populate();
                }
                return Ok(Self { fd, map: Some(Map::Huge(map)), length });
            }
        }
        let mut options = MmapOptions::new();
        options.len(length);
        if wishes.populate {
            options.populate();
        }
        // SAFETY: `os::shared` has just made sure, by freezing or verifying, that the object has `length`
        // bytes, and that nobody can write to it, shrink it, or undo that.
        let map = unsafe { options.map(&fd) }?;
        Ok(Self { fd, map: Some(Map::Plain(map)), length })
    }

    /// Takes over memory that another process sealed, after asking the kernel that it really is.
    ///
    /// # Errors
    ///
    /// `InvalidData` when it is not sealed, or does not have `length` bytes.
    pub fn receive(fd: OwnedFd, length: usize) -> io::Result<Self> {
        Self::receive_as(fd, length, Wishes::default())
    }

    /// The same, mapped as wished.
    ///
    /// # Errors
    ///
    /// As [`Sealed::receive`].
    pub fn receive_as(fd: OwnedFd, length: usize, wishes: Wishes) -> io::Result<Self> {
        os::shared::verify(fd.as_fd(), length)?;
        Self::map(fd, length, wishes)
    }

    /// The bytes. They start at a page, so every alignment up to 4096 holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.map {
            Some(Map::Plain(map)) => map,
            Some(Map::Huge(map)) => map.bytes(),
            None => &[],
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Memory that is being filled, by its only owner, and sealed afterwards.
#[derive(Debug)]
pub struct Unsealed {
    object: os::shared::Object,
    length: usize,
    /// Up to here there was room when it was looked at.
    checked: usize,
}

impl Unsealed {
    /// Makes an empty object of no name, which vanishes with the last process that holds it.
    ///
    /// # Errors
    ///
    /// When the process or the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { object: os::shared::Object::new()?, length: 0, checked: UNCHECKED })
    }

    /// Appends all that `file` has left, without bringing it into this process where that is possible.
    ///
    /// # Errors
    ///
    /// As [`Write::write`], and what reading the file reports.
    pub fn append_file(&mut self, file: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals the memory: from here on nobody, this process included, can change or resize it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, because somebody still has a writable mapping.
    pub fn seal(self) -> io::Result<Sealed> {
        self.seal_as(Wishes::default())
    }

    /// The same, mapped as wished.
    ///
    /// # Errors
    ///
    /// As [`Unsealed::seal`].
    pub fn seal_as(self, wishes: Wishes) -> io::Result<Sealed> {
        let fd = lift(self.object.freeze(self.length)?)?;
        if wishes.huge_pages && self.length > 0 {
            os::huge::gather(fd.as_fd(), self.length);
        }
        Sealed::map(fd, self.length, wishes)
    }

    /// Makes sure that there is room for `more` bytes, without asking the system for each few.
    fn check_room(&mut self, more: usize) -> io::Result<()> {
        let end = self.length.saturating_add(more);
        if end <= self.checked {
            return Ok(());
        }
        let room = room_for(more)?;
        self.checked = self.length.saturating_add(more.max(STEP.min(room / 2)));
        Ok(())
    }
}

impl Write for Unsealed {
    /// Appends bytes. No space left is an error here, at creation, and never a SIGBUS later.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_room(bytes.len())?;
        let written = self.object.append(bytes, self.length)?;
        self.length += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
