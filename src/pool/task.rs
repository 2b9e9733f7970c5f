//! Tasks on their way to a worker.

use std::sync::Arc;

use super::batch::BatchId;
use crate::capture::Set;
use crate::codec::Encoded;
use crate::function::Name;
use crate::link::lane::{self, HEAD, Head, Note};
use crate::state::Mentions;

/// Tasks that no worker has.
#[derive(Debug)]
pub(super) enum Waiting {
    Parcel(Parcel),
    Large(Large),
}

/// A task that is large, or brings descriptors.
#[derive(Debug, Clone)]
pub(super) struct Large {
    pub(super) batch: BatchId,
    pub(super) index: u64,
    pub(super) function: Name,
    pub(super) message: Arc<Encoded>,
    /// What a worker has to know for it.
    pub(super) needs: Needs,
    /// How many bytes the message has, or had before it was forgotten.
    pub(super) size: u64,
    /// Its place in the order in which tasks came, which is that in which they should begin.
    pub(super) arrival: u64,
}

impl Large {
    pub(super) fn new(
        batch: BatchId,
        index: u64,
        function: Name,
        message: Arc<Encoded>,
        needs: Needs,
    ) -> Self {
        let size = message.bytes.len() as u64;
        Self { batch, index, function, message, needs, size, arrival: 0 }
    }
}

/// Tasks of one batch, of inputs that follow each other, as the frames that will be in a ring.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) batch: BatchId,
    /// Which input the first is of.
    pub(super) index: u64,
    pub(super) count: u64,
    /// So many go to one worker together.
    pub(super) chunk: u64,
    /// The place of the first in the order in which tasks came, which is that in which they should begin. The others follow it.
    pub(super) arrival: u64,
    /// They were with a worker before, and go behind no later ones.
    pub(super) returned: bool,
    /// What a worker has to know for them.
    pub(super) needs: Needs,
    /// And beside them what the task that is being encoded mentions and brings.
    frames: Encoded,
    /// Where the first of those that are left begins.
    start: usize,
}

impl Waiting {
    pub(super) fn batch(&self) -> BatchId {
        match self {
            Self::Parcel(parcel) => parcel.batch,
            Self::Large(large) => large.batch,
        }
    }

    pub(super) fn index(&self) -> u64 {
        match self {
            Self::Parcel(parcel) => parcel.index,
            Self::Large(large) => large.index,
        }
    }

    /// Its place in the order in which tasks came.
    pub(super) fn arrival(&self) -> u64 {
        match self {
            Self::Parcel(parcel) => parcel.arrival,
            Self::Large(large) => large.arrival,
        }
    }

    /// It came at this place.
    pub(super) fn came(&mut self, arrival: u64) {
        match self {
            Self::Parcel(parcel) => parcel.arrival = arrival,
            Self::Large(large) => large.arrival = arrival,
        }
    }

    /// How many bytes it takes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Parcel(parcel) => parcel.size() as u64,
            Self::Large(large) => large.size,
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Parcel(parcel) => parcel.count,
            Self::Large(_) => 1,
        }
    }

    /// Whether it can be sent: what comes back from a broken worker may have been overwritten.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Parcel(parcel) => parcel.is_whole(),
            Self::Large(_) => true,
        }
    }
}

/// What a worker has to know before it runs some tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// The shared objects that their arguments mention.
    pub(super) mentions: Mentions,
    /// What was captured for them.
    pub(super) captured: Option<Arc<Set>>,
}

impl Needs {
    /// Whether tasks that need the one are as well off with the other.
    #[inline]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.mentions.is_same(&other.mentions)
            && is_same(self.captured.as_ref(), other.captured.as_ref())
    }
}

/// What stands before a task for which this was captured.
#[inline]
pub(super) fn task_head(note: Note, length: usize, captured: Option<&Arc<Set>>) -> Head {
    Head { tag: captured.map_or(0, |set| set.tag()), ..Head::new(note, length) }
}

/// Whether the same was captured; what is not the same may hold the same values.
#[inline]
pub(super) fn is_same(one: Option<&Arc<Set>>, two: Option<&Arc<Set>>) -> bool {
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => Arc::ptr_eq(one, two),
        _ => false,
    }
}

/// A message up to this size goes through a ring.
pub(super) const LARGEST: usize = lane::LARGEST - size_of::<i64>();

impl Parcel {
    /// Frames that were in a ring.
    pub(super) fn of_frames(
        batch: BatchId,
        index: u64,
        count: u64,
        needs: Needs,
        frames: Vec<u8>,
    ) -> Self {
        let frames = Encoded { bytes: frames, ..Encoded::default() };
        Self { batch, index, count, chunk: 0, arrival: 0, returned: false, needs, frames, start: 0 }
    }

