//! What all ends of a queue share: the order of its messages, under a lock that no dead process keeps.
//!
//! # Why nothing breaks when a process is killed
//!
//! * The lock is one whose owner may die ([`offspring_platform::lock`]): the next has it then.
//! * What the lock protects changes in one step. The state (where the first message is, where the next goes,
//!   how many there are) is written into the one of two records that does not count, and then one store of
//!   one word makes it the one that counts. A sender that dies before that store has sent nothing; a receiver
//!   that dies before it has taken nothing. After it the message is sent, or taken.
//! * Nobody is waited for but by sleeps that look again after a while, so a wake-up that was lost with a
//!   process costs a moment.
//! * Ends are copies of one end of a socket pair. The kernel closes those of a process that is gone, however it
//!   went, and the others see the hang-up.
//!
//! Bytes lie in a spool, memory that is written and read by calls and given back when it was read.
//! Descriptors go through the socket pair, before their message counts, marked with the number of the attempt
//! to send it. Those of attempts that came to nothing are recognised by their number, and closed by the
//! receiver that meets them. Many ends share a socket, so a mark must come out whole as it went in: the sockets
//! are those of `descriptors::message_pair`, no streams. `bell.rs` uses the same sockets to wake those who poll them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offspring_platform::lock::{Held, Refused};
use offspring_platform::region::Region;
use offspring_platform::spool::Spool;

use crate::error::{Error, ErrorKind};

/// "os", and that it is a queue, so that no other memory is taken for one.
const TAG: u64 = (0x6f73 << 48) | (0x51 << 40);
/// How many words the state takes.
const WORDS: usize = 24;
const CAPACITY: usize = 0;
const MOST_BYTES: usize = 1;
const WHICH: usize = 2;
const ATTEMPTS: usize = 3;
const RECORDS: [usize; 2] = [8, 16];
/// Which words others sleep on.
pub(super) const ITEMS: usize = 0;
pub(super) const ROOM: usize = 1;
pub(super) const FINISHED: usize = 2;
/// Not zero when descriptors may lie in the socket that belong to no message.
const STRAY: usize = 3;
/// Not zero when somebody polls the socket, for messages or for room.
pub(super) const POLLED_FOR_ITEMS: usize = 4;
pub(super) const POLLED_FOR_ROOM: usize = 5;

/// The longest sleep without a look, at the queue and at whether the other side is gone.
pub(super) const SLICE: Duration = Duration::from_millis(20);
/// How long to wait for the lock at least: others hold it while they copy a message.
const PATIENCE: Duration = Duration::from_millis(200);
/// And those who wait for other things beside the queue.
const LITTLE_PATIENCE: Duration = Duration::from_millis(1);
/// No message lies beyond this place; a queue that never was empty on the way there is full until it is.
const END: u64 = 1 << 40;
/// No file is so long that the last message, which began before that, ends behind this.
const FARTHEST: u64 = 1 << 62;
/// When memory is given back.
const WORTHWHILE: u64 = 1 << 20;

/// Where things are. It changes as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Where the first message begins.
    pub(super) head: u64,
    /// Where the next one goes.
    pub(super) tail: u64,
    pub(super) messages: u64,
    /// Those that wait, without what stands before them.
    pub(super) bytes: u64,
    /// Messages that were sent, and that nobody said are done.
    pub(super) unfinished: u64,
    /// Up to where memory was given back.
    pub(super) released: u64,
}

/// What stands before the bytes of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) length: u64,
    pub(super) attempt: u64,
    pub(super) descriptors: u64,
}

impl Head {
    pub(super) const SIZE: usize = 24;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.length, self.attempt, self.descriptors];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        Self { length: word(0), attempt: word(8), descriptors: word(16) }
    }
}

/// See the head of the file.
#[derive(Debug, Clone)]
pub(super) struct Core {
    pub(super) region: Arc<Region>,
    pub(super) spool: Arc<Spool>,
}

impl Core {
    pub(super) fn new(capacity: u64, bytes: u64) -> io::Result<Self> {
        let region = Region::new(TAG, WORDS * size_of::<u64>())?;
        let this = Self { region: Arc::new(region), spool: Arc::new(Spool::new()?) };
        this.word(CAPACITY).store(capacity, Ordering::Relaxed);
        this.word(MOST_BYTES).store(bytes, Ordering::Relaxed);
        Ok(this)
    }

    pub(super) fn received(
        region: std::os::fd::OwnedFd,
        spool: std::os::fd::OwnedFd,
    ) -> io::Result<Self> {
        let region = Region::receive(region, TAG, WORDS * size_of::<u64>())?;
        Ok(Self { region: Arc::new(region), spool: Arc::new(Spool::received(spool)) })
    }

    fn word(&self, number: usize) -> &AtomicU64 {
        &self.region.atomics()[number]
    }

    pub(super) fn capacity(&self) -> u64 {
        self.word(CAPACITY).load(Ordering::Relaxed)
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.word(MOST_BYTES).load(Ordering::Relaxed)
    }

