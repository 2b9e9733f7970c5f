//! How an outcome goes back to the owner: in the ring if it is small, in pieces or over the socket if it is large.

use std::sync::Arc;

use offspring_platform::clock::now;
use offspring_platform::exit;

use super::bench::{Bench, NAP};
use crate::codec::{self, Encoded};
use crate::function::{Failed, Failure};
use crate::link::Kind;
use crate::link::lane::{HEAD, Head, LARGEST, Note, Span, Status};

impl Bench<'_> {
    #[inline]
    pub(super) fn answer(&mut self, outcome: Result<(), Box<Failure>>, brought: Option<Vec<u8>>) {
        let note = match outcome {
            Ok(()) => Note::Done,
            Err(failure) => {
                let mark = Status::of(&self.words).mark();
                self.output = codec::encode(&Failed::here(failure, mark)).unwrap_or_default();
                Note::Failed
            }
        };
        let more = brought.as_ref().map_or(0, |pieces| size_of::<u64>() + pieces.len());
        let large = self.output.bytes.len() + more > LARGEST || !self.output.descriptors.is_empty();
        if !large {
            let length = (more - more.min(size_of::<u64>())) as u64;
            let (length, pieces) = (length.to_ne_bytes(), brought.as_deref());
            self.publish(note, pieces.map(|pieces| (length, pieces)));
            return;
        }
        let message = Arc::new(std::mem::take(&mut self.output));
        // What was brought back goes over the socket, and so does the result behind it.
        if note == Note::Done && brought.is_none() && self.bulk_outcomes.begin(&message) {
            self.output.bytes.extend_from_slice(&(message.bytes.len() as u64).to_ne_bytes());
            drop(message);
            self.publish(Note::DoneInPieces, None);
            // The owner has to read along, or the ring fills up.
            self.ring_if_asleep(true);
            return self.push_body();
        }
        let kind = if note == Note::Done { Kind::Done } else { Kind::Failed };
        self.publish(Note::Elsewhere, None);
        // The owner has to read along, or the socket fills up.
        self.ring_if_asleep(true);
        if let Some(bytes) = brought {
            let pieces = Encoded { bytes, ..Encoded::default() };
            self.link.queue(Kind::Brought, self.last, pieces);
        }
        self.link.queue_shared(kind, self.last, &[], &message);
        super::flush(&mut self.link);
    }

    /// Puts `output` into the ring, behind what was brought back and the length of that.
    #[inline]
    pub(super) fn publish(&mut self, note: Note, before: Option<([u8; 8], &[u8])>) {
        let more = before.map_or(0, |(length, pieces)| length.len() + pieces.len());
        let length = more + self.output.bytes.len();
        let head = Head { note, length, tag: self.milliseconds, brought: before.is_some() };
        let size = head.size();
        let span = self.span.take();
        let both = size + span.map_or(0, |_| HEAD + Span::LENGTH);
        loop {
            match self.outcomes.room(both) {
                Ok(room) if room >= both => break,
                Ok(_) => self.wait_for_room(both),
                Err(_) => exit::now(exit::FELL_OUT),
            }
        }
        if let Some(span) = span {
            self.outcomes.put(&Head::new(Note::Ran, Span::LENGTH).to_bytes());
            self.outcomes.put(&span.to_bytes());
        }
        self.outcomes.put(&head.to_bytes());
        if let Some((length, pieces)) = before {
            self.outcomes.put(&length);
            self.outcomes.put(pieces);
        }
        self.outcomes.put(&self.output.bytes);
        self.outcomes.put(&[0; HEAD][..size - HEAD - head.length]);
        self.outcomes.publish();
        self.ring_if_asleep(false);
    }

    /// The owner does not read: its program is busy with something else.
    #[cold]
    fn wait_for_room(&mut self, size: usize) {
        self.ring_if_asleep(true);
        Status::of(&self.words).begin_waiting(now());
        let before = self.words.before_sleep();
        match self.outcomes.prepare_sleep(size) {
            Ok(true) => self.words.sleep(before, NAP),
            Ok(false) => {}
            Err(_) => exit::now(exit::FELL_OUT),
        }
        Status::of(&self.words).end_waiting(now());
    }
}
