//! A process that is none: the function runs in the calling thread, through the same codec.

use std::sync::Arc;

use offspring_platform::descriptors;
use offspring_platform::fd::PrivateFd;

use crate::capture::{Brought, Set};
use crate::child::whoami::working_as;
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::inline::{Answer, perform};

/// A function that has run.
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) name: String,
    pub(super) answer: Option<Answer>,
    /// Merged when the answer is given out.
    pub(super) brought: Option<Brought>,
    /// Readable from the start: the end of a pipe that nobody can write to.
    pub(super) sentinel: PrivateFd,
}

impl Inline {
    /// Runs the function.
    pub(super) fn run(
        function: Name,
        name: &str,
        message: &Encoded,
        captured: Option<&Arc<Set>>,
    ) -> Result<Self, Error> {
        let fail = |error| {
            Error::new(ErrorKind::System, "run a function inline")
                .in_context(Context::Inline)
                .caused_by(error)
        };
        let (sentinel, _) = descriptors::pipe().map_err(fail)?;
        let (answer, pieces) = working_as(None, || perform(function, &mut None, message, captured));
        let answer = Some(answer.map_err(fail)?);
        let brought = pieces.zip(captured).map(|(pieces, set)| Brought::new(set.clone(), pieces));
        Ok(Self { name: name.to_owned(), answer, brought, sentinel })
    }
}
