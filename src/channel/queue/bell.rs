//! How an end of a queue is waited for beside other things: by its socket, in which those ring who have a message or
//! room, if somebody polls.
//!
//! Who polls says so in a word of the queue, looks once more, and sleeps. Who sends or receives clears the word, and
//! if it was set, rings: a mark with the number 0, which no attempt to send descriptors has. From senders to
//! receivers it goes the way of the descriptors, and in the other direction there is nothing else.
//!
//! A bell rings until somebody finds, with the lock, that there is nothing for those who hear it. That one takes all
//! marks out and sets the word again before it gives the lock back, so the next message rings anew, whoever else
//! still sleeps. Nothing is kept about those who poll, so their death leaves nothing behind but one ring in vain.
//! A sender that dies before it rings costs a moment: nobody sleeps longer than a slice without a look.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::Interest;
use offspring_platform::{socket, waiting};

use super::core::{Core, POLLED_FOR_ITEMS, POLLED_FOR_ROOM, SLICE};
use super::sender::End;
use crate::error::Error;
use crate::woken::{Needs, Woken};

/// The number of a mark that only rings.
const RING: u64 = 0;

impl Core {
    /// Wakes those who poll the other end of this socket, if there may be any.
    pub(super) fn ring(&self, word: usize, socket: BorrowedFd<'_>) {
        if waiting::must_wake(self.region.word(word)) {
            // A full buffer rings already. Whatever else fails, they look again after a slice.
            let _ = socket::send_message(socket, &RING.to_ne_bytes(), &[]);
        }
    }

    /// Takes out all marks, and descriptors with them; the next event rings again. Only with the lock, and when
    /// no message that counts has descriptors.
    pub(super) fn silence(&self, word: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        while receive_marked(socket)?.is_some() {}
        waiting::will_sleep(self.region.word(word));
        Ok(())
    }
}

/// Receives what is marked with one number; `None` when nothing is there.
pub(super) fn receive_marked(socket: BorrowedFd<'_>) -> io::Result<Option<(u64, Vec<OwnedFd>)>> {
    let (mut mark, mut fds) = ([0; 8], Vec::new());
    let is_reset = |received: &io::Result<usize>| {
        received.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
    };
    let mut received = socket::receive_message(socket, &mut mark, &mut fds);
    // The other side is gone, and did not take out what this one rang. Linux says so once, and before it gives what
    // the other side had sent.
    if is_reset(&received) {
        received = socket::receive_message(socket, &mut mark, &mut fds);
    }
    match received {
        _ if is_reset(&received) => Ok(None),
        Ok(8) => Ok(Some((u64::from_ne_bytes(mark), fds))),
        Ok(0) => Ok(None),
        Ok(_) => Err(io::Error::other("a mark was cut short")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// An end of a queue, while it is waited for beside other things.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    core: &'a Core,
    end: &'a End,
    for_room: bool,
    /// Somebody had the lock for longer than it takes to copy a message.
    is_held_up: bool,
}

const DOING: &str = "wait for a queue";

impl<'a> Watch<'a> {
    pub(super) fn for_items(core: &'a Core, end: &'a End) -> Self {
        Self { core, end, for_room: false, is_held_up: false }
    }

    pub(super) fn for_room(core: &'a Core, end: &'a End) -> Self {
        Self { core, end, for_room: true, is_held_up: false }
    }

    fn word(&self) -> usize {
        if self.for_room { POLLED_FOR_ROOM } else { POLLED_FOR_ITEMS }
    }

    fn socket(&self) -> Result<BorrowedFd<'a>, Error> {
        let socket = self.end.socket().and_then(PrivateFd::borrow);
        socket.map_err(|error| Error::system(DOING, error))
    }

    /// Whether there is a message, or room. Costs nothing.
    pub(crate) fn has_any(&self) -> bool {
        let state = self.core.state();
        if self.for_room {
            self.end.missing.has_come(self.core, &state)
        } else {
            state.messages != 0
        }
    }

    /// Says that it will be polled, and looks once more.
    pub(crate) fn announce(&self) -> bool {
        waiting::will_sleep(self.core.region.word(self.word()));
        self.has_any()
    }

    pub(crate) fn interest(&self, needs: &mut Needs) -> Result<Interest<'a>, Error> {
        needs.look_after(SLICE);
        let socket = self.socket()?;
        // Who could not take the marks out would be woken by them again and again.
        Ok(match self.is_held_up {
            true => Interest::hang_up(socket),
            false => Interest::readable(socket),
        })
    }

    /// After it was polled: whether there is a message or room, or the other side is gone.
    pub(crate) fn look(&mut self, woken: Woken) -> Result<bool, Error> {
        self.is_held_up = false;
        if self.has_any() || woken.hung_up {
            return Ok(true);
        }
        if !woken.readable {
            return Ok(false);
        }
        let Some(held) = self.core.lock_soon(DOING)? else {
            self.is_held_up = true;
            return Ok(false);
        };
        let any = self.has_any();
        if !any {
            let silenced = self.core.silence(self.word(), self.socket()?);
            silenced.map_err(|error| Error::system(DOING, error))?;
        }
        drop(held);
        Ok(any)
    }
}
