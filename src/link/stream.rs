//! One end of a link: never blocks, keeps what could not be sent yet, hands out whole frames only.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::Interest;
use offspring_platform::socket;

use super::Broken;
use super::bulk::make_room;
use super::frame::{Frame, Header, Kind};
use crate::codec::descriptors::Carried;
use crate::codec::{Encoded, MOST_DESCRIPTORS};

/// How far memory grows ahead of what has arrived.
const STEP: usize = 256 << 10;
/// How often one channel is read before others have their turn.
const READS: usize = 16;
/// Room for what arrives first.
const FIRST: usize = 2 << 10;
/// Frames up to this size are copied together, so that several leave in one system call.
const SMALL: usize = 16 << 10;

/// Bytes that wait to be sent, with the descriptors that go with the first of them.
struct Chunk {
    bytes: Bytes,
    sent: usize,
    descriptors: Vec<Carried>,
}

enum Bytes {
    /// Small frames, copied together.
    Own(Vec<u8>),
    /// A large body, which its sender may need again.
    Shared(Arc<Encoded>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(message) => &message.bytes,
        }
    }
}

/// One end of a channel.
pub(crate) struct Link {
    socket: Arc<PrivateFd>,
    leaving: VecDeque<Chunk>,
    /// The header being read, or the start of it.
    head: Vec<u8>,
    /// The frame being read.
    body: Option<(Header, Vec<u8>)>,
    /// Frames that were not handed out, with their descriptors. A child that is forked meanwhile must not keep
    /// those: they may be the channel and the lifeline of a sibling.
    whole: VecDeque<(Frame, Vec<PrivateFd>)>,
    /// Those that came with frames that are not whole.
    descriptors: VecDeque<PrivateFd>,
    /// Where small things arrive. Its memory is not touched beyond what arrived: after a fork, each page that is
    /// costs as much as ten system calls.
    scratch: Vec<u8>,
    pub(super) ended: bool,
    /// The peer was gone when something was to be sent to it.
    lost: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(socket: PrivateFd) -> Self {
        Self {
            socket: Arc::new(socket),
            leaving: VecDeque::new(),
            head: Vec::with_capacity(Header::SIZE),
            body: None,
            whole: VecDeque::new(),
            descriptors: VecDeque::new(),
            scratch: Vec::new(),
            ended: false,
            lost: false,
        }
    }

    /// Puts a frame behind those that wait; [`Link::flush`] sends.
    pub(crate) fn queue(&mut self, kind: Kind, id: u64, message: Encoded) {
        self.queue_shared(kind, id, &[], &Arc::new(message));
    }

    /// Like [`Link::queue`], with a few bytes before those of the message. A large message is not
    /// copied.
    pub(crate) fn queue_shared(
        &mut self,
        kind: Kind,
        id: u64,
        prefix: &[u8],
        message: &Arc<Encoded>,
    ) {
        let mut descriptors = message.descriptors.as_slice();
        let count = u8::try_from(descriptors.len()).unwrap_or(u8::MAX);
        while descriptors.len() > socket::MOST_DESCRIPTORS {
            let (now, later) = descriptors.split_at(socket::MOST_DESCRIPTORS);
            let carrier = Header { kind: Kind::Descriptors, descriptors: 0, id: 0, length: 0 };
            self.push(&[&carrier.to_bytes()], now);
            descriptors = later;
        }
        let length = (prefix.len() + message.bytes.len()) as u64;
        let header = Header { kind, descriptors: count, id, length }.to_bytes();
        if message.bytes.len() <= SMALL {
            self.push(&[&header, prefix, &message.bytes], descriptors);
        } else {
            self.push(&[&header, prefix], descriptors);
            let bytes = Bytes::Shared(message.clone());
            self.leaving.push_back(Chunk { bytes, sent: 0, descriptors: Vec::new() });
        }
    }