    /// The state. With the lock it is exact, without it one of the last moments, each number for itself.
    pub(super) fn state(&self) -> State {
        let record = RECORDS[usize::from(self.word(WHICH).load(Ordering::Acquire) != 0)];
        let word = |number: usize| self.word(record + number).load(Ordering::Relaxed);
        State {
            head: word(0),
            tail: word(1),
            messages: word(2),
            bytes: word(3),
            unfinished: word(4),
            released: word(5),
        }
    }

    /// The state, with the lock. All who have the queue can write to it: what none of ours has written is an error.
    pub(super) fn checked_state(&self, doing: &'static str) -> Result<State, Error> {
        let state = self.state();
        let waiting = state.tail.checked_sub(state.head);
        let told = state.messages.checked_mul(Head::SIZE as u64);
        let told = told.and_then(|heads| heads.checked_add(state.bytes));
        if waiting.is_some() && waiting == told && state.tail <= FARTHEST {
            Ok(state)
        } else {
            Err(overwritten(doing))
        }
    }

    /// In one step, puts another state in the place of the one that counts. Only with the lock.
    pub(super) fn commit(&self, state: State) {
        let other = u64::from(self.word(WHICH).load(Ordering::Relaxed) == 0);
        let record = RECORDS[usize::from(other != 0)];
        let State { head, tail, messages, bytes, unfinished, released } = state;
        for (number, value) in (0..).zip([head, tail, messages, bytes, unfinished, released]) {
            self.word(record + number).store(value, Ordering::Relaxed);
        }
        // Release: whoever sees this sees the record, also if we die now.
        self.word(WHICH).store(other, Ordering::Release);
    }

    /// The number of the next attempt to send descriptors; used once, whatever becomes of it.
    pub(super) fn next_attempt(&self) -> u64 {
        self.word(ATTEMPTS).fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes the lock. `None`: somebody else has it all the time; it may be stopped. The limit has passed then, so
    /// who was to make attempts until then must make no other: each would wait so long for the lock.
    pub(super) fn lock(
        &self,
        limit: Option<Instant>,
        doing: &'static str,
    ) -> Result<Option<Held<'_>>, Error> {
        let least = Instant::now() + PATIENCE;
        self.lock_until(limit.map(|limit| limit.max(least)), doing)
    }

    /// Takes the lock, if nobody has it for longer than a copy takes.
    pub(super) fn lock_soon(&self, doing: &'static str) -> Result<Option<Held<'_>>, Error> {
        self.lock_until(Some(Instant::now() + LITTLE_PATIENCE), doing)
    }

    fn lock_until(
        &self,
        limit: Option<Instant>,
        doing: &'static str,
    ) -> Result<Option<Held<'_>>, Error> {
        match self.region.lock(limit) {
            Ok(held) => {
                if self.region.is_poisoned() {
                    // The last owner died with it. The state is whole; what it sent ahead is not counted.
                    self.set_stray(true);
                    held.set_poisoned(false);
                }
                Ok(Some(held))
            }
            Err(Refused::Busy) => Ok(None),
            Err(Refused::IsOurs) => Err(Error::new(ErrorKind::Invalid, doing)
                .detail("this thread is in the middle of another call on this queue")),
            Err(Refused::System(error)) => {
                Err(Error::system(doing, error).detail("the system refused the lock of the queue"))
            }
        }
    }

    pub(super) fn set_stray(&self, stray: bool) {
        self.region.word(STRAY).store(stray.into(), Ordering::Relaxed);
    }

    pub(super) fn may_have_stray(&self) -> bool {
        self.region.word(STRAY).load(Ordering::Relaxed) != 0
    }

    /// Whether a message fits, and if so, from which state on. Only with the lock.
    pub(super) fn room_for(
        &self,
        length: u64,
        doing: &'static str,
    ) -> Result<Option<State>, Error> {
        let mut state = self.checked_state(doing)?;
        if state.messages == 0 {
            // Begins anew, so that the same memory is used again. One message is always taken.
            let used = state.tail;
            if used > 0 {
                state = State { unfinished: state.unfinished, ..State::default() };
                self.commit(state);
                if used > WORTHWHILE {
                    // What cannot be given back now is used again.
                    let _ = self.spool.release(0, used);
                }
            }
            return Ok(Some(state));
        }
        Ok(self.fits(&state, length).then_some(state))
    }

    /// Whether so many bytes fit behind what is there.
    pub(super) fn fits(&self, state: &State, length: u64) -> bool {
        state.messages == 0
            || (state.messages < self.capacity()
                && state.bytes.saturating_add(length) <= self.most_bytes()
                && state.tail.saturating_add(length) < END)
    }

    /// Gives back memory of what was taken, now and then. Only with the lock.
    pub(super) fn give_back(&self) {
        let state = self.state();
        let end = if state.messages == 0 { state.tail } else { state.head };
        // Others can write to it.
        let used = end.saturating_sub(state.released);
        if used > WORTHWHILE && self.spool.release(state.released, end).is_ok() {
            self.commit(State { released: end, ..state });
        }
    }
}

/// Somebody has written to the queue what none of ours writes.
pub(super) fn overwritten(doing: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, doing).detail("the queue was overwritten")
}
