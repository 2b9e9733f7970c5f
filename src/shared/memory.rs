//! What a table's elements lie in, how it travels, and what is checked when it arrives.

use std::any::type_name;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use offspring_platform::shared::{Frozen, Identity, MappedFile, Sealed, Wishes};
use serde::{Deserialize, Serialize};

use crate::codec::descriptors::{self, Carried};

/// Memory that nobody changes, and how it is to be mapped where it arrives.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) frozen: Arc<Frozen>,
    pub(super) wishes: Wishes,
}

impl Memory {
    pub(super) fn new(frozen: Frozen, wishes: Wishes) -> Self {
        Self { frozen: Arc::new(frozen), wishes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.frozen.bytes()
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.frozen.as_fd()
    }
}

/// What travels beside the descriptor, so that the receiver can check it.
#[derive(Serialize, Deserialize)]
pub(super) struct Ticket {
    descriptor: u32,
    /// How many bytes all of the memory has.
    bytes: u64,
    /// Where the slice starts, and how many bytes it has.
    start: u64,
    length: u64,
    size: u32,
    align: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileNumbers>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    huge_pages: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    populate: bool,
}

/// The numbers of a file that is mapped as it is.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct FileNumbers {
    device: u64,
    inode: u64,
}

impl Ticket {
    /// For a slice of the memory, which is added to the value that is being encoded.
    pub(super) fn write<T>(memory: &Arc<Memory>, range: Range<usize>) -> Result<Self, String> {
        let carried: Carried = memory.clone();
        let descriptor = descriptors::put(&carried)
            .ok_or("a shared slice travels only in what offspring sends to another process")?;
        let wishes = memory.wishes;
        Ok(Self {
            descriptor,
            bytes: memory.bytes().len() as u64,
            start: range.start as u64,
            length: range.len() as u64,
            size: small(size_of::<T>())?,
            align: small(align_of::<T>())?,
            file: memory
                .frozen
                .identity()
                .map(|file| FileNumbers { device: file.device, inode: file.inode }),
            huge_pages: wishes.huge_pages,
            populate: wishes.populate,
        })
    }

    /// The memory of the value that is being decoded, and the range of the slice in it.
    pub(super) fn read<T>(self) -> Result<(Arc<Memory>, Range<usize>), String> {
        let (size, align) = (size_of::<T>(), align_of::<T>());
        check_layout::<T>(self.size, self.align)?;
        let number = |number: u64| {
            usize::try_from(number).map_err(|_| format!("{number} bytes do not exist here"))
        };
        let (bytes, start, length) =
            (number(self.bytes)?, number(self.start)?, number(self.length)?);
        if length % size != 0 {
            return Err(format!(
                "{length} bytes are not a whole number of elements: a `{}` has {size}",
                type_name::<T>()
            ));
        }
        if start % align != 0 {
            return Err(format!(
                "the shared slice starts at byte {start}, and not at a multiple of {align}"
            ));
        }
        let end = start.checked_add(length).filter(|end| *end <= bytes).ok_or_else(|| {
            format!(
                "the shared slice has {length} bytes from byte {start} on, of memory of {bytes}"
            )
        })?;
        let wishes = Wishes { huge_pages: self.huge_pages, populate: self.populate };
        let file = self.file.map(|file| Identity {
            device: file.device,
            inode: file.inode,
            length: self.bytes,
        });
        let memory = descriptors::take_once(self.descriptor, |fd| receive(fd, bytes, file, wishes))
            .ok_or("the shared slice's descriptor did not arrive")?
            .map_err(|error| error.to_string())?;
        // Mapped already for another slice in this value, which may have said something else.
        if memory.bytes().len() != bytes || memory.frozen.identity() != file {
            return Err("two shared slices say different things about the same memory".into());
        }
        Ok((memory, start..end))
    }
}

fn receive(
    fd: OwnedFd,
    bytes: usize,
    file: Option<Identity>,
    wishes: Wishes,
) -> std::io::Result<Memory> {
    let frozen = match file {
        None => Frozen::Sealed(Sealed::receive_as(fd, bytes, wishes)?),
        Some(identity) => Frozen::File(MappedFile::receive(fd, identity, wishes)?),
    };
    Ok(Memory::new(frozen, wishes))
}

/// A size or an alignment as it travels.
pub(super) fn small(number: usize) -> Result<u32, &'static str> {
    u32::try_from(number).map_err(|_| "the elements are too large")
}

/// Makes sure that the sender's elements lie in memory as ours do.
pub(super) fn check_layout<T>(size: u32, align: u32) -> Result<(), String> {
    if size as usize == size_of::<T>() && align as usize == align_of::<T>() {
        return Ok(());
    }
    Err(format!(
        "the shared slice holds elements of {size} bytes at multiples of {align}, and a `{}` has {} at \
         multiples of {}",
        type_name::<T>(),
        size_of::<T>(),
        align_of::<T>()
    ))
}
