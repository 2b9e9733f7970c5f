//! What a child is told before anything else, and how a program is run as one.

pub(crate) mod execute;
pub(crate) mod gates;
pub(crate) mod handover;
pub(crate) mod message;
pub(crate) mod place;
mod stdio;
pub(crate) mod waiters;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use offspring_platform::environment::Change;
use offspring_platform::transcript::Transcript;
use offspring_platform::{fork, program, random};

use crate::codec::{self, Encoded};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::hooks;
use message::{Launch, Role, Standard};
use place::Place;
pub use stdio::Stdio;
pub(crate) use stdio::Stream;

/// What errors say was attempted.
pub(crate) const DOING: &str = "start a child process";

/// What the child shall find, besides its function.
#[derive(Debug, Clone)]
pub(crate) struct Specification {
    pub(crate) name: Option<String>,
    pub(crate) environment: Vec<Change>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) standard: [Stream; 3],
    pub(crate) memory_limit: Option<u64>,
    pub(crate) start_timeout: Duration,
}

impl Specification {
    /// With a directory that means the same for a process that works elsewhere, as a template does. One that cannot be
    /// resolved stays as it is: whoever goes there says so.
    pub(crate) fn here(&self) -> Cow<'_, Self> {
        let relative = self.directory.as_deref().filter(|path| path.is_relative());
        match relative.map(std::path::absolute) {
            Some(Ok(path)) => Cow::Owned(Self { directory: Some(path), ..self.clone() }),
            _ => Cow::Borrowed(self),
        }
    }

    /// The number of a standard stream that is captured.
    pub(crate) fn captured(&self) -> Option<u32> {
        let mut all = (0..).zip(&self.standard);
        all.find(|(_, stream)| matches!(stream, Stream::Captured)).map(|(number, _)| number)
    }

    /// Where the child will write what is captured.
    pub(crate) fn transcript(&self) -> io::Result<Option<Transcript>> {
        self.captured().map(|_| Transcript::new()).transpose()
    }
}

/// How long a child may take to say hello, unless the user says otherwise.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Specification {
    fn default() -> Self {
        Self {
            name: None,
            environment: Vec::new(),
            directory: None,
            standard: [Stream::Null, Stream::Inherit, Stream::Inherit],
            memory_limit: None,
            start_timeout: START_TIMEOUT,
        }
    }
}

/// What the child is told. Environment, directory and streams are added by the ways that need them.
pub(crate) fn prepare(
    context: Context,
    specification: &Specification,
    role: Role,
    name: &str,
) -> Result<Launch, Error> {
    Ok(Launch {
        identity: program::identity().to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nonce: random::nonce().map_err(|error| Error::system(DOING, error))?,
        context,
        place: Place::of_child(),
        may_fork: fork::is_allowed(),
        name: specification.name.clone().unwrap_or_else(|| name.to_owned()),
        standard: [Standard::Keep; 3],
        transcript: specification.captured(),
        environment: Vec::new(),
        directory: None,
        from: None,
        memory_limit: specification.memory_limit,
        descriptors: None,
        hooks: hooks::all(),
        logs: false,
        role,
    })
}

/// The frame that tells a child what to be.
pub(crate) fn encode(launch: &Launch, sent: Encoded) -> Result<Encoded, Error> {
    let mut message = codec::encode(launch)
        .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
    message.descriptors = sent.descriptors;
    Ok(message)
}

/// What is wrong with a child that cannot be where it shall be.
pub(crate) fn no_directory(directory: Option<&Path>) -> String {
    let which = directory.map(|path| format!(" `{}`", path.display())).unwrap_or_default();
    format!("its working directory{which} does not exist or cannot be entered")
}

/// A failure of the system while a child was being started.
pub(crate) fn failed(context: Context, what: &str, error: io::Error) -> Error {
    let detail = format!("{what}: {error}");
    Error::new(ErrorKind::Start, DOING).in_context(context).detail(detail).caused_by(error)
}
