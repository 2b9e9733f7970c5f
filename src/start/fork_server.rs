//! By fork server: a copy of a fresh template of the same program.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_platform::{environment, fd, limits};

use super::{Ending, Message, Started, Wanted, tell_surroundings};
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::launch::message::{Bytes, Launch, Role};
use crate::launch::place::Place;
use crate::launch::{self, DOING, Specification, Stream, failed};
use crate::link::Kind;
use crate::logging::{self, Attached};
use crate::state::Mentions;
use crate::state::notice::{self, Known};
use crate::supervisor::prepared;
use crate::supervisor::template::{self, Asked, Home};
use crate::woken::after;

/// How many templates may die before they answer.
const ATTEMPTS: u32 = 3;

/// How long the template may take to make a copy that is to be a supervisor, before the program is run again.
const COPIED: Duration = Duration::from_secs(1);

/// Starts a child.
pub(super) fn start(
    mut told: Launch,
    wanted: Wanted<'_>,
    mut behind: Message<'_>,
) -> Result<Started, Error> {
    // Encoded before anything is asked for: it is the user's code.
    let globals = notice::globals()?;
    let mut mentions = globals.clone();
    mentions.join(Mentions::of(&mut behind.arguments.mentions, None)?);
    let specification = wanted.specification;
    let limit = specification.start_timeout;
    let (home, mut started) = find(specification, &globals)?;
    let mut sent = tell_changes(&mut told, &home, wanted)?;
    let fail = |error| failed(Context::ForkServer, "the system refused", error);
    let logs = logging::attach(&mut told, &mut sent).map_err(fail)?;
    let message = launch::encode(&told, sent)?;

    started.logs = logs;
    started.link.queue(Kind::Launch, 0, message);
    let mut known = Known::default();
    if let Home::Prepared(prepared) = &home {
        prepared.assume(&globals, &mut known);
    }
    known.tell(&mut started.link, &mentions)?;
    if let Some(set) = behind.captured {
        known.tell(&mut started.link, set.mentions())?;
    }
    behind.queue(&mut started.link);
    // Now, so that the child works while the next one is made. What cannot be sent shows in its end.
    let _ = started.link.flush();
    template::keep_spare(&home, limit);
    Ok(started)
}

/// A child of the plain template that is to be a supervisor, and says hello when it is. `None` if there is no such template,
/// or it is of another time: it had another user, say.
pub(crate) fn copy_of_template(
    specification: &Specification,
    name: &str,
) -> Result<Option<Started>, Error> {
    if !template::is_like_us() {
        return Ok(None);
    }
    let home = Home::Plain;
    let limit = specification.start_timeout.min(COPIED);
    let Some(mut started) = child(&home, limit)? else { return Ok(None) };
    let role = Role::Supervisor { forks: true };
    let mut told = launch::prepare(Context::ForkServer, specification, role, name)?;
    // Its children are as deep as this process's own would be: it is no user of the program.
    told.place = Place::own();
    let mut sent = tell_changes(&mut told, &home, Wanted { specification, transcript: None })?;
    // There is not always a way to where this process is by its path.
    let fail = |error| failed(Context::ForkServer, "the working directory cannot be opened", error);
    if told.from.is_none() {
        told.from = Some(u32::try_from(sent.descriptors.len()).unwrap_or(u32::MAX));
        sent.descriptors.push(Arc::new(environment::own_directory().map_err(fail)?));
    }
    told.directory = None;
    started.link.queue(Kind::Launch, 0, launch::encode(&told, sent)?);
    // What cannot be sent shows in its end.
    let _ = started.link.flush();
    Ok(Some(started))
}

