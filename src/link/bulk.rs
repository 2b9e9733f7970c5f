//! Large bodies, in pieces, through a ring of their own: both sides copy at the same time.
//!
//! A frame in the ring of frames says that a body comes and how long it is; the bodies follow each other as
//! the frames do. Nothing is copied but into the ring and out of it.

use std::fmt;
use std::sync::Arc;

use offspring_platform::memory;
use offspring_platform::ring::{Consumer, Corrupt, Producer};

use super::lane::{BULK, PIECE};
use crate::codec::Encoded;

/// How much room is made at once for a body of which a part is there.
const TRUSTED: usize = 128 << 20;

/// What came of moving one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// There is nothing to move, or no room.
    Nothing,
    /// So many bytes; the other side must be woken, if so.
    Piece { length: usize, wake: bool },
}

/// The end into which bodies go, one after the other.
#[derive(Debug)]
pub(crate) struct Sender {
    ring: Producer,
    /// Whether there is memory for the ring; not known before it is needed.
    reserved: Option<bool>,
    /// What is under way, and how much of it is in the ring.
    body: Option<(Arc<Encoded>, usize)>,
}

impl Sender {
    pub(crate) fn new(ring: Producer) -> Self {
        Self { ring, reserved: None, body: None }
    }

    /// Takes a body to send. False if it has to go another way: it brings descriptors, the one before is not
    /// gone, or there is no memory for the ring.
    pub(crate) fn begin(&mut self, message: &Arc<Encoded>) -> bool {
        if self.is_busy() || !message.descriptors.is_empty() {
            return false;
        }
        let ring = &self.ring;
        if !*self.reserved.get_or_insert_with(|| ring.reserve().is_ok()) {
            return false;
        }
        self.body = Some((message.clone(), 0));
        true
    }

    /// Whether something is left to send.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.body.is_some()
    }

    /// Nobody will read it.
    pub(crate) fn abandon(&mut self) {
        self.body = None;
    }

    /// Puts the next piece into the ring, if there is room.
    pub(crate) fn push(&mut self) -> Result<Moved, Corrupt> {
        let Some((message, sent)) = &mut self.body else { return Ok(Moved::Nothing) };
        let rest = &message.bytes[*sent..];
        let wanted = rest.len().min(PIECE);
        let length = self.ring.room(wanted)?.min(wanted);
        if length == 0 {
            return Ok(Moved::Nothing);
        }
        self.ring.put(&rest[..length]);
        self.ring.publish();
        *sent += length;
        let done = length == rest.len();
        let wake = self.ring.wakes(done || self.ring.known_room() == 0);
        if done {
            self.body = None;
        }
        Ok(Moved::Piece { length, wake })
    }

    /// After some pieces, if no other follows for a while: whether the other side must be woken.
    #[must_use = "the other side sleeps until it is woken"]
    pub(crate) fn pauses(&self) -> bool {
        self.ring.wakes(true)
    }

    /// Whether a whole piece, or the last one, fits.
    pub(crate) fn has_room(&mut self) -> bool {
        let Some((message, sent)) = &self.body else { return false };
        let wanted = (message.bytes.len() - sent).min(PIECE);
        // What is wrong will show when the next piece is put there.
        self.ring.room(wanted).map_or(true, |room| room >= wanted)
    }

    /// Says that this side is about to sleep until there is room. False if there is: then it must not.
    pub(crate) fn prepare_sleep(&mut self) -> Result<bool, Corrupt> {
        let Some((message, sent)) = &self.body else { return Ok(true) };
        self.ring.prepare_sleep((message.bytes.len() - sent).min(BULK / 2))
    }

    /// Takes over what a copy of this process has sent, which has ended. Returns how many bytes.
    pub(crate) fn catch_up(&mut self) -> Result<u64, Corrupt> {
        self.ring.catch_up()
    }
}

/// The end out of which bodies come.
pub(crate) struct Receiver {
    ring: Consumer,
    /// What has arrived of the body that is under way, and how long it will be.
    body: Option<(Vec<u8>, usize)>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Receiver {
    pub(crate) fn new(ring: Consumer) -> Self {
        Self { ring, body: None }
    }

    /// A body of this length comes next. The one before must be gone.
    pub(crate) fn expect(&mut self, length: usize) {
        self.body = Some((Vec::new(), length));
    }

    /// Whether a body is under way.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.body.is_some()
    }

    /// Whether bytes are there to be taken.
    pub(crate) fn has_bytes(&mut self) -> bool {
        // What is wrong will show when they are taken.
        !matches!(self.ring.available(), Ok(0))
    }

    /// Takes the next piece out of the ring, if there is one.
    pub(crate) fn pull(&mut self) -> Result<Moved, Corrupt> {
        let Some((body, whole)) = &mut self.body else { return Ok(Moved::Nothing) };
        let missing = *whole - body.len();
        let length = self.ring.available()?.min(PIECE).min(missing);
        if length == 0 {
            return Ok(Moved::Nothing);
        }
        make_room(body, missing);
        let length = length.min(body.capacity() - body.len());
        self.ring.take_behind(body, length);
        let wake = self.ring.release();
        Ok(Moved::Piece { length, wake })
    }

    /// Whether all of it is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.as_ref().is_some_and(|(body, whole)| body.len() == *whole)
    }

    /// The body, once it is whole.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        self.body.take_if(|(body, whole)| body.len() == *whole).map(|(body, _)| body)
    }

    /// No more of it will come.
    pub(crate) fn abandon(&mut self) {
        self.body = None;
    }

    /// Says that this side is about to sleep until a good part of what is missing is there. False if there is
    /// something: then it must not.
    pub(crate) fn prepare_sleep(&mut self) -> Result<bool, Corrupt> {
        let Some((body, whole)) = &self.body else { return Ok(true) };
        self.ring.prepare_sleep((whole - body.len()).min(BULK / 2))
    }

    /// Says that this side is awake.
    pub(crate) fn wake_up(&self) {
        if self.is_busy() {
            self.ring.wake_up();
        }
    }
}

/// Room for bytes that were announced. Room that is not filled costs nothing, up to a point; beyond it, memory
/// is asked for as bytes arrive, since the announcement may be wrong.
pub(super) fn make_room(body: &mut Vec<u8>, missing: usize) {
    if body.len() < body.capacity() {
        return;
    }
    // Should there be no memory, this is where it shows, as anywhere else in Rust.
    body.reserve_exact(missing.min(body.len().max(TRUSTED)));
    memory::will_fill(body);
}
