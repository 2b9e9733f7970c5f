//! The end of a queue that receives.

use std::any::type_name;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll;
use offspring_platform::waiting::{self, Whom};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bell::{self, Watch};
use super::core::{
    Core, FINISHED, Head, ITEMS, POLLED_FOR_ITEMS, POLLED_FOR_ROOM, ROOM, SLICE, State, overwritten,
};
use super::sender::{End, arrived, ticket};
use crate::codec;
use crate::error::{Error, ErrorKind};
use crate::woken::after;

/// An end of a [queue](super::queue()) that receives.
///
/// Each message goes to one receiver. Clones, and those that other processes were sent, are further ends;
/// all are alike. When the last of them is dropped, or the last process that has one is gone, senders learn
/// that the queue is closed.
pub struct Receiver<T> {
    core: Core,
    end: Arc<End>,
    messages: PhantomData<fn() -> T>,
}

const DOING: &str = "receive a message from a queue";

/// Messages up to this length are not asked about: memory for them is taken, and filled or given back.
const BELIEVED: u64 = 1 << 20;

/// A message as it came.
struct Arrived {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// What one attempt to receive came to.
enum Attempt {
    Message(Arrived),
    Empty,
    /// Others had the lock, also when the limit had passed.
    HeldUp,
    Closed,
}

impl<T> Receiver<T> {
    pub(super) fn new(core: Core, socket: PrivateFd) -> Self {
        let end = Arc::new(End::new(socket, &core, ROOM));
        Self { core, end, messages: PhantomData }
    }

    /// How many messages the queue holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        usize::try_from(self.core.capacity()).unwrap_or(usize::MAX)
    }

    /// How many messages wait, about: others send and receive meanwhile.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.core.state().messages).unwrap_or(usize::MAX)
    }

    /// Whether no message waits, about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// To wait for messages beside other things.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch::for_items(&self.core, &self.end)
    }

    /// Says that one of the messages that were received is done; for those who wait in
    /// [`Sender::join`](super::Sender::join).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when all messages that were sent are done already, and
    /// [`ErrorKind::System`] when the system refuses.
    pub fn task_done(&self) -> Result<(), Error> {
        let doing = "say that a message of a queue is done";
        let Some(held) = self.core.lock(None, doing)? else {
            return Err(Error::new(ErrorKind::Busy, doing).detail("the queue is in use"));
        };
        let state = self.core.state();
        let Some(unfinished) = state.unfinished.checked_sub(1) else {
            return Err(Error::new(ErrorKind::Invalid, doing)
                .detail("all messages that were sent are done already"));
        };
        self.core.commit(State { unfinished, ..state });
        drop(held);
        if unfinished == 0 {
            waiting::made_room(self.core.region.word(FINISHED), Whom::All);
        }
        Ok(())
    }
}

impl<T: DeserializeOwned + 'static> Receiver<T> {
    /// Takes the next message; waits for one while the queue is empty.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Closed`]: the queue is empty and the last sender is gone.
    /// * [`ErrorKind::DecodeArguments`]: the message could not be decoded; the next one can be.
    /// * [`ErrorKind::System`]: the system refused, for instance descriptors of the message.
    pub fn recv(&self) -> Result<T, Error> {
        self.recv_until(None)?.ok_or_else(closed)
    }

    /// Takes the next message, if there is one. `None`: the queue is empty.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn try_recv(&self) -> Result<Option<T>, Error> {
        match self.attempt(Some(Instant::now()))? {
            Attempt::Message(arrived) => decoded(arrived).map(Some),
            Attempt::Empty | Attempt::HeldUp => Ok(None),
            Attempt::Closed => Err(closed()),
        }
    }

    /// Takes the next message; waits for one for so long at most. `None`: time is up and the queue is empty.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<T>, Error> {
        // A limit beyond all clocks is none.
        self.recv_until(after(limit))
    }

    /// Messages, until the queue is closed. One that could not be received is an `Err` among them.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self, failed: false }
    }

    fn recv_until(&self, limit: Option<Instant>) -> Result<Option<T>, Error> {
        let mut looks = 0u32;
        let word = self.core.region.word(ITEMS);
        let found = waiting::until(word, limit, SLICE, || {
            looks += 1;
            // While it spins, a look at the number is enough.
            if (2..=50).contains(&looks) && self.core.state().messages == 0 {
                return None;
            }
            match self.attempt(limit) {
                Ok(Attempt::Empty) => None,
                other => Some(other),
            }
        });
        match found.transpose()? {
            None | Some(Attempt::Empty | Attempt::HeldUp) => Ok(None),
            Some(Attempt::Closed) => Err(closed()),
            Some(Attempt::Message(arrived)) => decoded(arrived).map(Some),
        }
    }

    fn attempt(&self, limit: Option<Instant>) -> Result<Attempt, Error> {
        let system = |error| Error::system(DOING, error);
        let socket = self.end.socket().and_then(PrivateFd::borrow).map_err(system)?;
        let Some(held) = self.core.lock(limit, DOING)? else { return Ok(Attempt::HeldUp) };
        let state = self.core.checked_state(DOING)?;
        if state.messages == 0 {
            if self.core.may_have_stray() {
                self.core.set_stray(false);
                // No message has descriptors: these belong to none.
                self.core.silence(POLLED_FOR_ITEMS, socket).map_err(system)?;
                waiting::made_room(self.core.region.word(ROOM), Whom::All);
            }
            // Senders need the lock to send: whoever is gone now has sent nothing that is not counted.
            let closed = poll::has_hung_up(socket).map_err(system)?;
            return Ok(if closed { Attempt::Closed } else { Attempt::Empty });
        }
        let mut head = [0; Head::SIZE];
        self.core.spool.read(state.head, &mut head).map_err(system)?;
        let head = Head::from_bytes(head);
        let body = state.head + Head::SIZE as u64;
        let Some(bytes_behind) = state.bytes.checked_sub(head.length) else {
            return Err(overwritten(DOING));
        };
        let mut bytes = self.room(head.length)?;
        self.core.spool.read(body, &mut bytes).map_err(system)?;
        self.core.commit(State {
            head: body + head.length,
            messages: state.messages - 1,
            bytes: bytes_behind,
            ..state
        });
        // From here on the message is taken; its descriptors come next in the socket.
        let descriptors = receive_descriptors(socket, head);
        self.core.give_back();
        drop(held);
        waiting::made_room(self.core.region.word(ROOM), Whom::All);
        self.core.ring(POLLED_FOR_ROOM, socket);
        if state.messages > 1 {
            // More than one sender may have woken the same receiver.
            waiting::made_room(self.core.region.word(ITEMS), Whom::One);
        }
        Ok(Attempt::Message(Arrived {
            bytes,
            descriptors: descriptors.map_err(|error| {
                system(error).detail("the descriptors of a message were lost, and it with them")
            })?,
        }))
    }
}

