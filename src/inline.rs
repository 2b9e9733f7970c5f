//! Running a call in this very process, through the same codec as in a child.

use std::any::Any;
use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;

use offspring_platform::fd::duplicate;

use crate::codec::Encoded;
use crate::function::{self, Failure, Name};

/// What came of a call, as it arrives at its owner.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Vec<u8>, Vec<OwnedFd>),
    Failed(Failure),
}

/// Runs a function on an encoded argument, as a child would.
pub(crate) fn perform(
    function: Name,
    state: &mut Option<Box<dyn Any>>,
    message: &Encoded,
) -> io::Result<Answer> {
    let received = receive(message)?;
    Ok(match function::call(function, state, Cow::Borrowed(&message.bytes), received) {
        Ok(result) => {
            let descriptors = receive(&result)?;
            Answer::Done(result.bytes, descriptors)
        }
        Err(failure) => Answer::Failed(failure),
    })
}

/// The descriptors as they would arrive in another process.
fn receive(message: &Encoded) -> io::Result<Vec<OwnedFd>> {
    message.descriptors.iter().map(|descriptor| duplicate(descriptor.as_fd())).collect()
}
