//! A pipe between two processes that carries messages in both directions.

mod beside;
mod turn;

use std::any::type_name;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use offspring_platform::descriptors;
use offspring_platform::fd::{PrivateFd, duplicate};
use offspring_platform::poll::{self, Interest};
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use beside::Watch;
use turn::{Patience, Turn, Turns};

use crate::channel::refused::SendError;
use crate::channel::travel::{put, put_end, take, take_end};
use crate::codec::descriptors::travelling;
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::link::{Broken, Frame, Kind, Link};
use crate::shared::creation::refused;
use crate::woken::after;

/// Messages that came while this end was sending, and that nobody took, are kept up to this number. Beyond
/// it, the other end waits.
const KEPT: usize = 64;

/// Who sends while another thread waits for messages, which takes them in, looks after this time whether it still does;
/// and who has taken in as many as it keeps, whether they are still there. So does who waits for several things, of
/// which others may take what arrived.
const SLICE: Duration = Duration::from_millis(20);

/// One end of a [pipe](pipe()): it sends messages of type `A`, and receives those of type `B`.
///
/// It can be used by several threads, whose messages leave one after another. It has no clone: to another process
/// it moves, with what arrived and was not received yet.
pub struct End<A, B> {
    link: Mutex<Link>,
    /// Why nothing can be received any more, found out while this end was waited for.
    fault: Mutex<Option<Broken>>,
    /// Of those who send.
    turns: Turns,
    /// Of those who receive: a message that one reads together with its own, another could sleep beside.
    receiving: Turns,
    /// Somebody sleeps until there is something to read. Changed while the link is locked. Nobody else reads then, or that
    /// one would sleep on.
    awaited: AtomicBool,
    messages: PhantomData<fn(A) -> B>,
}

/// Makes a pipe: what one end sends, the other receives, in order.
///
/// The system holds some hundred KiB on the way; then `send` waits until the other end receives. (When both
/// send at the same time, each takes in up to 64 messages of the other meanwhile, so that neither waits for
/// ever.)
///
/// # Errors
///
/// [`ErrorKind::System`] when there is no descriptor left.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
/// use offspring::channel::{self, End};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let (ours, theirs) = channel::pipe::<String, usize>()?;
///     let child = Context::Spawn.process().start(theirs, |end: End<usize, String>| {
///         while let Ok(word) = end.recv() {
///             end.send(word.len()).expect("somebody waits for it");
///         }
///     })?;
///     for word in ["there", "and", "back"] {
///         ours.send(word.to_owned())?;
///         assert_eq!(ours.recv()?, word.len());
///     }
///     drop(ours);
///     child.join()?;
///     Ok(())
/// }
/// ```
#[expect(clippy::type_complexity, reason = "two ends: a name for the pair would say less")]
pub fn pipe<A, B>() -> Result<(End<A, B>, End<B, A>), Error>
where
    A: Serialize + DeserializeOwned + 'static,
    B: Serialize + DeserializeOwned + 'static,
{
    let make = || {
        let (first, second) = descriptors::socket_pair()?;
        Ok((End::new(first.into_owned()?)?, End::new(second.into_owned()?)?))
    };
    make().map_err(|error| refused("make a pipe", error))
}

const SENDING: &str = "send a message through a pipe";
const RECEIVING: &str = "receive a message from a pipe";

