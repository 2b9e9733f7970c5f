//! By spawn: a fresh run of the same program.

use std::io::ErrorKind;

use offspring_platform::descriptors;
use offspring_platform::lifeline::{self, Consequence};
use offspring_platform::spawn::Standard;
use offspring_platform::watch::Watch;

use super::{Ending, Message, Started, Wanted};
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::Error;
use crate::launch::execute::{self, Run};
use crate::launch::message::Launch;
use crate::launch::{self, Stream, failed, no_directory};
use crate::link::{Kind, Link};
use crate::logging;
use crate::state::notice::{self, Known};

/// Starts a child.
pub(super) fn start(
    mut told: Launch,
    wanted: Wanted<'_>,
    mut message: Message<'_>,
) -> Result<Started, Error> {
    let Wanted { specification, transcript } = wanted;
    // Encoded before anything is started: it is the user's code.
    let mentions = notice::for_child(&mut message.arguments.mentions)?;
    let fail = |error| failed(Context::Spawn, "the program could not be run again", error);
    let mut sent = Encoded::default();
    let logs = logging::attach(&mut told, &mut sent).map_err(fail)?;
    let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
    let (keeper, end) = lifeline::new().map_err(fail)?;
    let mut standard = [Standard::Inherit; 3];
    for (place, wanted) in standard.iter_mut().zip(&specification.standard) {
        *place = match wanted {
            Stream::Inherit => Standard::Inherit,
            Stream::Null => Standard::Null,
            Stream::Open(open) => Standard::Open(std::os::fd::AsFd::as_fd(&**open)),
            Stream::Captured => match transcript {
                Some(transcript) => Standard::Open(transcript.borrow().map_err(fail)?),
                None => Standard::Null,
            },
        };
    }
    let pid = execute::run(&Run {
        nonce: told.nonce,
        environment: &execute::changed_environment(&specification.environment),
        directory: specification.directory.as_deref().map(AsRef::as_ref),
        standard,
        channel: theirs.borrow().map_err(fail)?,
        lifeline: end.borrow().map_err(fail)?,
    })
    .map_err(|error| match specification.directory.as_deref() {
        // The system does not say which path it means.
        Some(directory) if error.kind() == ErrorKind::PermissionDenied || !directory.is_dir() => {
            failed(Context::Spawn, "", error).detail(no_directory(Some(directory)))
        }
        _ => fail(error),
    })?;
    let watch = Watch::child(pid).ok();
    // Until it reaches its first statement, the child cannot tie itself. That it is tied twice is
    // harmless, and so is a failure here.
    if let Ok(end) = end.borrow() {
        let _ = lifeline::tie(end, pid, Consequence::Kill);
    }
    let mut link = Link::new(ours);
    link.queue(Kind::Launch, 0, launch::encode(&told, sent)?);
    let mut known = Known::default();
    known.tell(&mut link, &mentions)?;
    if let Some(set) = message.captured {
        known.tell(&mut link, set.mentions())?;
    }
    message.queue(&mut link);
    Ok(Started { pid, link, keeper, ending: Ending::Own { watch }, logs, transcript: None })
}
