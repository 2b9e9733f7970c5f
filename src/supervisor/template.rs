//! The template of the fork server: one for each process, started with its first child; and one more that has
//! made the globals, see `prepared`.
//!
//! Behind each child that it starts, a template is asked for one more, which waits: the next start finds it
//! there, and needs no fork before it runs.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use offspring_platform::environment::Change;
use offspring_platform::fd::{self, Standards};
use offspring_platform::lifeline::{self, Keeper};
use offspring_platform::rights::Rights;
use offspring_platform::watch::Watch;
use offspring_platform::{descriptors, fork, limits};

use super::Supervisor;
use super::prepared::Prepared;
use super::protocol::{NotStarted, Signal, Start, Started};
use super::turn::Turn;
use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::launch::Specification;
use crate::launch::message::EnvironmentChange;
use crate::link::{Frame, Kind, Link};
use crate::woken::after;

pub(super) const DOING: &str = "start a child process";

/// How long a template may take until it has room for a request to signal a child.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) supervisor: Supervisor,
    /// Asked for, and wanted by nobody yet.
    spare: Option<Asked>,
    /// The environment in which it was started.
    environment: HashMap<OsString, OsString>,
    /// How many entries that were: a name may be there more than once.
    entries: usize,
    /// What this process was allowed then, and so is it; `None` where the system does not tell.
    rights: Option<Rights>,
    /// Whether the program had promised that it may be forked.
    may_fork: bool,
    /// Its standard streams, which are those that this process had then.
    standards: Standards,
}

/// Numbers children, also those of a later template: a handle of one that is gone means nobody else.
static NEXT: AtomicU64 = AtomicU64::new(1);

static TEMPLATE: Mutex<Option<Template>> = Mutex::new(None);

/// Of starting that one.
static STARTING: Turn = Turn::new();

fn lock() -> MutexGuard<'static, Option<Template>> {
    // A panic while it was held leaves it whole: the worst is a template that does not answer.
    TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one of which a child is a copy.
#[derive(Debug, Clone)]
pub(crate) enum Home {
    /// Runs nothing of the user's, so it serves all.
    Plain,
    Prepared(Prepared),
}

impl Template {
    /// Runs the program once more, which has to say hello within `limit`.
    pub(super) fn start(limit: Duration, name: &str) -> Result<Self, Error> {
        let all: Vec<_> = std::env::vars_os().collect();
        let (entries, environment) = (all.len(), all.into_iter().collect());
        let (standards, rights) = (Standards::now(), Rights::now());
        let may_fork = fork::is_allowed();
        let specification = Specification { start_timeout: limit, ..Specification::default() };
        let supervisor = Supervisor::template(&specification, name)?;
        Ok(Self { supervisor, spare: None, environment, entries, rights, may_fork, standards })
    }

    /// Whether it is alive, as far as anybody can tell.
    pub(super) fn is_usable(&mut self) -> bool {
        // Its socket alone does not tell: a child that it was just forking holds that, too, for a moment.
        self.supervisor.is_ours()
            && !self.supervisor.has_ended()
            && self.supervisor.link.as_mut().is_some_and(|link| {
                // It never says anything here; what can be read is its end.
                link.fill().is_ok() && !link.is_at_end()
            })
    }

    /// What changed in the environment of this process since.
    fn changes_of_environment(&self) -> Vec<EnvironmentChange> {
        let mut changes = Vec::new();
        let mut kept = 0;
        for (name, value) in std::env::vars_os() {
            match self.environment.get(&name) {
                Some(old) => {
                    kept += 1;
                    if *old != value {
                        changes.push(Change::Set(name, value).into());
                    }
                }
                None => changes.push(Change::Set(name, value).into()),
            }
        }
        if kept < self.entries {
            let gone = self.environment.keys().filter(|name| std::env::var_os(name).is_none());
            changes.extend(gone.map(|name| Change::Remove(name.clone()).into()));
        }
        changes
    }