    fn push(&mut self, parts: &[&[u8]], descriptors: &[Carried]) {
        if descriptors.is_empty() {
            if let Some(Chunk { bytes: Bytes::Own(last), .. }) = self.leaving.back_mut() {
                if last.len() <= SMALL {
                    parts.iter().for_each(|part| last.extend_from_slice(part));
                    return;
                }
            }
        }
        let bytes = Bytes::Own(parts.concat());
        self.leaving.push_back(Chunk { bytes, sent: 0, descriptors: descriptors.to_vec() });
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_output(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// How many bytes wait to be sent.
    pub(crate) fn unsent(&self) -> usize {
        self.leaving.iter().map(|chunk| chunk.bytes.get().len() - chunk.sent).sum()
    }

    /// Sends as much as the socket takes. A peer that is gone takes everything.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while let Some(chunk) = self.leaving.front_mut() {
            let borrowed: Vec<BorrowedFd<'_>> =
                chunk.descriptors.iter().map(|descriptor| descriptor.as_fd()).collect();
            match socket::send(self.socket.borrow()?, &chunk.bytes.get()[chunk.sent..], &borrowed) {
                Ok(count) => {
                    chunk.sent += count;
                    chunk.descriptors.clear();
                    if chunk.sent == chunk.bytes.get().len() {
                        self.leaving.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    // Why it is gone is for whoever watches the process to say; what it sent before
                    // it went can still be read.
                    self.leaving.clear();
                    self.lost = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends it now, also if a thread still waits on its socket. Nothing happens in a forked child, which
    /// has only a copy.
    pub(crate) fn hang_up(self) {
        if let Ok(socket) = self.socket.borrow() {
            // An error is that the peer has ended it.
            let _ = socket::hang_up(socket);
        }
    }

    /// Reads what is there, but not without end from a peer that never stops sending.
    pub(crate) fn fill(&mut self) -> Result<(), Broken> {
        for _ in 0..READS {
            if self.ended || !self.fill_once()? {
                break;
            }
        }
        Ok(())
    }

    /// The same, and on until a frame is whole, if what is left has one: who asks for a frame gets the one that is
    /// there, in however many pieces.
    pub(crate) fn fill_to_frame(&mut self) -> Result<(), Broken> {
        let mut reads = 0;
        while !self.ended && (reads < READS || self.whole.is_empty()) && self.fill_once()? {
            reads += 1;
        }
        Ok(())
    }

    /// Reads all that a peer sent before it ended.
    pub(crate) fn drain(&mut self) -> Result<(), Broken> {
        while !self.ended && self.fill_once()? {}
        Ok(())
    }

    /// Reads once; false when nothing is left for now. After an error nothing is read any more, for what was lost with
    /// it would make something else of what follows; except for want of memory, by which nothing is lost.
    pub(crate) fn fill_once(&mut self) -> Result<bool, Broken> {
        let read = self.read_once();
        self.ended |= read.as_ref().is_err_and(|error| !error.lacks_memory());
        read
    }

    fn read_once(&mut self) -> Result<bool, Broken> {
        let mut arrived = Vec::new();
        let missing = self.body.as_ref().map_or(0, |(header, body)| missing(header, body));
        let got = match &mut self.body {
            // A large body is read straight into its place.
            Some((_, body)) if missing > SMALL => {
                make_room(body, missing);
                received(socket::receive_behind(
                    self.socket.borrow()?,
                    body,
                    missing,
                    &mut arrived,
                ))?
            }
            _ => {
                // What was full the last time is made larger.
                let full = self.scratch.len() == self.scratch.capacity();
                let room = if self.scratch.is_empty() || !full { FIRST } else { 4 * SMALL };
                self.scratch.clear();
                self.scratch.reserve_exact(room);
                let from = self.socket.borrow()?;
                received(socket::receive_behind(from, &mut self.scratch, usize::MAX, &mut arrived))?
            }
        };
        for one in arrived {
            self.descriptors.push_back(self.socket.alike(one)?);
        }
        if self.descriptors.len() > 2 * MOST_DESCRIPTORS {
            return Err(Broken::Protocol("more descriptors than belong to its frames"));
        }
        match got {
            None => return Ok(false),
            Some(0) => {
                self.ended = true;
                return Ok(false);
            }
            Some(_) if missing > SMALL => self.finish_body()?,
            Some(_) => {
                let scratch = std::mem::take(&mut self.scratch);
                let parsed = self.parse(&scratch);
                self.scratch = scratch;
                parsed?;
            }
        }
        Ok(true)
    }

    fn parse(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if let Some((header, body)) = &mut self.body {
                let (now, later) = bytes.split_at(missing(header, body).min(bytes.len()));
                body.extend(now);
                bytes = later;
            } else {
                let wanted = Header::SIZE - self.head.len();
                let (now, later) = bytes.split_at(wanted.min(bytes.len()));
                self.head.extend(now);
                bytes = later;
                let Ok(whole) = self.head.as_slice().try_into() else { continue };
                let header = Header::from_bytes(whole).ok_or(Broken::Protocol("no frame"))?;
                self.head.clear();
                let expected = usize::try_from(header.length).unwrap_or(usize::MAX).min(STEP);
                self.body = Some((header, Vec::with_capacity(expected)));
            }
            self.finish_body()?;
        }
        Ok(())
    }

    /// Moves the frame being read to the whole ones, if it is whole.
    fn finish_body(&mut self) -> Result<(), Broken> {
        match &self.body {
            Some((header, body)) if missing(header, body) == 0 => {}
            _ => return Ok(()),
        }
        let Some((header, bytes)) = self.body.take() else { return Ok(()) };
        if header.kind == Kind::Descriptors {
            return Ok(());
        }
        let count = usize::from(header.descriptors);
        if self.descriptors.len() < count {
            return Err(Broken::Protocol("descriptors are missing"));
        }
        let descriptors = self.descriptors.drain(..count).collect();
        let frame = Frame { kind: header.kind, id: header.id, bytes, descriptors: Vec::new() };
        self.whole.push_back((frame, descriptors));
        Ok(())
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let (mut frame, descriptors) = self.whole.pop_front()?;
        let own = descriptors.into_iter().map(PrivateFd::into_owned);
        // Not its own are those of the parent, in the copy of a link that a forked child has, and cannot use.
        frame.descriptors = own.collect::<io::Result<_>>().ok()?;
        Some(frame)
    }

    /// Whether the peer has closed its end, and every whole frame it sent was handed out.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ended && self.whole.is_empty()
    }

    /// Whether something was not sent, because the peer was gone.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost
    }

    /// Whether the peer ended in the middle of a frame, if it has ended.
    pub(crate) fn is_torn(&self) -> bool {
        !self.head.is_empty() || self.body.is_some() || !self.descriptors.is_empty()
    }

    /// How many whole frames were not handed out.
    pub(crate) fn waiting(&self) -> usize {
        self.whole.len()
    }

    /// What was read and not handed out, as it came; see [`Link::put_back`].
    pub(crate) fn unread(&self) -> io::Result<(Vec<u8>, Vec<BorrowedFd<'_>>)> {
        let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
        for (frame, own) in &self.whole {
            let header = Header {
                kind: frame.kind,
                descriptors: u8::try_from(own.len()).unwrap_or(u8::MAX),
                id: frame.id,
                length: frame.bytes.len() as u64,
            };
            bytes.extend_from_slice(&header.to_bytes());
            bytes.extend_from_slice(&frame.bytes);
            descriptors.extend(own);
        }
        if let Some((header, body)) = &self.body {
            bytes.extend_from_slice(&header.to_bytes());
            bytes.extend_from_slice(body);
        }
        bytes.extend_from_slice(&self.head);
        descriptors.extend(&self.descriptors);
        let borrowed = descriptors.into_iter().map(PrivateFd::borrow).collect::<io::Result<_>>()?;
        Ok((bytes, borrowed))
    }

    /// In a new link for the same socket: what another had read and not handed out.
    pub(crate) fn put_back(
        &mut self,
        bytes: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Broken> {
        for one in descriptors {
            self.descriptors.push_back(self.socket.alike(one)?);
        }
        self.parse(bytes)
    }

    /// Whether there can be more to read.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended
    }

    /// The socket, to wait for while the link itself is in use elsewhere.
    pub(crate) fn socket(&self) -> Arc<PrivateFd> {
        self.socket.clone()
    }

    /// The socket, for somebody who only wants to wait.
    pub(crate) fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.borrow()
    }

    /// What this end waits for.
    pub(crate) fn interest(&self) -> io::Result<Interest<'_>> {
        Ok(Interest::readable_and_writable(self.socket.borrow()?, self.has_output()))
    }
}

fn missing(header: &Header, body: &[u8]) -> usize {
    usize::try_from(header.length).unwrap_or(usize::MAX).saturating_sub(body.len())
}

/// `None` when there is nothing yet, zero at the end.
fn received(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // The peer is gone and had not read all we sent: the end, all the same.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Some(0)),
        Err(error) => Err(error),
    }
}
