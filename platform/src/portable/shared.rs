//! Anonymous memory that nobody can write to: `shm_open` and a read-only descriptor.
//!
//! An object is opened twice, for writing and for reading, and loses its name at once; so nothing is
//! left behind by a SIGKILL, except in the few microseconds between. Then the writing descriptor and
//! the writable mapping are given up. The kernel lets nobody write through the reading one, and
//! nobody change the protection of its mappings (xnu, `pshm_mmap`: `max_prot &= ~VM_PROT_WRITE`).
//!
//! The size is set once and never changes: the kernel allows one `ftruncate` in the life of an object
//! (xnu, `pshm_truncate`), rounded up to whole pages. It knows no `write` on such objects. So the bytes
//! are collected first.
//!
//! Memory is not reserved by that: macOS promises more than it has, and a machine without any left
//! ends processes. In an app with a sandbox `shm_open` is refused.
//!
//! # Safety
//!
//! A new object is mapped for writing by nobody but `freeze`, in which the mapping ends as well; one that is
//! filled in place, by those who hold a part of it, of whom none is left when it is frozen.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use memmap2::MmapOptions;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::fstat;

use crate::os::leaf;
pub(crate) use crate::os::leaf::{is_memory, not_for_children};
use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::limits::check_file_size;
use crate::unix::shared::Wishes;
use crate::unix::{checked, random};

/// How many bytes are collected in one piece. Pieces are never moved, so that a large object needs
/// no second copy of itself on the way.
const PIECE: usize = 1 << 20;

/// Memory without a name that can be written and sealed.
#[derive(Debug)]
pub(crate) struct Object {
    /// All but the last are full.
    pieces: Vec<Vec<u8>>,
}

impl Object {
    #[expect(clippy::unnecessary_wraps, reason = "on Linux the object is made here")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { pieces: Vec::new() })
    }

    /// Appends some bytes at `offset`, the end.
    pub(crate) fn append(&mut self, bytes: &[u8], _offset: usize) -> io::Result<usize> {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            let mut piece = Vec::new();
            let no_memory = |_| io::Error::from_raw_os_error(libc::ENOMEM);
            piece.try_reserve_exact(PIECE).map_err(no_memory)?;
            self.pieces.push(piece);
        }
        let Some(piece) = self.pieces.last_mut() else { return Ok(0) };
        let count = bytes.len().min(PIECE - piece.len());
        piece.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Makes the object, read-only for ever.
    pub(crate) fn freeze(self, length: usize) -> io::Result<OwnedFd> {
        let Pair { writing, reading } = Pair::new()?;
        if length > 0 {
            set_size(writing.as_fd(), length)?;
            // SAFETY: just made, with `length` bytes at least, and without a name: only `writing` can
            // reach it for writing, and nobody else has that.
            let mut map = unsafe { MmapOptions::new().len(length).map_mut(&writing) }?;
            let mut rest = &mut map[..];
            // Each piece is freed as soon as it was copied.
            for piece in self.pieces {
                let Some((place, after)) = rest.split_at_mut_checked(piece.len()) else { break };
                place.copy_from_slice(&piece);
                rest = after;
            }
        }
        drop(writing);
        verify(reading.as_fd(), length)?;
        Ok(reading)
    }

    /// Gives the object `length` bytes of zeroes, and keeps it at that size for ever. None of them takes memory
    /// before it is written: the system cannot reserve it.
    pub(crate) fn fixed(self, length: usize, _reserved: usize) -> io::Result<OwnedFd> {
        let Pair { writing, .. } = Pair::new()?;
        set_size(writing.as_fd(), length)?;
        Ok(writing)
    }
}

/// Memory of a fixed size that can be written in place, until it is frozen.
///
/// That is, until the last writing descriptor and the last writable mapping are gone: whoever has one holds
/// a part of the table, and the maker sees that. The kernel cannot be asked.
#[derive(Debug)]
pub(crate) struct Blank {
    writing: PrivateFd,
    reading: OwnedFd,
}

