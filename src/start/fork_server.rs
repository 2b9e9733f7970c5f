//! By fork server: a copy of a fresh template of the same program.

use offspring_platform::{descriptors, lifeline};

use super::{Ending, Started, tell_surroundings};
use crate::Context;
use crate::channel::{Kind, Link};
use crate::codec::Encoded;
use crate::error::{Error, ErrorKind};
use crate::launch::message::{Bytes, Launch};
use crate::launch::{self, DOING, Specification, failed};
use crate::supervisor::template;

/// Starts a child.
pub(super) fn start(
    mut told: Launch,
    specification: &Specification,
    arguments: Encoded,
) -> Result<Started, Error> {
    let fail = |error| failed(Context::ForkServer, "the system refused", error);
    // The template is older than what changed here since: the child is told.
    if let Ok(directory) = std::env::current_dir() {
        told.directory = Some(Bytes::of_path(&directory));
    }
    told.environment = template::environment_since_start()?;
    let mut sent = Encoded::default();
    tell_surroundings(&mut told, specification, &mut sent);
    let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
    let (keeper, end) = lifeline::new().map_err(fail)?;
    let (report, reporting) = descriptors::socket_pair().map_err(fail)?;
    let id = template::start_child(theirs, end, reporting)?;
    let mut report = Box::new(Link::new(report));
    let started = report
        .wait_for_frame(Some(std::time::Instant::now() + specification.start_timeout))
        .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
    let (pid, watch) = template::read_started(started)?;
    let mut link = Link::new(ours);
    link.queue(Kind::Launch, 0, launch::encode(&told, sent)?);
    link.queue(Kind::Arguments, 0, arguments);
    Ok(Started { pid, link, keeper, ending: Ending::Reported { id, report, watch } })
}
