//! Parts of a table that several processes fill at the same time.
//!
//! # Safety
//!
//! The parts of one [`Lent`] cover its bytes without overlapping: they are cut one behind the other, and a
//! new one is made for a place only when the kernel says that nobody holds the baton of the one before.
//! The whole is handed out only when nobody holds any. A part that was given away keeps its mapping and hands
//! out no byte of it, unless it took its own note back, which then nobody else can take.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Sealed;
use super::baton::{Baton, Watch};
use super::draft::{Draft, Window};
use crate::unix::poll;

/// A table whose parts were given out.
#[derive(Debug)]
pub struct Lent {
    draft: Draft,
    places: Vec<Place>,
    frozen: bool,
}

/// Where a part lies, and who sees that it is held.
#[derive(Debug)]
struct Place {
    bytes: Range<usize>,
    watch: Watch,
}

/// A part, which nobody else can reach.
#[derive(Debug)]
pub struct Part {
    // Unmapped before the baton is given up: fields are dropped in this order.
    window: Window,
    baton: Baton,
    given: AtomicBool,
}

impl Lent {
    /// Cuts all of a table into parts of `size` bytes, the last one perhaps smaller.
    ///
    /// # Errors
    ///
    /// When there is no room in the address space, or no descriptor left; `InvalidInput` for a size of 0.
    pub fn new(draft: Draft, size: usize) -> io::Result<(Self, Vec<Part>)> {
        if size == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a part of no size"));
        }
        let (mut places, mut parts) = (Vec::new(), Vec::new());
        let length = draft.length();
        for start in (0..length).step_by(size) {
            let bytes = start..length.min(start.saturating_add(size));
            // SAFETY: the ranges lie one behind the other, and `bytes_mut` asks whether a part is held.
            let (part, watch) = unsafe { Part::new(&draft, bytes.clone()) }?;
            places.push(Place { bytes, watch });
            parts.push(part);
        }
        Ok((Self { draft, places, frozen: false }, parts))
    }

    /// The range of the first part, in bytes, that somebody holds, or that is on its way.
    ///
    /// # Errors
    ///
    /// In a forked child of the process that made it.
    pub fn first_held(&self) -> io::Result<Option<Range<usize>>> {
        for place in &self.places {
            if place.watch.is_held()? {
                return Ok(Some(place.bytes.clone()));
            }
        }
        Ok(None)
    }

    /// Waits until nobody holds a part, or for `limit`. Returns early when the limit has passed, and then
    /// [`Lent::first_held`] tells.
    ///
    /// # Errors
    ///
    /// In a forked child of the process that made it.
    pub fn wait(&self, limit: Duration) -> io::Result<()> {
        let begin = Instant::now();
        loop {
            let mut held = Vec::new();
            for place in &self.places {
                if place.watch.is_held()? {
                    held.push(place.watch.interest()?);
                }
            }
            let Some(left) = limit.checked_sub(begin.elapsed()).filter(|left| !left.is_zero())
            else {
                return Ok(());
            };
            if held.is_empty() {
                return Ok(());
            }
            poll::wait(&mut held, Some(left))?;
        }
    }

    /// All bytes, when nobody holds a part; else `None`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` after the memory was made read-only; in a forked child of the process that made it; and
    /// when it could not be frozen, and there is no room in the address space to map it again.
    pub fn bytes_mut(&mut self) -> io::Result<Option<&mut [u8]>> {
        self.check_draft()?;
        if self.first_held()?.is_some() {
            return Ok(None);
        }
        self.draft.map_again()?;
        Ok(Some(self.draft.bytes_mut()))
    }

    /// Makes new parts for all places whose part nobody holds any more.
    ///
    /// # Errors
    ///
    /// As [`Lent::new`], and `InvalidInput` after the memory was made read-only.
    pub fn reclaim(&mut self) -> io::Result<Vec<Part>> {
        self.check_draft()?;
        let mut parts = Vec::new();
        for place in &mut self.places {
            if !place.watch.is_held()? {
                // SAFETY: nobody holds the part of this place, so nobody has a window of it or can make
                // one; the others do not overlap with it.
                let (part, watch) = unsafe { Part::new(&self.draft, place.bytes.clone()) }?;
                place.watch = watch;
                parts.push(part);
            }
        }
        Ok(parts)
    }

    /// Makes the memory read-only, for everybody and for ever.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` while somebody holds a part, or can write to the memory in another way. It can be
    /// tried again. And what the system reports.
    pub fn freeze(&mut self) -> io::Result<Sealed> {
        self.check_unused()?;
        if let Some(held) = self.first_held()? {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("somebody holds the part with the bytes {held:?}"),
            ));
        }
        let sealed = self.draft.freeze()?;
        self.frozen = true;
        Ok(sealed)
    }

    /// After it was frozen, there are no bytes here any more.
    fn check_unused(&self) -> io::Result<()> {
        if self.frozen {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it was frozen before"));
        }
        Ok(())
    }

    fn check_draft(&self) -> io::Result<()> {
        self.check_unused()?;
        self.draft.check_writable()
    }
}

