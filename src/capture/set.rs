//! What is captured for one task: a value for each capture, and how all of them travel together.
//!
//! On the wire: the length of the list, the list, then the values one after the other.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use offspring_platform::fd::{duplicate, generation};
use serde::{Deserialize, Serialize};

use super::brought::Sink;
use super::registry;
use crate::codec::{self, CodecError, Encoded, MOST_DESCRIPTORS};
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::link::lane;
use crate::state::Mentions;

/// One captured value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    /// Sets it, in a child.
    pub(super) set: Name,
    /// What the child runs after the task, to bring something back.
    pub(super) collect: Option<Name>,
    pub(super) value: Arc<Encoded>,
    /// Where what is brought back goes.
    pub(super) sink: Sink,
}

/// All that was captured at one moment, in the order in which it is to be set.
#[derive(Debug)]
pub(crate) struct Set {
    /// Never that of another of this process.
    id: u64,
    /// The process that made it.
    generation: u64,
    pub(super) entries: Vec<Entry>,
    /// The shared objects that the values mention.
    mentions: Mentions,
    message: Arc<Encoded>,
}

/// A set may be dropped under the lock of a pool, where what the user's closures own and the shared objects in
/// values must not be; and in a forked child nowhere, where it belongs to the parent.
impl Drop for Set {
    fn drop(&mut self) {
        if !self.entries.iter().any(Entry::runs_user_code) {
            return;
        }
        let entries = std::mem::take(&mut self.entries);
        if self.generation == generation() {
            registry::drop_later(entries);
        } else {
            std::mem::forget(entries);
        }
    }
}

/// An entry as a child is told of it.
#[derive(Serialize, Deserialize)]
struct Told {
    name: String,
    set: Name,
    collect: Option<Name>,
    length: u64,
    descriptors: u32,
}

impl Entry {
    /// Whether it may do so when it is dropped.
    fn runs_user_code(&self) -> bool {
        self.sink.owns_closure() || !self.value.mentions.is_empty()
    }

    /// Whether a child would be told the same, and what it brings back goes the same way.
    fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.value.descriptors, &other.value.descriptors);
        self.name == other.name
            && self.set == other.set
            && self.collect == other.collect
            && self.value.bytes == other.value.bytes
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(one, two)| Arc::ptr_eq(one, two))
            && self.sink.is_same(&other.sink)
    }
}

impl Set {
    /// Puts together what was captured.
    pub(super) fn new(id: u64, entries: Vec<Entry>) -> Result<Self, Error> {
        let told: Vec<Told> = entries
            .iter()
            .map(|entry| Told {
                name: entry.name.to_string(),
                set: entry.set,
                collect: entry.collect,
                length: entry.value.bytes.len() as u64,
                descriptors: u32::try_from(entry.value.descriptors.len()).unwrap_or(u32::MAX),
            })
            .collect();
        let list = codec::encode(&told)
            .map_err(|error| Error::new(ErrorKind::Capture, super::CAPTURING).caused_by(error))?;
        let mut message = Encoded::default();
        message.bytes.extend_from_slice(&(list.bytes.len() as u64).to_ne_bytes());
        message.bytes.extend_from_slice(&list.bytes);
        for entry in &entries {
            message.bytes.extend_from_slice(&entry.value.bytes);
            message.descriptors.extend(entry.value.descriptors.iter().cloned());
        }
        if message.descriptors.len() > MOST_DESCRIPTORS {
            return Err(Error::new(ErrorKind::Capture, super::CAPTURING).detail(format!(
                "the captured values hold {} descriptors together, and at most {MOST_DESCRIPTORS} can travel",
                message.descriptors.len()
            )));
        }
        let mut mentioned = Vec::new();
        for entry in &entries {
            mentioned.extend(entry.value.mentions.iter().cloned());
        }
        let mentions = Mentions::of(&mut mentioned, None)?;
        let (generation, message) = (generation(), Arc::new(message));
        Ok(Self { id, generation, entries, mentions, message })
    }

    /// In a child: what it was told.
    pub(crate) fn received(bytes: &[u8], descriptors: Vec<OwnedFd>) -> Result<Self, CodecError> {
        let message = Arc::new(Encoded::default());
        let (length, rest) = bytes.split_first_chunk().unwrap_or((&[0xff; 8], &[]));
        let length = usize::try_from(u64::from_ne_bytes(*length)).unwrap_or(usize::MAX);
        let (list, mut rest) = rest.split_at_checked(length).unwrap_or((&[], &[]));
        let mut descriptors = descriptors.into_iter();
        let mut entries = Vec::new();
        for told in codec::decode_own::<Vec<Told>>(list)? {
            let length = usize::try_from(told.length).unwrap_or(usize::MAX);
            // One that is cut short does not decode, which is told where it is set.
            let (value, others) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = others;
            let count = usize::try_from(told.descriptors).unwrap_or(usize::MAX);
            let mut own = Encoded { bytes: value.to_vec(), ..Encoded::default() };
            for descriptor in descriptors.by_ref().take(count) {
                own.descriptors.push(Arc::new(descriptor));
            }
            entries.push(Entry {
                name: told.name.into(),
                set: told.set,
                collect: told.collect,
                value: Arc::new(own),
                sink: Sink::Nowhere,
            });
        }
        let (generation, mentions) = (generation(), Mentions::default());
        Ok(Self { id: 0, generation, entries, mentions, message })
    }

    /// Whether it is what would be told for these.
    pub(super) fn holds(&self, entries: &[Entry]) -> bool {
        self.entries.len() == entries.len()
            && self.entries.iter().zip(entries).all(|(one, two)| one.is_same(two))
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What tasks say that need it; not zero. After some millions it begins anew.
    pub(crate) fn tag(&self) -> u32 {
        u32::try_from(self.id % u64::from(lane::LARGEST_TAG)).unwrap_or(0) + 1
    }

    /// What a child has to know for it.
    pub(crate) fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// Name and size of each value.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (Arc<str>, usize)> + '_ {
        self.entries.iter().map(|entry| (entry.name.clone(), entry.value.bytes.len()))
    }

    /// What a child is told.
    pub(crate) fn message(&self) -> &Arc<Encoded> {
        &self.message
    }
}

/// Descriptors of a value, to be decoded: it may be once more.
pub(super) fn copies(value: &Encoded) -> std::io::Result<Vec<OwnedFd>> {
    value.descriptors.iter().map(|descriptor| duplicate(descriptor.as_fd())).collect()
}
