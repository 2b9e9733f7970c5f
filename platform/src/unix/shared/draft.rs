//! Tables that are being filled, in place, by one process or by several.
//!
//! # Safety
//!
//! A writable mapping is handed out as `&mut [u8]`, so no byte of it may be reached by anybody else
//! meanwhile. Each of these holds:
//!
//! * A [`Draft`] maps the whole object. Its owner hands out its bytes only while there is no `Window`.
//! * A `Window` maps a part. It comes from `Draft::window`, whose caller hands out no byte twice, or
//!   from another process with a baton's note, which says which part of which object it is and which
//!   only one process can take. So windows do not overlap.
//! * A fork would duplicate both. So in a forked child the addresses are taken by nothing that can be read
//!   or written (`leave_to_parent`), and the objects say whose they are.
//! * The object cannot shrink: `os::shared` sees to that, or refuses it.
//!
//! Padding to whole pages belongs to the mapping and is never handed out.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapOptions};

use super::baton::Note;
use super::sealed::{UNCHECKED, room_for};
use super::{Sealed, Wishes};
use crate::os;
use crate::unix::exit;
use crate::unix::fd::{PrivateFd, duplicate, generation, lift};

/// Where this process has writable mappings: start and length.
static MAPPED: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

fn mapped() -> MutexGuard<'static, BTreeMap<usize, usize>> {
    // Nothing that can panic runs under this lock.
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process fills a table: what it has of that is of no use to a forked child.
#[must_use]
pub fn is_being_filled() -> bool {
    !mapped().is_empty()
}

/// In a forked child: puts memory that cannot be touched in the place of all writable mappings.
///
/// They are the parent's. A borrow that was inherited ends the child with SIGSEGV when it is used, and
/// reads or writes nothing else instead, since the addresses stay taken.
pub(crate) fn leave_to_parent() {
    for (start, length) in std::mem::take(&mut *mapped()) {
        let start: *mut libc::c_void = ptr::with_exposed_provenance_mut(start);
        // What cannot be written needs no memory, so none has to be kept for it.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
        // SAFETY: the range is a mapping that a `Writable` of the parent owned. Its copy in this process
        // hands out no byte any more, as its generation is another.
        let map = unsafe { libc::mmap(start, length, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            exit::now(exit::FELL_OUT);
        }
    }
}

/// A writable mapping of this process and not of its forks.
#[derive(Debug)]
struct Writable {
    map: MmapMut,
    /// Where the mapping of whole pages starts.
    page: usize,
    generation: u64,
}

impl Writable {
    /// Maps `length` bytes, not 0, from `start` on.
    ///
    /// # Safety
    ///
    /// The object has that many bytes and cannot shrink, and nobody else reaches these bytes while those of
    /// the result are handed out.
    unsafe fn map(fd: BorrowedFd<'_>, start: u64, length: usize) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(start).len(length);
        // SAFETY: the caller's promise.
        let map = unsafe { options.map_mut(&fd) }?;
        let address = map.as_ptr().expose_provenance();
        let page = address - address % page_size();
        // Whole pages: what lies behind the last byte is in the mapping too.
        let end = (address + length).next_multiple_of(page_size());
        mapped().insert(page, end - page);
        Ok(Self { map, page, generation: generation() })
    }

    fn check(&self) {
        assert!(
            self.generation == generation(),
            "this table is being filled by the parent process, and a forked child cannot use its copy: \
             freeze it before the fork, or send a part of it as an argument"
        );
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        // Before the mapping goes, so that nobody else can be given the addresses and list them. Also in a copy of the
        // process, which has its own list, and for as long as the mapping is there nobody else has the addresses.
        mapped().remove(&self.page);
    }
}

fn page_size() -> usize {
    // SAFETY: no memory is involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Memory of a fixed size that is being filled, mapped by its maker.
#[derive(Debug)]
pub struct Draft {
    blank: os::shared::Blank,
    /// `None` when there are no bytes, when it was frozen, and when it could neither be frozen nor mapped again.
    map: Option<Writable>,
    /// Since the memory was made read-only, also if mapping it failed afterwards.
    read_only: bool,
    length: usize,
    wishes: Wishes,
}

impl Draft {
    /// Makes `length` bytes of zeroes, all of them really there.
    ///
    /// # Errors
    ///
    /// When there is no memory, no room in the address space, or no descriptor left.
    pub fn zeroed(length: usize, wishes: Wishes) -> io::Result<Self> {
        if length > UNCHECKED {
            room_for(length)?;
        }
        let blank = os::shared::Blank::new(length, wishes)?;
        let mut this = Self { blank, map: None, read_only: false, length, wishes };
        this.map()?;
        Ok(this)
    }

    fn map(&mut self) -> io::Result<()> {
        if self.length > 0 {
            // SAFETY: just made with that length, which cannot change; who has a window of it is up to the
            // caller of `window` and `bytes_mut`, as those say.
            self.map = Some(unsafe { Writable::map(self.blank.writing()?, 0, self.length) }?);
        }
        Ok(())
    }

    /// Makes sure that the memory is not read-only yet.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it is.
    pub(super) fn check_writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is read-only already, and only mapping it has failed: freeze it again",
            ));
        }
        Ok(())
    }

    /// Makes sure that the bytes are mapped: after [`Draft::freeze`] was refused, they may not be.
    ///
    /// # Errors
    ///
    /// As [`Draft::check_writable`], and when there is no room in the address space.
    pub(super) fn map_again(&mut self) -> io::Result<()> {
        self.check_writable()?;
        if self.map.is_none() { self.map() } else { Ok(()) }
    }

    /// The bytes.
    ///
    /// # Panics
    ///
    /// In a forked child of the process that made it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |writable| {
            writable.check();
            &writable.map
        })
    }

    /// The bytes.
    ///
    /// # Panics
    ///
    /// In a forked child of the process that made it.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.map.as_mut().map_or(&mut [], |writable| {
            writable.check();
            &mut writable.map
        })
    }

    /// How many bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Maps a part once more, to be filled by who has it.
    ///
    /// # Safety
    ///
    /// Until the window, and every window that another process makes of what was sent of it, is gone, no
    /// window may overlap with it, and the bytes of the draft must not be used.
    pub(super) unsafe fn window(&self, start: usize, length: usize) -> io::Result<Window> {
        let inside = start.checked_add(length).is_some_and(|end| end <= self.length);
        if !inside {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the part is not inside"));
        }
        let fd = PrivateFd::new(duplicate(self.blank.writing()?)?)?;
        let note = Note {
            object: os::shared::identity(self.blank.writing()?)?,
            whole: self.length as u64,
            start: start as u64,
            length: length as u64,
        };
        // SAFETY: the object is ours, and the rest is the caller's promise.
        unsafe { Window::map(fd, note) }
    }

    /// Makes the memory read-only, for everybody and for ever, as the last that is done with it. That takes nothing
    /// that may be lacking: the descriptor is there, and so is the place of the mapping.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while somebody else can still write to it, where the system tells. And what the system reports.
    pub fn into_frozen(mut self) -> io::Result<Sealed> {
        if let Some(writable) = self.map.take() {
            writable.check();
        }
        sealed(self.blank.into_frozen(self.length)?, self.length, self.wishes)
    }

    /// Makes the memory read-only, for everybody and for ever. The bytes are gone from here then, and are
    /// those of the result.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while another process can still write to it, where the system tells; then it stays
    /// as it was. And what the system reports; then it can be tried again.
    pub fn freeze(&mut self) -> io::Result<Sealed> {
        if let Some(writable) = self.map.take() {
            writable.check();
        }
        let fd = self.blank.freeze(self.length).inspect_err(|_| {
            // Why it was refused is what the caller has to know. If this fails, it is told to who asks for
            // the bytes.
            let _ = self.map_again();
        })?;
        self.read_only = true;
        sealed(lift(fd)?, self.length, self.wishes)
    }
}