impl<A, B> End<A, B> {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let link = Mutex::new(Link::new(PrivateFd::capturable(socket)?));
        let (fault, awaited) = (Mutex::new(None), AtomicBool::new(false));
        let (turns, receiving) = (Turns::default(), Turns::default());
        Ok(Self { link, fault, turns, receiving, awaited, messages: PhantomData })
    }

    /// To wait for a message beside other things, or for room.
    pub(crate) fn watch(&self, for_room: bool) -> Watch<'_> {
        Watch::new(&self.link, &self.fault, &self.awaited, for_room)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        // No user code runs while it is held.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Serialize + 'static, B> End<A, B> {
    /// Sends a message; waits while the other end does not receive.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the message; of the kind [`ErrorKind::Closed`] when the other end is gone.
    pub fn send(&self, message: A) -> Result<(), SendError<A>> {
        self.send_until(message, Patience::Endless)
    }

    /// Sends a message if the system takes the beginning of it at once.
    ///
    /// That is all of it up to 2 KiB. Of a larger one, the rest may have to wait until the other end receives, as
    /// with [`End::send`].
    ///
    /// # Errors
    ///
    /// As [`End::send`]; of the kind [`ErrorKind::Busy`] when nothing was sent, since the other end does not
    /// receive.
    pub fn try_send(&self, message: A) -> Result<(), SendError<A>> {
        self.send_until(message, Patience::None)
    }

    /// Sends a message; waits for so long at most, also for what other threads send through this end.
    ///
    /// If time is up in the middle of the message, which happens only to those that are larger than what the
    /// system holds, the pipe is closed: the other end could receive nothing whole after it.
    ///
    /// # Errors
    ///
    /// As [`End::send`], and [`ErrorKind::TimedOut`].
    pub fn send_timeout(&self, message: A, limit: Duration) -> Result<(), SendError<A>> {
        // A limit beyond all clocks is none.
        let until = after(limit);
        self.send_until(message, until.map_or(Patience::Endless, Patience::Until))
    }

    fn send_until(&self, message: A, patience: Patience) -> Result<(), SendError<A>> {
        let encoded = match codec::encode(&message) {
            Ok(encoded) => encoded,
            Err(error) => {
                let error = Error::new(ErrorKind::EncodeArguments, SENDING).caused_by(error);
                return Err(SendError::new(error, message));
            }
        };
        let sent = self.send_in_turn(encoded, patience).map_err(|error| match patience {
            Patience::None if error.kind() == ErrorKind::TimedOut => {
                Error::new(ErrorKind::Busy, SENDING).detail("the other end does not receive")
            }
            _ => error,
        });
        sent.map_err(|error| SendError::new(error, message))
    }

    fn send_in_turn(&self, encoded: Encoded, patience: Patience) -> Result<(), Error> {
        let turn = self.turns.take(patience).ok_or_else(no_room)?;
        // With a limit, nothing is begun before there is room for the beginning.
        let limit = match patience {
            Patience::Endless => None,
            Patience::Until(limit) => {
                self.flush(&turn, Some(limit), true)?;
                Some(limit)
            }
            Patience::None => {
                self.flush(&turn, Some(Instant::now()), true)?;
                None
            }
        };
        self.link().queue(Kind::Task, 0, encoded);
        self.flush(&turn, limit, false)
    }

    /// Sends all that waits, or with `room` waits until something could be sent.
    fn flush(&self, turn: &Turn<'_>, limit: Option<Instant>, room: bool) -> Result<(), Error> {
        let system = |error| Error::system(SENDING, error);
        let (mut can_write, mut held_up, mut may_read) = (false, false, true);
        loop {
            let (socket, reads, is_full) = {
                let mut link = self.link();
                if let Err(error) = link.flush() {
                    // A part of the message may be on its way, and nobody will send the rest.
                    let _ = link.borrow().and_then(offspring_platform::socket::hang_up);
                    return Err(Error::system(SENDING, error).detail("the pipe was closed"));
                }
                if link.has_lost() {
                    return Err(Error::new(ErrorKind::Closed, SENDING)
                        .detail("the other end is gone, or was when earlier messages were sent"));
                }
                if !link.has_output() && (can_write || !room) {
                    return Ok(());
                }
                let reads = may_read && link.is_open();
                (link.socket(), reads, link.waiting() >= KEPT)
            };
            // What arrives is for whoever waits for it; who may have gone when the next arrives. And who is to make room
            // for it does not say so.
            let looks_again = reads && (is_full || self.awaited.load(Ordering::Relaxed));
            let reads = reads && !looks_again;
            let socket = socket.borrow().map_err(system)?;
            let mut interest = [Interest::writable_and_readable(socket, reads)];
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            // The first look is to know whether it has to wait.
            let wait = match held_up {
                true if looks_again => Some(left.map_or(SLICE, |left| left.min(SLICE))),
                true => left,
                false => Some(Duration::ZERO),
            };
            poll::wait(&mut interest, wait).map_err(system)?;
            // Who is gone takes everything, and then that is told.
            can_write = interest[0].can_write();
            if !can_write && left.is_some_and(|left| left.is_zero()) {
                if room {
                    return Err(no_room());
                }
                // The other end is gone at worst.
                let _ = offspring_platform::socket::hang_up(socket);
                return Err(Error::new(ErrorKind::TimedOut, SENDING).detail(
                    "the other end did not receive all of the message, so the pipe was closed",
                ));
            }
            if !can_write && !held_up {
                held_up = true;
                turn.held_up();
            }
            if reads && interest[0].can_read() {
                let mut link = self.link();
                if self.awaited.load(Ordering::Relaxed) {
                    continue;
                }
                if let Err(broken) = link.fill() {
                    // For whoever receives: this message is not what it concerns.
                    *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(broken);
                    may_read = false;
                }
            }
        }
    }
}

fn no_room() -> Error {
    Error::new(ErrorKind::TimedOut, SENDING).detail("the other end did not receive")
}

