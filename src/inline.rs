//! Running a call in this very process, through the same codec as in a child.

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use offspring_platform::fd::duplicate;

use crate::capture::{self, Set};
use crate::codec::Encoded;
use crate::function::{self, Failed, Name};

/// What came of a call, as it arrives at its owner.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Vec<u8>, Vec<OwnedFd>),
    Failed(Failed),
}

/// Runs a function on an encoded argument, as a child would, with what was captured for it. Returns with the
/// answer what the function brought back.
pub(crate) fn perform(
    function: Name,
    state: &mut Option<Box<dyn Any>>,
    message: &Encoded,
    captured: Option<&Arc<Set>>,
) -> (io::Result<Answer>, Option<Vec<u8>>) {
    let received = match receive(message) {
        Ok(received) => received,
        Err(error) => return (Err(error), None),
    };
    let (came, pieces) = capture::inline(captured, || {
        function::call(function, state, Cow::Borrowed(&message.bytes), received)
    });
    let answer = match came {
        Ok(result) => receive(&result).map(|descriptors| Answer::Done(result.bytes, descriptors)),
        Err(failure) => Ok(Answer::Failed(failure.into())),
    };
    (answer, pieces)
}

/// The descriptors as they would arrive in another process.
fn receive(message: &Encoded) -> io::Result<Vec<OwnedFd>> {
    message.descriptors.iter().map(|descriptor| duplicate(descriptor.as_fd())).collect()
}