    fn ask(&mut self, limit: Duration) -> Result<Asked, Error> {
        let fail = |error| Error::system(DOING, error).in_context(Context::ForkServer);
        let (ours, channel) = descriptors::socket_pair().map_err(fail)?;
        let (keeper, end) = lifeline::new().map_err(fail)?;
        let (report, reporting) = descriptors::socket_pair().map_err(fail)?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let room = limits::descriptors().map_err(fail)?;
        let mut message = codec::encode(&Start { room, ..Start::default() })
            .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
        for descriptor in [channel, end, reporting] {
            message.descriptors.push(Arc::new(descriptor.into_owned().map_err(fail)?));
        }
        request(self, Kind::Start, id, message, limit)?;
        Ok(Asked { id, link: Link::new(ours), keeper, report: Box::new(Link::new(report)) })
    }
}

fn usable(place: &mut Option<Template>) -> Option<&mut Template> {
    if place.as_mut().is_some_and(Template::is_usable) { place.as_mut() } else { None }
}

/// Runs `use_it` with a template that is usable. If there is no plain one, one is started, which has to say
/// hello within `limit`.
fn with<T>(
    home: &Home,
    limit: Duration,
    use_it: impl FnOnce(&mut Template) -> Result<T, Error>,
) -> Result<T, Error> {
    if let Home::Prepared(prepared) = home {
        return use_it(&mut prepared.lock());
    }
    if let Some(template) = usable(&mut lock()) {
        return use_it(template);
    }
    // It may take long to start, and is not started under the lock, for which others would wait longer than they may.
    let (_turn, left) = STARTING.take(limit, DOING)?;
    let mut place = lock();
    if let Some(template) = usable(&mut place) {
        // Another thread has just started it.
        return use_it(template);
    }
    let old = place.take();
    drop(place);
    // Collected before a new one starts.
    drop(old);
    let template = Template::start(left, "offspring-templ")?;
    use_it(lock().insert(template))
}

/// The template of this process, and whether it has been asked for the child of the next start.
#[cfg(feature = "test")]
pub(crate) fn present() -> Option<(i32, bool)> {
    let place = lock();
    let is_there =
        |template: &&Template| template.supervisor.is_ours() && template.supervisor.pid != 0;
    let template = place.as_ref().filter(is_there)?;
    Some((template.supervisor.pid, template.spare.is_some()))
}

/// What changed in this process since the template was started: its environment, and which of its standard streams.
pub(crate) fn changes_since_start(
    home: &Home,
    limit: Duration,
) -> Result<(Vec<EnvironmentChange>, [bool; 3]), Error> {
    with(home, limit, |template| {
        let changes = template.changes_of_environment();
        Ok((changes, Standards::now().differ(&template.standards)))
    })
}

/// A child that the template was asked for. It waits to be told what to be, on the other end of `link`.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) link: Link,
    pub(crate) keeper: Keeper,
    /// What comes of it is said here.
    pub(crate) report: Box<Link>,
}

/// Asks the template for a child.
pub(crate) fn ask(home: &Home, limit: Duration) -> Result<Asked, Error> {
    with(home, limit, |template| template.ask(limit))
}

/// The child that waits, if there is one. It may have ended meanwhile.
pub(crate) fn take_spare(home: &Home) -> Option<Asked> {
    match home {
        Home::Plain => {
            // That of a template which has just died is about to end with it.
            let mut place = lock();
            let template = place.as_mut()?;
            if template.is_usable() { template.spare.take() } else { None }
        }
        Home::Prepared(prepared) => prepared.lock().spare.take(),
    }
}

/// Has the template fork the child for the next start, while the one of this start is at work.
pub(crate) fn keep_spare(home: &Home, limit: Duration) {
    // Should it fail, then the next start asks for itself, and says why it failed.
    let _ = with(home, limit, |template| {
        if template.spare.is_none() {
            template.spare = Some(template.ask(limit)?);
        }
        Ok(())
    });
}

/// Has the plain template, if there is one, fork the child for the next start, which one has taken that has ended now and
/// asked for none: its own children were more urgent.
pub(super) fn restore_spare() {
    if lives(&Home::Plain) {
        keep_spare(&Home::Plain, PATIENCE);
    }
}

/// Whether it is alive, as far as anybody can tell.
pub(crate) fn lives(home: &Home) -> bool {
    match home {
        Home::Plain => lock().as_mut().is_some_and(Template::is_usable),
        Home::Prepared(prepared) => prepared.lock().is_usable(),
    }
}