impl<A, B: DeserializeOwned + 'static> End<A, B> {
    /// Takes the next message; waits until there is one.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Closed`]: the other end is gone, and all that it sent was received.
    /// * [`ErrorKind::Died`]: the process of the other end ended in the middle of a message.
    /// * [`ErrorKind::DecodeArguments`]: the message could not be decoded; the next one can be.
    /// * [`ErrorKind::System`]: the system refused.
    pub fn recv(&self) -> Result<B, Error> {
        let message = self.recv_until(Patience::Endless)?;
        message.ok_or_else(|| Error::new(ErrorKind::TimedOut, RECEIVING))
    }

    /// Takes the next message, if there is one.
    ///
    /// # Errors
    ///
    /// As [`End::recv`].
    pub fn try_recv(&self) -> Result<Option<B>, Error> {
        self.recv_until(Patience::None)
    }

    /// Takes the next message; waits for one for so long at most.
    ///
    /// # Errors
    ///
    /// As [`End::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<B>, Error> {
        // A limit beyond all clocks is none.
        self.recv_until(after(limit).map_or(Patience::Endless, Patience::Until))
    }

    fn recv_until(&self, patience: Patience) -> Result<Option<B>, Error> {
        let system = |error| Error::system(RECEIVING, error);
        let limit = match patience {
            Patience::Endless => None,
            Patience::Until(limit) => Some(limit),
            Patience::None => Some(Instant::now()),
        };
        // Without time to wait it is enough to have a look, for which there is a turn in a moment.
        let no_time = limit.is_some_and(|limit| limit <= Instant::now());
        let patience = if no_time { Patience::None } else { patience };
        // Who has the turn takes what comes first.
        let Some(turn) = self.receiving.take(patience) else { return Ok(None) };
        loop {
            let socket = {
                let mut link = self.link();
                self.awaited.store(false, Ordering::Relaxed);
                if link.waiting() == 0 {
                    let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
                    fault.map_or(Ok(()), Err).map_err(|broken| broke(broken, RECEIVING))?;
                }
                if link.waiting() == 0 && link.is_open() {
                    link.fill_to_frame().map_err(|broken| broke(broken, RECEIVING))?;
                }
                if let Some(frame) = link.next() {
                    // Before the user's code runs.
                    drop(link);
                    drop(turn);
                    return decoded(frame).map(Some);
                }
                if link.is_at_end() {
                    return Err(if link.is_torn() {
                        Error::new(ErrorKind::Died, RECEIVING)
                            .detail("the other end went in the middle of a message")
                    } else {
                        Error::new(ErrorKind::Closed, RECEIVING).detail("the other end is gone")
                    });
                }
                if limit.is_some_and(|limit| limit <= Instant::now()) {
                    return Ok(None);
                }
                self.awaited.store(true, Ordering::Relaxed);
                link.socket()
            };
            turn.held_up();
            let left = limit.map(|limit| limit.saturating_duration_since(Instant::now()));
            let waited = socket
                .borrow()
                .and_then(|socket| poll::wait(&mut [Interest::readable(socket)], left));
            if let Err(error) = waited {
                let _link = self.link();
                self.awaited.store(false, Ordering::Relaxed);
                return Err(system(error));
            }
        }
    }
}

fn broke(broken: Broken, doing: &'static str) -> Error {
    match broken {
        Broken::Protocol(what) => Error::new(ErrorKind::Protocol, doing).detail(what),
        Broken::System(error) => Error::system(doing, error),
    }
}

fn decoded<B: DeserializeOwned + 'static>(frame: Frame) -> Result<B, Error> {
    codec::decode(frame.bytes.into(), frame.descriptors)
        .map_err(|error| Error::new(ErrorKind::DecodeArguments, RECEIVING).caused_by(error))
}

impl<A, B> fmt::Debug for End<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End<{}, {}>", type_name::<A>(), type_name::<B>())
    }
}

/// An end on its way: its socket, and what arrived and was not received.
#[derive(Serialize, Deserialize)]
struct Ticket {
    socket: u32,
    unread: Vec<u8>,
    descriptors: Vec<u32>,
}

impl<A, B> Serialize for End<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let link = self.link();
        if link.has_output() {
            return Err(S::Error::custom("an end cannot travel while it sends a message"));
        }
        let (unread, arrived) = link.unread().map_err(S::Error::custom)?;
        let mut descriptors = Vec::new();
        for one in arrived {
            let carried = duplicate(one).and_then(travelling).map_err(S::Error::custom)?;
            descriptors.push(put(&carried)?);
        }
        let socket = put_end(&link.socket())?;
        Ticket { socket, unread, descriptors }.serialize(serializer)
    }
}

impl<'de, A, B> Deserialize<'de> for End<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ticket = Ticket::deserialize(deserializer)?;
        let end = Self::new(take_end(ticket.socket)?).map_err(D::Error::custom)?;
        let descriptors = ticket.descriptors.into_iter().map(take).collect::<Result<_, _>>()?;
        end.link().put_back(&ticket.unread, descriptors).map_err(D::Error::custom)?;
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::descriptors::Carried;

    #[test]
    fn a_message_that_is_there_in_many_pieces_is_received() -> Result<(), Box<dyn std::error::Error>>
    {
        let (ours, theirs) = descriptors::socket_pair()?;
        let end = End::<(), u64>::new(ours.into_owned()?)?;
        let mut peer = Link::new(theirs);
        // A read ends behind descriptors, so one look reads a part of these. More do not fit into a small buffer.
        for _ in 0..18 {
            let descriptors = vec![Arc::new(io::stdin()) as Carried];
            peer.queue(Kind::Descriptors, 0, Encoded { descriptors, ..Encoded::default() });
        }
        peer.queue(Kind::Task, 0, codec::encode(&7u64)?);
        peer.flush()?;
        assert!(!peer.has_output(), "all is on its way");
        assert_eq!(end.try_recv()?, Some(7));
        assert_eq!(end.try_recv()?, None);
        Ok(())
    }
}
