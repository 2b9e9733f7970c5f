//! A process that is none: the function runs in the calling thread, through the same codec.

use offspring_platform::descriptors;
use offspring_platform::fd::PrivateFd;

use crate::Context;
use crate::codec::Encoded;
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::inline::{Answer, perform};

/// A function that has run.
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) name: String,
    pub(super) answer: Option<Answer>,
    /// Readable from the start: the end of a pipe that nobody can write to.
    pub(super) sentinel: PrivateFd,
}

impl Inline {
    /// Runs the function.
    pub(super) fn run(function: Name, name: &str, message: Encoded) -> Result<Self, Error> {
        let fail = |error| {
            Error::new(ErrorKind::System, "run a function inline")
                .in_context(Context::Inline)
                .caused_by(error)
        };
        let (sentinel, _) = descriptors::pipe().map_err(fail)?;
        let answer = perform(function, &mut None, &message).map_err(fail)?;
        Ok(Self { name: name.to_owned(), answer: Some(answer), sentinel })
    }
}
