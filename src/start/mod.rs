//! Starting a child: one file per way, all with the same shape.

pub(crate) mod execute;
mod fork;
mod fork_server;
mod spawn;

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use offspring_platform::environment::{self, Change};
use offspring_platform::lifeline::Keeper;
use offspring_platform::watch::Watch;
use offspring_platform::{fork as platform_fork, program, random};

use crate::channel::Link;
use crate::child::launch::{Bytes, EnvironmentChange, Launch, Role, Standard};
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::{Context, child, entry};

pub(crate) use fork::check as check_fork;

const DOING: &str = "start a child process";

/// What the child shall find, besides its function.
#[derive(Debug, Clone)]
pub(crate) struct Specification {
    pub(crate) name: Option<String>,
    pub(crate) environment: Vec<Change>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) standard: [Stream; 3],
    pub(crate) memory_limit: Option<u64>,
    pub(crate) start_timeout: Duration,
}

/// How long a child may take to say hello, unless the user says otherwise.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for Specification {
    fn default() -> Self {
        Self {
            name: None,
            environment: Vec::new(),
            directory: None,
            standard: [Stream::Null, Stream::Inherit, Stream::Inherit],
            memory_limit: None,
            start_timeout: START_TIMEOUT,
        }
    }
}

/// Where a standard stream of the child leads.
#[derive(Debug, Clone)]
pub(crate) enum Stream {
    Inherit,
    Null,
    Open(Arc<OwnedFd>),
}

/// A child that was started, and has not said anything yet.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) link: Link,
    pub(crate) keeper: Keeper,
    pub(crate) ending: Ending,
}

/// Where the end of a child becomes known.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It is a child of this very process.
    Own { watch: Option<Watch> },
    /// A fork server is its parent, and reports here.
    Reported { id: u64, report: Box<Link>, watch: Option<Watch> },
}

/// Starts a child that runs one function.
pub(crate) fn start(
    context: Context,
    specification: &Specification,
    role: Role,
    name: &str,
    arguments: Encoded,
) -> Result<Started, Error> {
    check_settings(specification)?;
    check_depth(context)?;
    if matches!(context, Context::Spawn | Context::ForkServer) {
        check_initialized(context)?;
    }
    let launch = launch(context, specification, role, name)?;
    match context {
        Context::Fork => fork::start(launch, specification, arguments),
        Context::Spawn => spawn::start(launch, specification, arguments),
        Context::ForkServer => fork_server::start(launch, specification, arguments),
        Context::Inline => Err(Error::new(ErrorKind::Invalid, DOING).in_context(context)),
    }
}

/// Children of children without end are refused.
pub(crate) fn check_depth(context: Context) -> Result<(), Error> {
    if child::depth() < child::DEEPEST {
        return Ok(());
    }
    Err(Error::new(ErrorKind::TooDeep, DOING)
        .in_context(context)
        .detail(format!("this process is already {} generations deep", child::depth()))
        .advice("a task that starts children that start children has no end"))
}

/// Children that are started by exec enter at `init`. Without it they would run the whole program, and
/// so they would in a program that has to ignore its environment.
pub(crate) fn check_initialized(context: Context) -> Result<(), Error> {
    if program::is_privileged() {
        return Err(Error::new(ErrorKind::Start, DOING)
            .in_context(context)
            .detail("this program runs with more rights than its user")
            .advice("use fork, which needs no note in the environment"));
    }
    if entry::was_called() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotInitialized, DOING)
        .in_context(context)
        .advice("call `offspring::init()` first in `main`"))
}

/// Settings that the system would refuse later, in the child, where it is harder to say so.
fn check_settings(specification: &Specification) -> Result<(), Error> {
    let invalid = |detail: String| Err(Error::new(ErrorKind::Invalid, DOING).detail(detail));
    for change in &specification.environment {
        let (name, value) = match change {
            Change::Clear => continue,
            Change::Set(name, value) => (name, Some(value)),
            Change::Remove(name) => (name, None),
        };
        if !environment::is_name(name) {
            return invalid(format!("{name:?} cannot be the name of an environment variable"));
        }
        if value.is_some_and(|value| !environment::is_value(value)) {
            return invalid(format!("the value of the environment variable {name:?} holds a zero"));
        }
    }
    Ok(())
}

/// What the child is told. Environment, directory and streams are added by the ways that need them.
pub(crate) fn launch(
    context: Context,
    specification: &Specification,
    role: Role,
    name: &str,
) -> Result<Launch, Error> {
    Ok(Launch {
        identity: program::identity().to_vec(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nonce: random::nonce().map_err(|error| Error::system(DOING, error))?,
        context,
        depth: child::depth() + 1,
        may_fork: platform_fork::is_allowed(),
        name: specification.name.clone().unwrap_or_else(|| name.to_owned()),
        standard: [Standard::Keep; 3],
        environment: Vec::new(),
        directory: None,
        memory_limit: specification.memory_limit,
        role,
    })
}

/// Streams, environment and directory, for a child that makes them itself.
fn tell_surroundings(launch: &mut Launch, specification: &Specification, sent: &mut Encoded) {
    for (told, wanted) in launch.standard.iter_mut().zip(&specification.standard) {
        *told = match wanted {
            Stream::Inherit => Standard::Keep,
            Stream::Null => Standard::Null,
            Stream::Open(open) => {
                sent.descriptors.push(open.clone());
                Standard::Sent(u32::try_from(sent.descriptors.len() - 1).unwrap_or(u32::MAX))
            }
        };
    }
    launch
        .environment
        .extend(specification.environment.iter().cloned().map(EnvironmentChange::from));
    if let Some(directory) = &specification.directory {
        launch.directory = Some(Bytes::of_path(directory));
    }
}

/// The frame that tells a child what to be.
pub(crate) fn encode_launch(launch: &Launch, sent: Encoded) -> Result<Encoded, Error> {
    let mut message = codec::encode(launch)
        .map_err(|error| Error::new(ErrorKind::Start, DOING).caused_by(error))?;
    message.descriptors = sent.descriptors;
    Ok(message)
}

/// What is wrong with a child that cannot be where it shall be.
pub(crate) fn no_directory(directory: Option<&Path>) -> String {
    let which = directory.map(|path| format!(" `{}`", path.display())).unwrap_or_default();
    format!("its working directory{which} does not exist or cannot be entered")
}

/// The environment after these changes.
pub(crate) fn changed_environment(changes: &[Change]) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for change in changes {
        match change {
            Change::Clear => variables.clear(),
            Change::Set(name, value) => {
                variables.retain(|(other, _)| other != name);
                variables.push((name.clone(), value.clone()));
            }
            Change::Remove(name) => variables.retain(|(other, _)| other != name),
        }
    }
    variables
}

/// A failure of the system while a child was being started.
pub(crate) fn failed(context: Context, what: &str, error: std::io::Error) -> Error {
    let detail = format!("{what}: {error}");
    Error::new(ErrorKind::Start, DOING).in_context(context).detail(detail).caused_by(error)
}
