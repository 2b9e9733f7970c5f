//! Frames: a fixed header, then as many bytes as it says.

use std::os::fd::OwnedFd;

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Only brings descriptors, for the next frame of another kind.
    Descriptors = 1,
    /// Owner to child: who you are and what you shall be.
    Launch,
    /// Child to owner: all is well, the user's code comes next.
    Hello,
    /// Child to owner: I will not run, and why.
    Refused,
    /// Owner to child: the arguments of a call.
    Arguments,
    /// Owner to worker: a task.
    Task,
    /// Child to owner: the result of a call or task.
    Done,
    /// Child to owner: how a call or task failed.
    Failed,
    /// Owner to worker: end when you have done what you have.
    Close,
    /// Owner to supervisor: start a child.
    Start,
    /// Owner to supervisor: signal a child.
    Signal,
    /// Supervisor to owner: the child was started.
    Started,
    /// Supervisor to owner: the child could not be started.
    NotStarted,
    /// Supervisor to owner: the child has ended.
    Exited,
    /// Owner to child: what was captured for calls and tasks that say so.
    Captured,
    /// Child to owner: what the task brought back whose outcome follows.
    Brought,
    /// Owner to child: what it has to know for what comes later. See `state/notice.rs`.
    Notice,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Descriptors,
        Self::Launch,
        Self::Hello,
        Self::Refused,
        Self::Arguments,
        Self::Task,
        Self::Done,
        Self::Failed,
        Self::Close,
        Self::Start,
        Self::Signal,
        Self::Started,
        Self::NotStarted,
        Self::Exited,
        Self::Captured,
        Self::Brought,
        Self::Notice,
    ];
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Which task or child it is about.
    pub(crate) id: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// What stands before the bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) descriptors: u8,
    pub(super) id: u64,
    pub(super) length: u64,
}

/// Not a text and not a plausible start of anything else.
const MAGIC: u32 = 0xd7f0_5a1e;
const VERSION: u8 = 1;

impl Header {
    pub(super) const SIZE: usize = 24;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[4] = VERSION;
        bytes[5] = self.kind as u8;
        bytes[6] = self.descriptors;
        bytes[8..16].copy_from_slice(&self.id.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.length.to_ne_bytes());
        bytes
    }

    /// `None` when this is not a header.
    pub(super) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_ne_bytes).ok();
        let magic = bytes[0..4].try_into().map(u32::from_ne_bytes).ok()?;
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == bytes[5])?;
        (magic == MAGIC && bytes[4] == VERSION && bytes[7] == 0).then_some(Self {
            kind,
            descriptors: bytes[6],
            id: word(8)?,
            length: word(16)?,
        })
    }
}

/// A header with any numbers, also such as no frame has.
#[cfg(fuzzing)]
pub(crate) fn header(kind: u8, descriptors: u8, id: u64, length: u64) -> Vec<u8> {
    let mut bytes = Header { kind: Kind::Hello, descriptors, id, length }.to_bytes().to_vec();
    bytes[5] = kind;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_every_changed_constant_is_noticed() {
        let header = Header { kind: Kind::Exited, descriptors: 250, id: u64::MAX, length: 1 << 40 };
        let bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Some(header));
        for place in [0, 1, 2, 3, 4, 7] {
            let mut wrong = bytes;
            wrong[place] ^= 0x40;
            assert_eq!(Header::from_bytes(&wrong), None, "byte {place}");
        }
    }

    #[test]
    fn every_kind_is_listed_under_its_own_number() {
        for (number, kind) in (1..).zip(Kind::ALL) {
            assert_eq!(kind as u8, number);
        }
    }
}