impl Part {
    /// # Safety
    ///
    /// As [`Draft::window`] says, until the watch tells that nobody holds the part.
    unsafe fn new(draft: &Draft, bytes: Range<usize>) -> io::Result<(Self, Watch)> {
        let (baton, watch) = Baton::new()?;
        // SAFETY: the caller's promise.
        let window = unsafe { draft.window(bytes.start, bytes.len()) }?;
        Ok((Self { window, baton, given: AtomicBool::new(false) }, watch))
    }

    /// The bytes, which nobody else can reach; `None` after the part was [given](Part::give) away and taken.
    /// What nobody took is taken back.
    ///
    /// # Panics
    ///
    /// In a forked child of the process that has it.
    #[must_use]
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        // No `&[u8]` is ever handed out, so none can be in use when the part is given away, which takes
        // `&self`.
        if *self.given.get_mut() {
            if !self.baton.take_back(self.window.note()).unwrap_or(false) {
                return None;
            }
            *self.given.get_mut() = false;
        }
        Some(self.window.bytes_mut())
    }

    /// Which bytes of the table these are.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let note = self.window.note();
        // It was mapped, so the numbers fit.
        let place = |number| usize::try_from(number).unwrap_or(usize::MAX);
        place(note.start)..place(note.start.saturating_add(note.length))
    }

    /// What is to be sent to another process: the memory, and both ends of the baton.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left, or is a fork of the one that has the part.
    pub fn descriptors(&self) -> io::Result<[OwnedFd; 3]> {
        let [reading, writing] = self.baton.ends()?;
        Ok([self.window.object()?, reading, writing])
    }

    /// Gives the part to the process that receives the descriptors first. It is of no use here any more, unless
    /// nobody receives them.
    ///
    /// A message that was encoded may never leave: the queue was full, or another field of it could not be
    /// encoded. It is given by the next one then. Of several threads that give it at the same time, all but one
    /// may be refused.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when it was given away before, and somebody took it; and when this process is a fork of
    /// the one that has the part.
    pub fn give(&self) -> io::Result<()> {
        let note = self.window.note();
        // Who finds `true` has the right only with the note that was left; until then, another thread may be
        // about to leave it.
        if self.given.swap(true, Ordering::AcqRel) && !self.baton.take_back(note)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "this part of a table was sent to another process before",
            ));
        }
        self.baton.leave(note).inspect_err(|_| {
            // Nothing was left, so this process has it still.
            self.given.store(false, Ordering::Release);
        })
    }

    /// Takes over a part that another process gave away.
    ///
    /// # Errors
    ///
    /// `InvalidData` when another process took it first, when the table was frozen meanwhile, or when the
    /// descriptors are not those of a part.
    pub fn receive([object, reading, writing]: [OwnedFd; 3]) -> io::Result<Self> {
        let (baton, note) = Baton::take([reading, writing])?;
        // SAFETY: the note was just taken, and the baton is kept beside the window.
        let window = unsafe { Window::receive(object, note) }?;
        Ok(Self { window, baton, given: AtomicBool::new(false) })
    }
}