/// The template is older than what changed here since: the child is told, and what else it shall find.
fn tell_changes(told: &mut Launch, home: &Home, wanted: Wanted<'_>) -> Result<Encoded, Error> {
    let mut sent = Encoded::default();
    match std::env::current_dir() {
        Ok(directory) => told.directory = Some(Bytes::of_path(&directory)),
        // It has been removed, say: the child works where no path leads to, like one by the other contexts.
        Err(_) => {
            let directory = environment::own_directory().map_err(|error| {
                let what =
                    "the working directory of this process has no path, and cannot be opened";
                failed(Context::ForkServer, what, error)
            })?;
            sent.descriptors.push(Arc::new(directory));
            told.from = Some(0);
        }
    }
    told.descriptors = limits::descriptors().ok();
    let limit = wanted.specification.start_timeout;
    let (changes, moved) = template::changes_since_start(home, limit)?;
    told.environment = changes;
    let specification = &with_streams_of_now(wanted.specification, moved);
    let fail = |error| failed(Context::ForkServer, "the system refused", error);
    tell_surroundings(told, Wanted { specification, ..wanted }, &mut sent).map_err(fail)?;
    Ok(sent)
}

/// With the standard streams of this process, where it has others since the template was started, whose a child has.
fn with_streams_of_now(specification: &Specification, moved: [bool; 3]) -> Cow<'_, Specification> {
    let mut now = Cow::Borrowed(specification);
    for (number, moved) in moved.into_iter().enumerate() {
        if moved && matches!(specification.standard[number], Stream::Inherit) {
            // One that was closed is nothing to a forked child, too.
            let open = fd::duplicate_standard(number).map(|fd| Stream::Open(Arc::new(fd)));
            now.to_mut().standard[number] = open.unwrap_or(Stream::Null);
        }
    }
    now
}

/// A child that waits to be told what to be, of the template that has the globals if there is one.
fn find(specification: &Specification, globals: &Mentions) -> Result<(Home, Started), Error> {
    let limit = specification.start_timeout;
    for _ in 0..ATTEMPTS {
        let Some(prepared) = prepared::with_globals(globals, specification)? else { break };
        let home = Home::Prepared(prepared.clone());
        match child(&home, limit)? {
            Some(started) => {
                prepared.has_served();
                return Ok((home, started));
            }
            None => prepared.give_up(),
        }
    }
    for _ in 0..ATTEMPTS {
        if let Some(started) = child(&Home::Plain, limit)? {
            return Ok((Home::Plain, started));
        }
    }
    // Says what is wrong.
    template::read_started(None).and(Err(Error::new(ErrorKind::Start, DOING)))
}

/// A child that waits. Until it is told what to be, nothing of the user's has run in it: one that was lost,
/// alone or with its template, can be replaced. `None` if another template has to be asked.
fn child(home: &Home, limit: Duration) -> Result<Option<Started>, Error> {
    let deadline = after(limit);
    if let Some(started) =
        template::take_spare(home).and_then(|spare| waiting(home, spare, deadline))
    {
        return Ok(Some(started));
    }
    let is_plain = matches!(home, Home::Plain);
    let mut asked = match template::ask(home, limit) {
        Err(error) if !is_plain && is_about_template(&error) => return Ok(None),
        asked => asked?,
    };
    let answer = asked
        .report
        .wait_for_frame(deadline)
        .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
    let may_retry = match &answer {
        None => !is_plain || asked.report.is_at_end(),
        Some(frame) => !is_plain && template::cannot_fork(frame),
    };
    if may_retry {
        return Ok(None);
    }
    let (pid, watch) = template::read_started(answer)?;
    let Asked { id, link, keeper, report } = asked;
    let ending = Ending::Reported { id, report, watch, home: home.clone() };
    Ok(Some(Started { pid, link, keeper, ending, logs: Attached::default(), transcript: None }))
}

/// Whether it could not be asked, as opposed to a lack of something here.
fn is_about_template(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Start | ErrorKind::Closed)
}

/// A child that was asked for earlier, unless something became of it meanwhile.
fn waiting(home: &Home, mut spare: Asked, deadline: Option<Instant>) -> Option<Started> {
    let answer = spare.report.wait_for_frame(deadline).ok()?;
    let (pid, watch) = template::read_started(answer).ok()?;
    spare.report.fill().ok()?;
    // Its own end shows at once, what the template says of that a moment later.
    spare.link.fill().ok()?;
    let Asked { id, link, keeper, mut report } = spare;
    if report.next().is_some() || report.is_at_end() || link.is_at_end() {
        return None;
    }
    let ending = Ending::Reported { id, report, watch, home: home.clone() };
    Some(Started { pid, link, keeper, ending, logs: Attached::default(), transcript: None })
}