impl<T> Receiver<T> {
    /// Room for a message of this length, which its sender says it has.
    fn room(&self, length: u64) -> Result<Vec<u8>, Error> {
        let is_believed = length <= BELIEVED;
        if !is_believed && !self.core.spool.has(length).map_err(|e| Error::system(DOING, e))? {
            return Err(overwritten(DOING));
        }
        let length = usize::try_from(length).map_err(|_| overwritten(DOING))?;
        if !is_believed {
            let mut tried = Vec::<u8>::new();
            tried.try_reserve_exact(length).map_err(|error| {
                let error = Error::system(DOING, io::Error::new(io::ErrorKind::OutOfMemory, error));
                error.detail(format!("there is no memory for a message of {length} bytes"))
            })?;
            // Given back and taken again: so the system supplies the zeroes, and nobody writes them. The compiler may
            // not take it for of no use.
            drop(std::hint::black_box(tried));
        }
        Ok(vec![0; length])
    }
}

/// The descriptors of a message, without those of attempts before it that came to nothing.
fn receive_descriptors(socket: BorrowedFd<'_>, head: Head) -> io::Result<Vec<OwnedFd>> {
    let wanted = usize::try_from(head.descriptors).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    while all.len() < wanted {
        match bell::receive_marked(socket)? {
            Some((mark, fds)) if mark == head.attempt => all.extend(fds),
            Some((mark, _)) if mark < head.attempt => {}
            _ => return Err(io::Error::other("descriptors are missing")),
        }
    }
    Ok(all)
}

fn decoded<T: DeserializeOwned + 'static>(arrived: Arrived) -> Result<T, Error> {
    codec::decode(arrived.bytes.into(), arrived.descriptors)
        .map_err(|error| Error::new(ErrorKind::DecodeArguments, DOING).caused_by(error))
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, DOING).detail("it is empty and the last sender is gone")
}

/// The messages of a queue, from [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
    failed: bool,
}

impl<T: DeserializeOwned + 'static> Iterator for Iter<'_, T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.receiver.recv() {
            Err(error) if error.kind() == ErrorKind::Closed => None,
            Err(error) => {
                // What the system refuses now it may refuse for ever.
                self.failed = error.kind() != ErrorKind::DecodeArguments;
                Some(Err(error))
            }
            Ok(message) => Some(Ok(message)),
        }
    }
}

impl<'a, T: DeserializeOwned + 'static> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, Error>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), end: self.end.clone(), messages: PhantomData }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver<{}>({} of {})", type_name::<T>(), self.len(), self.capacity())
    }
}

impl<T> Serialize for Receiver<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ticket::<S::Error>(&self.core, &self.end)?.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Receiver<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = <[u32; 3]>::deserialize(deserializer).map_err(D::Error::custom)?;
        let (core, socket) = arrived::<D::Error>(ticket)?;
        Ok(Self::new(core, socket))
    }
}
