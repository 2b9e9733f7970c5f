//! How a call fails inside the child, and how the user sees that.

use serde::{Deserialize, Serialize};

use offspring_platform::wait::Exit;

use super::flaw::Flaw;
use super::panic;
use crate::error::{Ended, Error, ErrorKind, Panic, Phase};
use crate::transcript::{self, Excerpt, Part};

/// How a call failed inside the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Failure {
    Panicked(Panic),
    Arguments(String),
    Result(String),
    Function(String),
    /// What the initialiser of a worker returned as its error.
    Init(String),
    /// What is to run after a fork failed like this.
    Hook(String),
    /// The process that ran it ended without an answer.
    Died(Ended),
    /// What was captured for it could not be set or undone.
    Captured(Box<Flaw>),
}

/// A failure on its way to the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) failure: Box<Failure>,
    /// What was written to a captured stream before it.
    pub(crate) excerpt: Option<Excerpt>,
}

impl Failed {
    /// A failure of this process, as it is told to the owner: with what was written from this place on.
    #[cold]
    pub(crate) fn here(failure: Box<Failure>, from: u64) -> Self {
        let excerpt = transcript::own().and_then(|own| {
            let panic = match *failure {
                Failure::Panicked(_) => panic::printed(),
                _ => None,
            };
            Excerpt::without(&own, from, panic.map(|(from, to)| Part { from, to }))
        });
        Self { failure, excerpt }
    }

    /// As the user sees it.
    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        self.failure.into_error(doing).wrote(self.excerpt)
    }

    /// See [`Failure::of_initialiser`].
    pub(crate) fn of_initialiser(self) -> Error {
        self.failure.of_initialiser().wrote(self.excerpt)
    }
}

impl From<Box<Failure>> for Failed {
    fn from(failure: Box<Failure>) -> Self {
        Self { failure, excerpt: None }
    }
}

impl Failure {
    /// As the user sees it.
    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Self::Panicked(panic) => {
                Error::new(ErrorKind::Panicked, doing).at(Phase::Started).panicked(panic)
            }
            Self::Arguments(text) => Error::new(ErrorKind::DecodeArguments, doing).detail(text),
            Self::Result(text) => {
                Error::new(ErrorKind::EncodeResult, doing).at(Phase::Started).detail(text)
            }
            Self::Function(text) => Error::new(ErrorKind::Protocol, doing).detail(text),
            Self::Init(text) => Error::new(ErrorKind::Init, doing).detail(text),
            Self::Captured(flaw) => flaw.into_error(doing),
            Self::Hook(text) => Error::new(ErrorKind::Start, doing).detail(text),
            Self::Died(how) => {
                let error = Error::new(ErrorKind::Died, doing).at(Phase::Started);
                match how.into() {
                    Exit::Code(0) => {
                        error.advice("a task must return, not exit").ended(Exit::Code(0))
                    }
                    exit => error.ended(exit),
                }
            }
        }
    }

    /// As the user sees it when the call was that of the builder of what is called so.
    pub(crate) fn of_builder(self, doing: &'static str, title: &str) -> Error {
        let error = Error::new(ErrorKind::Protocol, doing);
        match self {
            Self::Panicked(panic) => Error::new(ErrorKind::Panicked, doing)
                .at(Phase::Started)
                .named(title)
                .panicked(panic),
            Self::Init(text) => Error::new(ErrorKind::Init, doing)
                .at(Phase::Started)
                .detail(format!("the builder of {title} failed: {text}")),
            Self::Arguments(text) => Error::new(ErrorKind::DecodeArguments, doing)
                .detail(format!("the specification of {title}: {text}")),
            Self::Function(text) => error.detail(format!("the builder of {title}: {text}")),
            other => other.into_error(doing).named(title),
        }
    }

    /// As the user sees it when the call was that of a pool's initialiser: what the error befalls are
    /// tasks that never began.
    pub(crate) fn of_initialiser(self) -> Error {
        const DOING: &str = "initialise a worker";
        match self {
            Self::Panicked(panic) => Error::new(ErrorKind::Init, DOING).panicked(panic),
            other => other.into_error(DOING),
        }
    }
}
