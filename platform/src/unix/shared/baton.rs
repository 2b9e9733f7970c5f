//! The right to write to a part of a table: one process has it, and its giver sees when nobody has.
//!
//! A baton is a pipe, of which all holders have both ends. Who passes it on writes a note into it, and who
//! receives it takes the note out. The kernel gives the note to one reader only; so of a message that
//! reaches several processes, one gets the right, and the others an error. And when the last writing end
//! is closed, because its holder dropped it or died or the message was lost, the kernel says so at the
//! reading end, which whoever watches keeps.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::unix::descriptors::pipe;
use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::poll::{self, Interest};
use crate::unix::uninterrupted;

/// What is written about the part: it comes from the kernel and cannot be forged beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// What tells the object from others.
    pub(super) object: [u64; 2],
    /// How many bytes the object has.
    pub(super) whole: u64,
    /// The first byte of the part.
    pub(super) start: u64,
    /// How many bytes the part has.
    pub(super) length: u64,
}

const SIZE: usize = 5 * size_of::<u64>();

impl Note {
    fn to_bytes(self) -> [u8; SIZE] {
        let words = [self.object[0], self.object[1], self.whole, self.start, self.length];
        let mut bytes = [0; SIZE];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; SIZE]) -> Self {
        let mut words = [0; 5];
        for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut one = [0; 8];
            one.copy_from_slice(place);
            *word = u64::from_ne_bytes(one);
        }
        let [first, second, whole, start, length] = words;
        Self { object: [first, second], whole, start, length }
    }
}

/// Held by the one who may write. Forked children do not inherit it.
#[derive(Debug)]
pub(super) struct Baton {
    reading: PrivateFd,
    writing: PrivateFd,
}

impl Baton {
    /// Makes one, held by this process, with somebody who watches.
    pub(super) fn new() -> io::Result<(Self, Watch)> {
        let (reading, writing) = pipe()?;
        never_block(reading.borrow()?)?;
        never_block(writing.borrow()?)?;
        let watch = Watch(PrivateFd::new(duplicate(reading.borrow()?)?)?);
        Ok((Self { reading, writing }, watch))
    }

    /// Both ends, to be sent to another process together with what `leave` leaves in them.
    pub(super) fn ends(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([duplicate(self.reading.borrow()?)?, duplicate(self.writing.borrow()?)?])
    }

    /// Leaves the right to write to whoever receives the ends first. This process has it no more.
    pub(super) fn leave(&self, note: Note) -> io::Result<()> {
        let mut file = File::from(duplicate(self.writing.borrow()?)?);
        // One write of less than `PIPE_BUF` into an empty pipe: all or nothing.
        file.write_all(&note.to_bytes())
    }

    /// Takes back what [`Baton::leave`] left, if nobody took it: the message was refused, or is on its way.
    /// False if this process does not have the right again.
    ///
    /// Whoever receives such a message later finds no note, like the second receiver of any message.
    pub(super) fn take_back(&self, note: Note) -> io::Result<bool> {
        let mut bytes = [0; SIZE];
        // Without a duplicate, so that a lack of descriptors does not keep it.
        let read = uninterrupted(|| Ok(nix::unistd::read(self.reading.borrow()?, &mut bytes)?));
        match read {
            Ok(count) => Ok(count == SIZE && Note::from_bytes(bytes) == note),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the right that somebody left in these ends.
    pub(super) fn take([reading, writing]: [OwnedFd; 2]) -> io::Result<(Self, Note)> {
        let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
        let mut file = File::from(reading);
        let is_pipe = |file: &File| Ok::<_, io::Error>(file.metadata()?.file_type().is_fifo());
        let writing = File::from(writing);
        if !is_pipe(&file)? || !is_pipe(&writing)? {
            return Err(invalid("what was received with the part of a table is no pipe"));
        }
        never_block(file.as_fd())?;
        let mut bytes = [0; SIZE];
        // It is read at once, or not at all, as it was written.
        match uninterrupted(|| file.read(&mut bytes)) {
            Ok(SIZE) => {}
            Ok(_) => return Err(invalid("the part of a table came with an incomplete note")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(invalid(
                    "another process has this part of a table: a part goes to one process only, once \
                     (not to several by `broadcast` or `init`, and not again by `retries`)",
                ));
            }
            Err(error) => return Err(error),
        }
        let this = Self {
            reading: PrivateFd::new(file.into())?,
            writing: PrivateFd::new(writing.into())?,
        };
        Ok((this, Note::from_bytes(bytes)))
    }
}

/// Sees whether anybody holds the baton, or it is on its way to somebody.
#[derive(Debug)]
pub(super) struct Watch(PrivateFd);

impl Watch {
    /// Whether anybody does.
    pub(super) fn is_held(&self) -> io::Result<bool> {
        Ok(!poll::has_hung_up(self.0.borrow()?)?)
    }

    /// What tells when nobody does any more.
    pub(super) fn interest(&self) -> io::Result<Interest<'_>> {
        Ok(Interest::hang_up(self.0.borrow()?))
    }
}

fn never_block(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
