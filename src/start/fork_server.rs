//! By fork server: a copy of a fresh template of the same program.

use std::time::Instant;

use super::{Ending, Message, Started, tell_surroundings};
use crate::Context;
use crate::codec::Encoded;
use crate::error::{Error, ErrorKind};
use crate::launch::message::{Bytes, Launch};
use crate::launch::{self, DOING, Specification, failed};
use crate::link::Kind;
use crate::logging::{self, Attached};
use crate::state::notice::{self, Known};
use crate::supervisor::template::{self, Asked};

/// How many templates may die before they answer.
const ATTEMPTS: u32 = 3;

/// Starts a child.
pub(super) fn start(
    mut told: Launch,
    specification: &Specification,
    mut behind: Message<'_>,
) -> Result<Started, Error> {
    // Encoded before anything is asked for: it is the user's code.
    let mentions = notice::for_child(&mut behind.arguments.mentions)?;
    let limit = specification.start_timeout;
    // The template is older than what changed here since: the child is told.
    if let Ok(directory) = std::env::current_dir() {
        told.directory = Some(Bytes::of_path(&directory));
    }
    told.environment = template::environment_since_start(limit)?;
    let mut sent = Encoded::default();
    tell_surroundings(&mut told, specification, &mut sent);
    let logs = logging::attach(&mut told, &mut sent)
        .map_err(|error| failed(Context::ForkServer, "the system refused", error))?;
    let message = launch::encode(&told, sent)?;

    let mut started = child(specification)?;
    started.logs = logs;
    started.link.queue(Kind::Launch, 0, message);
    let mut known = Known::default();
    known.tell(&mut started.link, &mentions)?;
    if let Some(set) = behind.captured {
        known.tell(&mut started.link, set.mentions())?;
    }
    behind.queue(&mut started.link);
    // Now, so that the child works while the next one is made. What cannot be sent shows in its end.
    let _ = started.link.flush();
    template::keep_spare(limit);
    Ok(started)
}

/// A child that waits to be told what to be. Until it is told, nothing of the user's has run: one that was
/// lost, alone or with its template, can be replaced.
fn child(specification: &Specification) -> Result<Started, Error> {
    let limit = specification.start_timeout;
    let deadline = Instant::now().checked_add(limit);
    if let Some(started) = template::take_spare().and_then(|spare| waiting(spare, deadline)) {
        return Ok(started);
    }
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let mut asked = template::ask(limit)?;
        let answer = asked
            .report
            .wait_for_frame(deadline)
            .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
        if answer.is_none() && asked.report.is_at_end() && left > 0 {
            continue;
        }
        let (pid, watch) = template::read_started(answer)?;
        let Asked { id, link, keeper, report } = asked;
        let ending = Ending::Reported { id, report, watch };
        return Ok(Started { pid, link, keeper, ending, logs: Attached::default() });
    }
}

/// A child that was asked for earlier, unless something became of it meanwhile.
fn waiting(mut spare: Asked, deadline: Option<Instant>) -> Option<Started> {
    let answer = spare.report.wait_for_frame(deadline).ok()?;
    let (pid, watch) = template::read_started(answer).ok()?;
    spare.report.fill().ok()?;
    let Asked { id, link, keeper, mut report } = spare;
    if report.next().is_some() || report.is_at_end() {
        return None;
    }
    let ending = Ending::Reported { id, report, watch };
    Some(Started { pid, link, keeper, ending, logs: Attached::default() })
}
