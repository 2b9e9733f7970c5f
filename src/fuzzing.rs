//! What fuzz targets (`fuzz/`) reach: the places where this process makes sense of what another one sent.
//!
//! Only with `--cfg fuzzing`, which cargo-fuzz sets. Everything here panics when a promise of those places is
//! broken, and returns what they return.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;

use offspring_platform::fd::PrivateFd;
use offspring_platform::function;
use offspring_platform::wait::Exit;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::capture::Set;
use crate::child::Refusal;
use crate::codec;
use crate::context::Context;
use crate::function::Failure;
use crate::launch::handover;
use crate::launch::message::Launch;
use crate::link::lane::{HEAD, Head, LARGEST};
use crate::link::{self, Kind, Link};
use crate::state::{notice, registry};
use crate::supervisor::protocol::{Exited, NotStarted, Signal, Start, Started};

/// A whole frame.
#[derive(Debug)]
pub struct Frame {
    /// The number of its kind.
    pub kind: u8,
    /// Which task or child it is about.
    pub id: u64,
    /// What it carries.
    pub bytes: Vec<u8>,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
}

impl From<link::Frame> for Frame {
    fn from(frame: link::Frame) -> Self {
        let link::Frame { kind, id, bytes, descriptors } = frame;
        Self { kind: kind as u8, id, bytes, descriptors }
    }
}

/// What a link makes of bytes that come in these pieces, up to the first that is none of its; and whether there
/// was such a one.
#[must_use]
pub fn frames(link: PrivateFd, pieces: &[&[u8]], descriptors: Vec<OwnedFd>) -> (Vec<Frame>, bool) {
    let mut link = Link::new(link);
    let mut given = Some(descriptors);
    let broken =
        pieces.iter().any(|piece| link.put_back(piece, given.take().unwrap_or_default()).is_err());
    // What was not handed out can be handed to another link, which then knows as much.
    if !broken {
        let (bytes, _) = link.unread().expect("what arrived is ours");
        assert!(bytes.len() <= pieces.iter().map(|piece| piece.len()).sum(), "more than came");
    }
    (std::iter::from_fn(|| link.next()).map(Frame::from).collect(), broken)
}

/// All that is there on a socket; and whether the peer sent something else than frames.
#[must_use]
pub fn receive(socket: PrivateFd) -> (Vec<Frame>, bool) {
    let mut link = Link::new(socket);
    let broken = link.drain().is_err();
    (std::iter::from_fn(|| link.next()).map(Frame::from).collect(), broken)
}

/// The header of a frame with these numbers.
#[must_use]
pub fn header(kind: u8, descriptors: u8, id: u64, length: u64) -> Vec<u8> {
    link::header(kind, descriptors, id, length)
}

/// What stands before a frame in a ring.
pub fn head(bytes: [u8; HEAD]) {
    if let Some(head) = Head::from_bytes(bytes) {
        assert_eq!(Head::from_bytes(head.to_bytes()), Some(head));
        assert!(head.length <= LARGEST && head.size() <= HEAD + LARGEST, "{head:?}");
    }
}

/// Encodes as for another process.
///
/// # Errors
///
/// What the user is told.
pub fn encode<T: Serialize + 'static>(value: &T) -> Result<Vec<u8>, String> {
    codec::encode(value).map(|encoded| encoded.bytes).map_err(|error| error.to_string())
}

/// Decodes what another process sent.
///
/// # Errors
///
/// What the user is told.
pub fn decode<T: DeserializeOwned + 'static>(
    bytes: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<T, String> {
    codec::decode(Cow::Borrowed(bytes), descriptors).map_err(|error| error.to_string())
}

/// Whether those are a message of our own. If so, it survives being encoded again.
fn own<T: Serialize + DeserializeOwned + 'static>(bytes: &[u8]) -> Option<T> {
    let message = codec::decode_own::<T>(bytes).ok()?;
    let encoded = codec::encode(&message).expect("what was decoded can be encoded");
    codec::decode_own::<T>(&encoded.bytes).expect("what was encoded can be decoded");
    Some(message)
}