/// Whether there is a plain template, which may do and has what this process may do and has now, and was started with the
/// same environment: libraries may have read it then. Not where the system does not tell.
pub(crate) fn is_like_us() -> bool {
    let mut place = lock();
    let Some(template) = usable(&mut place) else { return false };
    template.rights.is_some()
        && template.rights == Rights::now()
        && template.may_fork == fork::is_allowed()
        && template.changes_of_environment().is_empty()
}

/// Asks the template to signal one of its children. Nothing happens if it has ended.
pub(crate) fn signal_child(home: &Home, id: u64, signal: Signal) -> Result<(), Error> {
    let message = codec::encode(&signal)
        .map_err(|error| Error::new(ErrorKind::System, "signal a child").caused_by(error))?;
    let tell = |template: &mut Template| {
        // Else its children have ended with it.
        if template.is_usable() {
            request(template, Kind::Signal, id, message, PATIENCE)
        } else {
            Ok(())
        }
    };
    match home {
        Home::Plain => lock().as_mut().map_or(Ok(()), tell),
        Home::Prepared(prepared) => tell(&mut prepared.lock()),
    }
}

fn request(
    template: &mut Template,
    kind: Kind,
    id: u64,
    message: codec::Encoded,
    limit: Duration,
) -> Result<(), Error> {
    let Some(link) = &mut template.supervisor.link else {
        return Err(Error::new(ErrorKind::Closed, DOING).in_context(Context::ForkServer));
    };
    let fail = |kind| Error::new(kind, DOING).in_context(Context::ForkServer);
    let deadline = after(limit);
    let flush = |link: &mut Link| match link.flush_until(deadline) {
        Ok(true) => Ok(()),
        Ok(false) => Err(fail(ErrorKind::TimedOut)
            .detail(format!("the fork server took nothing for {limit:?}"))
            .advice("is it stopped?")),
        Err(error) => Err(fail(ErrorKind::Start).caused_by(error)),
    };
    // One request at most waits here, with its descriptors.
    flush(link)?;
    link.queue(kind, id, message);
    flush(link)
}

/// Whether the template says that it cannot fork for a reason of its own, and not of the system's.
pub(crate) fn cannot_fork(frame: &Frame) -> bool {
    let said =
        (frame.kind == Kind::NotStarted).then(|| codec::decode_own::<NotStarted>(&frame.bytes));
    matches!(said, Some(Ok(NotStarted { number: None, .. })))
}

/// Reads the first thing that is said about a child.
pub(crate) fn read_started(frame: Option<Frame>) -> Result<(i32, Option<Watch>), Error> {
    let fail = |kind| Error::new(kind, DOING).in_context(Context::ForkServer);
    let Some(frame) = frame else {
        return Err(fail(ErrorKind::Start)
            .detail("the fork server ended, or did not answer in time")
            .advice("try again: a new one is started"));
    };
    match frame.kind {
        Kind::Started => {
            let started = codec::decode_own::<Started>(&frame.bytes)
                .map_err(|error| fail(ErrorKind::Protocol).caused_by(error))?;
            let watch = frame.descriptors.into_iter().next().map(Watch::received).transpose();
            Ok((started.pid, watch.map_err(|error| fail(ErrorKind::Protocol).caused_by(error))?))
        }
        Kind::NotStarted => {
            let why = codec::decode_own::<NotStarted>(&frame.bytes)
                .map_err(|error| fail(ErrorKind::Protocol).caused_by(error))?;
            let error = fail(ErrorKind::Start).detail(why.text);
            let Some(number) = why.number else { return Err(error) };
            let cause = std::io::Error::from_raw_os_error(number);
            let error = if fd::is_lack_of_room(&cause) {
                fail(ErrorKind::Start)
                    .detail("the fork server has no descriptor left for one more child")
                    .advice("join some of its children first, or raise the limit of descriptors (`ulimit -n`)")
            } else {
                error
            };
            Err(error.caused_by(cause))
        }
        _ => Err(fail(ErrorKind::Protocol)),
    }
}
