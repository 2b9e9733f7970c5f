//! By fork server: a copy of a fresh template of the same program.

use std::time::Instant;

use offspring_platform::{descriptors, lifeline};

use super::{Ending, Started, tell_surroundings};
use crate::Context;
use crate::channel::{Kind, Link};
use crate::codec::Encoded;
use crate::error::{Error, ErrorKind};
use crate::launch::message::{Bytes, Launch};
use crate::launch::{self, DOING, Specification, failed};
use crate::supervisor::template;

/// How many templates may die before they answer.
const ATTEMPTS: u32 = 3;

/// Starts a child.
pub(super) fn start(
    told: Launch,
    specification: &Specification,
    arguments: Encoded,
) -> Result<Started, Error> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        if let Some(mut started) = attempt(told.clone(), specification, left == 0)? {
            started.link.queue(Kind::Arguments, 0, arguments);
            return Ok(started);
        }
    }
}

/// Asks for a child. `None` when the template turns out to be dead, unless this is the last attempt:
/// nothing of the user's has run then, and the next attempt starts a new template.
fn attempt(
    mut told: Launch,
    specification: &Specification,
    last: bool,
) -> Result<Option<Started>, Error> {
    let fail = |error| failed(Context::ForkServer, "the system refused", error);
    // The template is older than what changed here since: the child is told.
    if let Ok(directory) = std::env::current_dir() {
        told.directory = Some(Bytes::of_path(&directory));
    }
    let limit = specification.start_timeout;
    told.environment = template::environment_since_start(limit)?;
    let mut sent = Encoded::default();
    tell_surroundings(&mut told, specification, &mut sent);
    let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
    let (keeper, end) = lifeline::new().map_err(fail)?;
    let (report, reporting) = descriptors::socket_pair().map_err(fail)?;
    let id = template::start_child(theirs, end, reporting, limit)?;
    let mut report = Box::new(Link::new(report));
    let started = report
        .wait_for_frame(Instant::now().checked_add(limit))
        .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
    if started.is_none() && report.is_at_end() && !last {
        return Ok(None);
    }
    let (pid, watch) = template::read_started(started)?;
    let mut link = Link::new(ours);
    link.queue(Kind::Launch, 0, launch::encode(&told, sent)?);
    Ok(Some(Started { pid, link, keeper, ending: Ending::Reported { id, report, watch } }))
}