impl Blank {
    pub(crate) fn new(length: usize, _wishes: Wishes) -> io::Result<Self> {
        let Pair { writing, reading } = Pair::new()?;
        if length > 0 {
            set_size(writing.as_fd(), length)?;
        }
        Ok(Self { writing: PrivateFd::new(writing)?, reading })
    }

    pub(crate) fn writing(&self) -> io::Result<BorrowedFd<'_>> {
        self.writing.borrow()
    }

    /// The read-only side, when nobody has the other one any more.
    pub(crate) fn into_frozen(self, length: usize) -> io::Result<OwnedFd> {
        drop(self.writing);
        verify(self.reading.as_fd(), length)?;
        Ok(self.reading)
    }

    /// The read-only side. The caller drops the writing one before it lets anybody have it.
    pub(crate) fn freeze(&self, length: usize) -> io::Result<OwnedFd> {
        verify(self.reading.as_fd(), length)?;
        duplicate(self.reading.as_fd())
    }
}

/// One new object, opened twice. Both descriptors are born with close-on-exec (shm_open(2)).
struct Pair {
    writing: OwnedFd,
    reading: OwnedFd,
}

impl Pair {
    fn new() -> io::Result<Self> {
        // 31 bytes are the limit (xnu, `PSHMNAMLEN`); 104 random bits cannot be guessed.
        let name = CString::new(format!("/os.{:026x}", random::nonce()? >> 24))?;
        let writing = open(&name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        let reading = open(&name, libc::O_RDONLY);
        // SAFETY: the name ends with a zero. It is ours, since O_EXCL made it.
        let unlinked = checked(unsafe { libc::shm_unlink(name.as_ptr()) });
        let reading = reading?;
        unlinked?;
        Ok(Self { writing, reading })
    }
}

fn open(name: &CString, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the name ends with a zero; the mode has the type that is read.
    let raw = checked(unsafe { libc::shm_open(name.as_ptr(), flags, leaf::FOR_THIS_USER) })?;
    // SAFETY: the kernel just made this number for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn set_size(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    check_file_size(length as u64)?;
    let end = libc::off_t::try_from(length).map_err(io::Error::other)?;
    Ok(nix::unistd::ftruncate(fd, end)?)
}

/// Makes sure that a received object is read-only for ever and has `length` bytes.
///
/// Everybody who holds it can only read. That its maker gave up the writing descriptor cannot be
/// asked; `freeze` does it before the object leaves its hands.
pub(crate) fn verify(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE != OFlag::O_RDONLY {
        return Err(invalid("the memory received is not read-only, so it could change".into()));
    }
    verify_fixed(fd, length)
}

/// Makes sure that a received object can be written, and cannot shrink below `length` bytes.
pub(crate) fn verify_blank(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    if flags & OFlag::O_ACCMODE != OFlag::O_RDWR {
        return Err(invalid(
            "the memory received was frozen, and cannot be filled any more".into(),
        ));
    }
    verify_fixed(fd, length)
}

/// What tells an object from others: no more than its size, since shared memory has no number here (xnu,
/// `pshm_stat`).
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<[u64; 2]> {
    let status = fstat(fd)?;
    Ok([u64::try_from(status.st_size).unwrap_or(0), status.st_ino])
}

/// Makes sure that a received object cannot shrink below `length` bytes.
pub(crate) fn verify_fixed(fd: BorrowedFd<'_>, length: usize) -> io::Result<()> {
    if !is_memory(fd)? {
        return Err(invalid("what was received is not shared memory, so it could change".into()));
    }
    // Whole pages: more than `length` is normal.
    let actual = usize::try_from(fstat(fd)?.st_size).unwrap_or(0);
    if actual < length {
        return Err(invalid(format!("the memory received has {actual} bytes, not {length}")));
    }
    Ok(())
}

/// Nobody can say, and nothing could be done about it: see [`make_present`].
pub(crate) fn a_touch_may_fail() -> bool {
    false
}

/// Memory comes as it is written: the system cannot bring it before.
#[expect(clippy::unnecessary_wraps, reason = "other systems can, and tell when there is none")]
pub(crate) fn make_present(_base: *mut u8, _length: usize) -> io::Result<()> {
    Ok(())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
