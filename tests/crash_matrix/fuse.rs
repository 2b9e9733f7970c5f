//! Values and functions that end their process at a point of its life, in some way.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::scene::{self, scene};
use crate::torture;

/// A way to die.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Way {
    Kill,
    Abort,
    Crash,
    /// `exit(0)`: that is no success.
    Success,
    Failure,
    /// `_exit`.
    Leave,
    Panic,
    /// Stops, and is killed by somebody else.
    Stop,
}

impl Way {
    pub(crate) const ALL: [Self; 8] = [
        Self::Kill,
        Self::Abort,
        Self::Crash,
        Self::Success,
        Self::Failure,
        Self::Leave,
        Self::Panic,
        Self::Stop,
    ];
}

/// The status of one that fails.
pub(crate) const FAILURE: i32 = 3;
/// The status of one that leaves.
pub(crate) const LEFT: i32 = 7;
/// What one says that panics.
pub(crate) const SAYS: &str = "on purpose";

impl Way {
    pub(crate) fn strike(self) {
        let own = std::process::id();
        match self {
            Self::Kill => torture::signal(own, libc::SIGKILL),
            Self::Abort => std::process::abort(),
            Self::Crash => {
                torture::default_action(libc::SIGSEGV);
                torture::signal(own, libc::SIGSEGV);
            }
            Self::Success => std::process::exit(0),
            Self::Failure => std::process::exit(FAILURE),
            // SAFETY: nothing of this process is used afterwards.
            Self::Leave => unsafe { libc::_exit(LEFT) },
            Self::Panic => panic!("{SAYS}"),
            Self::Stop => {
                scene().stopped().append([own.into()]);
                scene::ring();
                torture::signal(own, libc::SIGSTOP);
            }
        }
        // A signal to oneself arrives before `kill` returns, if no other thread takes it.
        crate::harness::sleep_for_ever()
    }
}

/// A point in the life of a task at which the user's code runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Point {
    Decoding,
    Beginning,
    /// The task has had its effect.
    Middle,
    DroppingArgument,
    Encoding,
    DroppingResult,
}

impl Point {
    pub(crate) const ALL: [Self; 6] = [
        Self::Decoding,
        Self::Beginning,
        Self::Middle,
        Self::DroppingArgument,
        Self::Encoding,
        Self::DroppingResult,
    ];

    /// Whether the size of a cell is that of the result.
    pub(crate) fn is_about_result(self) -> bool {
        matches!(self, Self::Middle | Self::Encoding | Self::DroppingResult)
    }
}

/// A point and a way, or nothing.
pub(crate) type Fate = Option<(Point, Way)>;

pub(crate) fn pass(fate: Fate, point: Point) {
    if let Some((at, way)) = fate {
        // Nothing happens to what the owner encodes, decodes and drops.
        if at == point && offspring::worker().is_some() {
            way.strike();
        }
    }
}

/// The part of an argument that meets its fate.
#[derive(Debug, Serialize)]
pub(crate) struct Fuse(pub(crate) Fate);

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fuse = Self(Fate::deserialize(deserializer)?);
        pass(fuse.0, Point::Decoding);
        Ok(fuse)
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        pass(self.0, Point::DroppingArgument);
    }
}

/// The part of a result that meets its fate.
#[derive(Debug, Deserialize)]
pub(crate) struct Tail(pub(crate) Fate);

impl Serialize for Tail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pass(self.0, Point::Encoding);
        self.0.serialize(serializer)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        pass(self.0, Point::DroppingResult);
    }
}

/// An argument.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) index: u64,
    pub(crate) wanted: usize,
    before: String,
    fuse: Fuse,
    after: String,
}

impl Order {
    /// `argument` and `wanted` are the sizes of the argument and of the result.
    pub(crate) fn new(index: u64, argument: usize, wanted: usize, fate: Fate) -> Self {
        let half = "a".repeat(argument / 2);
        let after = "b".repeat(argument - argument / 2);
        Self { index, wanted, before: half, fuse: Fuse(fate), after }
    }

    pub(crate) fn run(self) -> Answer {
        let fate = self.fuse.0;
        pass(fate, Point::Beginning);
        assert!(self.before.bytes().all(|byte| byte == b'a'), "the argument is as it was");
        assert!(self.after.bytes().all(|byte| byte == b'b'), "the argument is as it was");
        scene().has_effect(self.index);
        pass(fate, Point::Middle);
        let (index, wanted) = (self.index, self.wanted);
        drop(self);
        Answer { index, text: "r".repeat(wanted), tail: Tail(fate) }
    }
}

/// A result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    index: u64,
    text: String,
    tail: Tail,
}

impl Answer {
    pub(crate) fn check(&self, index: u64, wanted: usize) {
        assert_eq!((self.index, self.text.len()), (index, wanted), "the answer to another");
        assert!(self.text.bytes().all(|byte| byte == b'r'), "task {index} has a wrong answer");
    }
}