    /// One task, already encoded, that is not too large.
    pub(super) fn of_one(
        batch: BatchId,
        index: u64,
        function: Name,
        message: &[u8],
        needs: Needs,
    ) -> Self {
        let name = function.to_bytes();
        let head = task_head(Note::Task, name.len() + message.len(), needs.captured.as_ref());
        let mut frames = Vec::with_capacity(head.size());
        frames.extend_from_slice(&head.to_bytes());
        frames.extend_from_slice(&name);
        frames.extend_from_slice(message);
        frames.resize(head.size(), 0);
        Self::of_frames(batch, index, 1, needs, frames)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes are left.
    pub(super) fn size(&self) -> usize {
        self.frames.bytes.len() - self.start
    }

    /// Begins a task: its argument is to be appended to what is given back.
    #[inline]
    pub(super) fn begin(&mut self, function: Name) -> (Begun, &mut Encoded) {
        let start = self.frames.bytes.len();
        // The head is known at the end.
        let mut before = [0; HEAD + size_of::<i64>()];
        before[HEAD..].copy_from_slice(&function.to_bytes());
        self.frames.bytes.extend_from_slice(&before);
        (Begun { start }, &mut self.frames)
    }

    /// Ends a task. `Err` with the message if it is too large, or brings descriptors: then it is not part
    /// of the parcel.
    #[inline]
    pub(super) fn end(&mut self, begun: Begun) -> Result<(), Encoded> {
        let encoded = &mut self.frames;
        let body = begun.start + HEAD + size_of::<i64>();
        let length = encoded.bytes.len() - begun.start - HEAD;
        if length > lane::LARGEST || !encoded.descriptors.is_empty() {
            let bytes = encoded.bytes[body..].to_vec();
            let descriptors = std::mem::take(&mut encoded.descriptors);
            self.take_back(begun);
            return Err(Encoded { bytes, descriptors, ..Encoded::default() });
        }
        let head = task_head(Note::Task, length, self.needs.captured.as_ref());
        encoded.bytes[begun.start..begun.start + HEAD].copy_from_slice(&head.to_bytes());
        if head.size() > HEAD + length {
            encoded.bytes.resize(begun.start + head.size(), 0);
        }
        self.count += 1;
        Ok(())
    }

    /// Forgets what a task that was begun mentions, which may run destructors of the user's.
    #[cold]
    pub(super) fn forget_mentions(&mut self) {
        self.frames.mentions.clear();
    }

    /// Forgets a task that was begun.
    pub(super) fn take_back(&mut self, begun: Begun) {
        let Encoded { bytes, descriptors, mentions } = &mut self.frames;
        bytes.truncate(begun.start);
        // What a large one took is not kept for the small ones after it.
        bytes.shrink_to(lane::CAPACITY);
        descriptors.clear();
        mentions.clear();
    }

    /// The frames of as many of the next tasks as fit, `most` at most, and how many those are.
    pub(super) fn peek(&self, most: u64, room: usize) -> (u64, &[u8]) {
        let left = &self.frames.bytes[self.start..];
        let mut count = 0;
        let mut end = 0;
        while count < most.min(self.count) {
            let size = left[end..].first_chunk().and_then(|head| Head::from_bytes(*head));
            let Some(size) = size.map(Head::size) else { break };
            if end + size > room {
                break;
            }
            end += size;
            count += 1;
        }
        (count, &left[..end])
    }

    /// Whether it holds its tasks and nothing else.
    fn is_whole(&self) -> bool {
        let mut left = &self.frames.bytes[self.start..];
        for _ in 0..self.count {
            let head = left.first_chunk().and_then(|head| Head::from_bytes(*head));
            let head = head.filter(|head| head.note == Note::Task && head.size() <= left.len());
            let Some(head) = head else { return false };
            left = &left[head.size()..];
        }
        left.is_empty()
    }

    /// Forgets the next tasks, which were sent.
    pub(super) fn sent(&mut self, count: u64, size: usize) {
        self.index += count;
        self.arrival += count;
        self.count -= count;
        self.start += size;
    }

    /// Its memory, for the next parcel.
    pub(super) fn into_memory(mut self) -> Vec<u8> {
        self.frames.bytes.clear();
        self.frames.bytes
    }

    /// An empty parcel, in memory that another does not need any more.
    pub(super) fn with_memory(
        batch: BatchId,
        index: u64,
        chunk: u64,
        captured: Option<Arc<Set>>,
        frames: Vec<u8>,
    ) -> Self {
        let needs = Needs { mentions: Mentions::default(), captured };
        Self { chunk, ..Self::of_frames(batch, index, 0, needs, frames) }
    }
}

/// A task being encoded; see [`Parcel::begin`].
#[derive(Debug)]
pub(super) struct Begun {
    start: usize,
}
