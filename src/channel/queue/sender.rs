//! The end of a queue that sends.

use std::any::type_name;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_platform::fd::PrivateFd;
use offspring_platform::waiting::{self, Whom};
use offspring_platform::{poll, socket};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bell::Watch;
use super::core::{Core, FINISHED, Head, ITEMS, POLLED_FOR_ITEMS, ROOM, SLICE, State};
use super::missing::{Lack, Missing};
use crate::channel::refused::SendError;
use crate::channel::travel::{put, put_end, take, take_end};
use crate::codec::descriptors::Carried;
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::woken::after;

/// An end of a [queue](super::queue()) that sends.
///
/// Clones, and those that other processes were sent, are further ends; all are alike. When the last of them
/// is dropped, or the last process that has one is gone, receivers take what is there and then learn that the
/// queue is closed.
pub struct Sender<T> {
    core: Core,
    end: Arc<End>,
    messages: PhantomData<fn(T)>,
}

/// The socket of the senders, in this process.
#[derive(Debug)]
pub(super) struct End {
    socket: Option<PrivateFd>,
    core: Core,
    /// Who may wait to see that this is closed.
    others: usize,
    pub(super) missing: Missing,
}

impl End {
    pub(super) fn new(socket: PrivateFd, core: &Core, others: usize) -> Self {
        Self { socket: Some(socket), core: core.clone(), others, missing: Missing::nothing() }
    }

    pub(super) fn socket(&self) -> io::Result<&PrivateFd> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Closed first, so that those who wake up see it.
        drop(self.socket.take());
        waiting::made_room(self.core.region.word(self.others), Whom::All);
        waiting::made_room(self.core.region.word(FINISHED), Whom::All);
    }
}

const DOING: &str = "send a message through a queue";

/// What one attempt to send came to.
enum Attempt {
    Sent,
    Full(Lack),
    /// Others had the lock, also when the limit had passed.
    HeldUp,
}

impl<T> Sender<T> {
    pub(super) fn new(core: Core, socket: PrivateFd) -> Self {
        let end = Arc::new(End::new(socket, &core, ITEMS));
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

    /// Waits until all messages that were sent are [done](super::Receiver::task_done).
    ///
    /// A message that was taken by a process that died stays unfinished: see [`Sender::join_timeout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`] when the last receiver is gone, and messages are not done;
    /// [`ErrorKind::System`] when the system refuses.
    pub fn join(&self) -> Result<(), Error> {
        self.join_until(None).map(drop)
    }

    /// Like [`Sender::join`], for so long at most. False: time is up and messages are not done.
    ///
    /// # Errors
    ///
    /// As [`Sender::join`].
    pub fn join_timeout(&self, limit: Duration) -> Result<bool, Error> {
        self.join_until(after(limit))
    }

    /// To wait for room beside other things.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch::for_room(&self.core, &self.end)
    }

    fn join_until(&self, limit: Option<Instant>) -> Result<bool, Error> {
        let doing = "wait until all messages of a queue are done";
        let word = self.core.region.word(FINISHED);
        let done = waiting::until(word, limit, SLICE, || {
            if self.core.state().unfinished == 0 {
                return Some(Ok(()));
            }
            let closed = self.end.socket().and_then(PrivateFd::borrow).and_then(poll::has_hung_up);
            match closed {
                Ok(false) => None,
                Ok(true) => {
                    // Those who are gone may have said so in the end.
                    let left = self.core.state().unfinished;
                    if left == 0 {
                        return Some(Ok(()));
                    }
                    Some(Err(Error::new(ErrorKind::Closed, doing).detail(format!(
                        "the last receiver is gone, and {left} messages are not done"
                    ))))
                }
                Err(error) => Some(Err(Error::system(doing, error))),
            }
        });
        done.map_or(Ok(false), |done| done.map(|()| true))
    }
}

