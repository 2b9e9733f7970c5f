//! Starting a child: one file per way, all with the same shape.

mod fork;
mod fork_server;
mod spawn;

use std::io;
use std::sync::Arc;

use offspring_platform::environment::{self, Change};
use offspring_platform::lifeline::Keeper;
use offspring_platform::transcript::Transcript;
use offspring_platform::watch::Watch;

use crate::capture::Set;
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::Inherited;
use crate::launch::message::{Bytes, EnvironmentChange, Launch, Role, Standard};
use crate::launch::{self, DOING, Specification, Stream, gates};
use crate::link::{Kind, Link};
use crate::logging::Attached;
use crate::supervisor::template::Home;
pub(crate) use fork_server::copy_of_template;

/// A child that was started, and has not said anything yet.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) link: Link,
    pub(crate) keeper: Keeper,
    pub(crate) ending: Ending,
    pub(crate) logs: Attached,
    /// What it writes, if that is captured.
    pub(crate) transcript: Option<Transcript>,
}

/// Where the end of a child becomes known.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It is a child of this very process.
    Own { watch: Option<Watch> },
    /// A fork server is its parent, and reports here.
    Reported { id: u64, report: Box<Link>, watch: Option<Watch>, home: Home },
}

/// What a child shall find.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) specification: &'a Specification,
    /// Where its captured streams shall lead.
    pub(crate) transcript: Option<&'a Transcript>,
}

/// What a child is sent behind its launch.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) arguments: Encoded,
    /// What was captured for it.
    pub(crate) captured: Option<&'a Arc<Set>>,
}

impl Message<'_> {
    fn queue(self, link: &mut Link) {
        if let Some(set) = self.captured {
            link.queue_shared(Kind::Captured, set.tag().into(), &[], set.message());
        }
        link.queue(Kind::Arguments, 0, self.arguments);
    }
}

/// Starts a child that runs one function. Only one by fork can be given what it inherits.
pub(crate) fn start(
    context: Context,
    specification: &Specification,
    role: Role,
    name: &str,
    message: Message<'_>,
    inherited: Option<Inherited<'_>>,
) -> Result<Started, Error> {
    check_settings(specification)?;
    gates::check_depth(context)?;
    if matches!(context, Context::Spawn | Context::ForkServer) {
        gates::check_initialized(context)?;
    }
    let launch = launch::prepare(context, specification, role, name)?;
    let transcript = specification
        .transcript()
        .map_err(|error| launch::failed(context, "what it writes cannot be captured", error))?;
    let wanted = Wanted { specification, transcript: transcript.as_ref() };
    let started = match context {
        Context::Fork => fork::start(launch, wanted, message, inherited),
        Context::Spawn => spawn::start(launch, wanted, message),
        Context::ForkServer => fork_server::start(launch, wanted, message),
        Context::Inline => Err(Error::new(ErrorKind::Invalid, DOING).in_context(context)),
    };
    started.map(|started| Started { transcript, ..started })
}

/// Settings that the system would refuse later, in the child, where it is harder to say so.
pub(crate) fn check_settings(specification: &Specification) -> Result<(), Error> {
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
    if matches!(specification.standard[0], Stream::Captured) {
        return invalid("standard input cannot be captured, only what is written".into());
    }
    Ok(())
}

/// Streams, environment and directory, for a child that makes them itself.
pub(crate) fn tell_surroundings(
    launch: &mut Launch,
    wanted: Wanted<'_>,
    sent: &mut Encoded,
) -> io::Result<()> {
    let Wanted { specification, transcript } = wanted;
    let mut send = |descriptor| {
        sent.descriptors.push(descriptor);
        Standard::Sent(u32::try_from(sent.descriptors.len() - 1).unwrap_or(u32::MAX))
    };
    for (told, wanted) in launch.standard.iter_mut().zip(&specification.standard) {
        *told = match wanted {
            Stream::Inherit => Standard::Keep,
            Stream::Null => Standard::Null,
            Stream::Open(open) => send(open.clone()),
            Stream::Captured => match transcript {
                // Not the private one, which a forked child has not.
                Some(transcript) => send(Arc::new(transcript.to_send()?)),
                None => Standard::Null,
            },
        };
    }
    launch
        .environment
        .extend(specification.environment.iter().cloned().map(EnvironmentChange::from));
    if let Some(directory) = &specification.directory {
        launch.directory = Some(Bytes::of_path(directory));
    }
    Ok(())
}