/// How many messages [`message`] knows.
pub const MESSAGES: usize = 10;

/// What is made of a message that starts a child, steers it, or says how it failed. Whether it was one.
#[must_use]
pub fn message(which: usize, bytes: &[u8], descriptors: Vec<OwnedFd>) -> bool {
    match which % MESSAGES {
        0 => own::<Launch>(bytes).is_some(),
        1 => own::<Start>(bytes).is_some(),
        2 => own::<Started>(bytes).is_some(),
        3 => own::<NotStarted>(bytes).is_some(),
        4 => own::<Exited>(bytes).map(|exited| exited.exit().to_string()).is_some(),
        5 => own::<Refusal>(bytes).map(|why| why.into_error("fuzz", None).to_string()).is_some(),
        6 => own::<Failure>(bytes).map(|why| why.into_error("fuzz").to_string()).is_some(),
        7 => own::<Signal>(bytes).is_some(),
        8 => Set::received(bytes, descriptors).is_ok(),
        _ => {
            let frame =
                link::Frame { kind: Kind::Notice, id: 0, bytes: bytes.to_vec(), descriptors };
            let understood = notice::receive(frame).is_some();
            registry::forget_all();
            understood
        }
    }
}

/// Valid messages, by the same numbers.
#[must_use]
pub fn samples() -> Vec<Vec<u8>> {
    #[derive(Serialize, Deserialize)]
    struct Told {
        name: &'static str,
        set: i64,
        collect: Option<i64>,
        length: u64,
        descriptors: u32,
    }
    let encode = |message: codec::Encoded| message.bytes;
    let own = "a message of our own can be encoded";
    let specification = crate::launch::Specification::default();
    let worker = crate::launch::message::WorkerRole {
        index: 1,
        generation: 2,
        initialiser: Some(crate::function::Name::from_bytes([1; 8])),
        finaliser: None,
        timed: true,
        timeline: true,
        growth_limit: Some(1 << 20),
        one_task: false,
        pinned: true,
    };
    let role = crate::launch::message::Role::Worker(worker);
    let launch = crate::launch::prepare(Context::Spawn, &specification, role, "fuzz");
    let launch = launch.expect("there are random numbers");
    let start = Start::default();
    let list = vec![Told { name: "one", set: 8, collect: Some(16), length: 2, descriptors: 1 }];
    let list = encode(codec::encode(&list).expect(own));
    let set = [&(list.len() as u64).to_ne_bytes(), list.as_slice(), b"ab"].concat();
    vec![
        encode(codec::encode(&launch).expect(own)),
        encode(codec::encode(&start).expect(own)),
        encode(codec::encode(&Started { pid: 7 }).expect(own)),
        encode(codec::encode(&NotStarted { text: "no".into(), number: Some(11) }).expect(own)),
        encode(codec::encode(&Exited::new(Exit::Code(3), None, true)).expect(own)),
        encode(codec::encode(&Refusal::Hook("text".into())).expect(own)),
        encode(codec::encode(&Failure::Arguments("text".into())).expect(own)),
        encode(codec::encode(&Signal::Kill).expect(own)),
        set,
        notice::sample(),
    ]
}

/// The text by which a program is told that it is a child.
pub fn note(text: &OsStr) {
    if let Some((parent, nonce)) = handover::parse(text) {
        let written = handover::note(parent, nonce);
        assert_eq!(handover::parse(OsStr::new(&written)), Some((parent, nonce)));
    }
}

/// A note of that parent.
#[must_use]
pub fn note_of(parent: u64, nonce: u64) -> String {
    let parent = u32::try_from(parent).unwrap_or(u32::MAX);
    handover::note(parent, u128::from(nonce) << 32)
}

/// A place in the program that another process says is a function. Whether there is one.
#[must_use]
pub fn is_function(distance: i64) -> bool {
    function::find(distance).is_ok()
}