impl<T: Serialize + 'static> Sender<T> {
    /// Sends a message; waits for room while the queue is full.
    ///
    /// When this returns, the message is in the queue, and stays there also if this process ends.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None, true)
    }

    /// Sends a message if there is room.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message; of the kind [`ErrorKind::Busy`] when the queue is full.
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, Some(Instant::now()), false)
    }

    /// Sends a message; waits for room for so long at most.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message; of the kind [`ErrorKind::TimedOut`] when the queue was full all the
    /// time.
    pub fn send_timeout(&self, message: T, limit: Duration) -> Result<(), SendError<T>> {
        // A limit beyond all clocks is none.
        self.send_until(message, after(limit), true)
    }

    fn send_until(
        &self,
        message: T,
        limit: Option<Instant>,
        wait: bool,
    ) -> Result<(), SendError<T>> {
        let encoded = match codec::encode(&message) {
            Ok(encoded) => encoded,
            Err(error) => {
                let error = Error::new(ErrorKind::EncodeArguments, DOING).caused_by(error);
                return Err(SendError::new(error, message));
            }
        };
        let word = self.core.region.word(ROOM);
        let mut looks = 0u32;
        let mut lack = None;
        let mut attempt = || match self.attempt(&encoded, limit) {
            Ok(Attempt::Full(why)) => {
                lack = Some(why);
                None
            }
            other => Some(other),
        };
        let sent = if wait {
            waiting::until(word, limit, SLICE, || {
                looks += 1;
                // While it spins, a look at the number is enough.
                let full = self.core.state().messages >= self.core.capacity();
                if full && (2..=50).contains(&looks) {
                    return None;
                }
                attempt()
            })
        } else {
            attempt()
        };
        if let Some(lack) = lack {
            self.end.missing.note(lack);
        }
        let late = if wait { ErrorKind::TimedOut } else { ErrorKind::Busy };
        let error = match sent {
            Some(Ok(Attempt::Sent)) => {
                self.end.missing.clear();
                return Ok(());
            }
            Some(Err(error)) => error,
            Some(Ok(Attempt::HeldUp)) => {
                Error::new(late, DOING).detail("others had the lock of the queue all the time")
            }
            None | Some(Ok(Attempt::Full(_))) if lack.is_some_and(Lack::is_of_descriptors) => {
                Error::new(late, DOING)
                    .detail(format!(
                        "there was room for its bytes ({}), but not for its descriptors ({}): as many are on their way in \
                         this queue, or from all programs of this user, as may be",
                        encoded.bytes.len(),
                        encoded.descriptors.len()
                    ))
                    .advice("receive messages that wait")
            }
            None | Some(Ok(Attempt::Full(_))) => {
                let state = self.core.state();
                Error::new(late, DOING).detail(format!(
                    "there was no room for its bytes ({}): {} of at most {} messages wait, {} of at most {} bytes",
                    encoded.bytes.len(),
                    state.messages,
                    self.core.capacity(),
                    state.bytes,
                    self.core.most_bytes()
                ))
            }
        };
        Err(SendError::new(error, message))
    }

    fn attempt(&self, encoded: &Encoded, limit: Option<Instant>) -> Result<Attempt, Error> {
        let socket = self.end.socket().and_then(PrivateFd::borrow);
        let socket = socket.map_err(|error| Error::system(DOING, error))?;
        let system = |error| Error::system(DOING, error);
        if poll::has_hung_up(socket).map_err(system)? {
            return Err(closed());
        }
        let Some(_held) = self.core.lock(limit, DOING)? else { return Ok(Attempt::HeldUp) };
        let length = encoded.bytes.len() as u64;
        let Some(state) = self.core.room_for(length, DOING)? else {
            return Ok(Attempt::Full(Lack::of_bytes(length)));
        };
        let whole = Head::SIZE as u64 + length;
        let may_reach = |end| self.core.spool.may_reach(end);
        // Asked before descriptors go ahead. What has no room in an empty queue either fails below.
        if state.tail > 0 && !may_reach(state.tail + whole) && may_reach(whole) {
            return Ok(Attempt::Full(Lack::of_place(length, &state)));
        }
        let mut attempt = 0;
        for some in encoded.descriptors.chunks(socket::MOST_IN_MESSAGE) {
            if attempt == 0 {
                attempt = self.core.next_attempt();
            }
            let borrowed: Vec<_> = some.iter().map(|one| one.as_fd()).collect();
            match socket::send_message(socket, &attempt.to_ne_bytes(), &borrowed) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // No room for descriptors, or too many on their way. Receivers sort out what went ahead in vain.
                    self.core.set_stray(true);
                    waiting::made_room(self.core.region.word(ITEMS), Whom::One);
                    return Ok(Attempt::Full(Lack::of_descriptors(length, &state)));
                }
                // The last receiver has gone; older kernels say so with other words while it goes.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::BrokenPipe
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::NotConnected
                    ) =>
                {
                    return Err(closed());
                }
                Err(error) => {
                    self.core.set_stray(true);
                    return Err(system(error).detail("the system did not take the descriptors"));
                }
            }
        }
        let head = Head { length, attempt, descriptors: encoded.descriptors.len() as u64 };
        let written = self.core.spool.write(state.tail, [&head.to_bytes(), &encoded.bytes]);
        written.map_err(|error| {
            self.core.set_stray(true);
            system(error).detail(format!("the system has no memory for {length} bytes"))
        })?;
        self.core.commit(State {
            tail: state.tail + whole,
            messages: state.messages + 1,
            bytes: state.bytes + length,
            unfinished: state.unfinished.saturating_add(1),
            ..state
        });
        drop(_held);
        waiting::made_room(self.core.region.word(ITEMS), Whom::One);
        self.core.ring(POLLED_FOR_ITEMS, socket);
        Ok(Attempt::Sent)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, DOING).detail("the last receiver is gone")
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), end: self.end.clone(), messages: PhantomData }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender<{}>({} of {})", type_name::<T>(), self.len(), self.capacity())
    }
}

impl<T> Serialize for Sender<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ticket::<S::Error>(&self.core, &self.end)?.serialize(serializer)
    }
}

/// The descriptors of an end, added to the value that is being encoded.
pub(super) fn ticket<E: serde::ser::Error>(core: &Core, end: &End) -> Result<[u32; 3], E> {
    let region: Carried = core.region.clone();
    let spool: Carried = core.spool.clone();
    Ok([put(&region)?, put(&spool)?, put_end(end.socket().map_err(E::custom)?)?])
}

/// The end that a ticket is for.
pub(super) fn arrived<E: serde::de::Error>(ticket: [u32; 3]) -> Result<(Core, PrivateFd), E> {
    let [region, spool, socket] = ticket;
    let core = Core::received(take(region)?, take(spool)?).map_err(E::custom)?;
    let socket = PrivateFd::capturable(take_end(socket)?).map_err(E::custom)?;
    Ok((core, socket))
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Sender<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = <[u32; 3]>::deserialize(deserializer).map_err(D::Error::custom)?;
        let (core, socket) = arrived::<D::Error>(ticket)?;
        Ok(Self::new(core, socket))
    }
}