/// What was just frozen, mapped.
fn sealed(fd: OwnedFd, length: usize, wishes: Wishes) -> io::Result<Sealed> {
    if wishes.huge_pages && length > 0 {
        os::huge::gather(fd.as_fd(), length);
    }
    Sealed::map(fd, length, wishes)
}

/// The mapping of a part, which nobody else can reach.
#[derive(Debug)]
pub(super) struct Window {
    // Unmapped before the descriptor is closed.
    map: Option<Writable>,
    fd: PrivateFd,
    note: Note,
}

impl Window {
    /// # Safety
    ///
    /// As [`Writable::map`] says, for the part that the note tells.
    unsafe fn map(fd: PrivateFd, note: Note) -> io::Result<Self> {
        let length = usize::try_from(note.length).map_err(io::Error::other)?;
        let map = if length == 0 {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { Writable::map(fd.borrow()?, note.start, length) }?)
        };
        Ok(Self { map, fd, note })
    }

    /// Maps the part that a baton's note tells of.
    ///
    /// # Safety
    ///
    /// The note was taken with [`Baton::take`](super::baton::Baton::take), whose baton is kept as long as
    /// the window.
    pub(super) unsafe fn receive(fd: OwnedFd, note: Note) -> io::Result<Self> {
        let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
        let whole = usize::try_from(note.whole).map_err(io::Error::other)?;
        os::shared::verify_blank(fd.as_fd(), whole)?;
        if os::shared::identity(fd.as_fd())? != note.object {
            return Err(invalid("the memory received is not that of this part of a table"));
        }
        if note.start.checked_add(note.length).is_none_or(|end| end > note.whole) {
            return Err(invalid("the part of a table is not inside of it"));
        }
        let fd = PrivateFd::new(fd)?;
        // SAFETY: the object has that many bytes and cannot shrink; and the note was left by the one who had
        // the window before and has it no more, and could be taken only once.
        unsafe { Self::map(fd, note) }
    }

    /// The bytes. Panics in a forked child of the process that has it.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.map.as_mut().map_or(&mut [], |writable| {
            writable.check();
            &mut writable.map
        })
    }

    /// Which part of which object it is.
    pub(super) fn note(&self) -> Note {
        self.note
    }

    /// The object, to be sent together with a baton.
    pub(super) fn object(&self) -> io::Result<OwnedFd> {
        duplicate(self.fd.borrow()?)
    }
}
