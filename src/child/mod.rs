//! What every child does first, whatever started it, and how it ends.
//!
//! The order is the same on every context: inherit or receive; lifeline; signals and exit handlers; log bridge;
//! standard streams; environment, directory and limits; hooks, if it was forked; hello; then the user's code; then flush and
//! leave by `_exit`. Signals and exit handlers come first where a child waits to be told what to be.

mod alone;
mod bench;
mod bulk;
mod call;
mod copy;
mod end;
mod outcome;
mod told;
pub(crate) mod whoami;
pub(crate) mod worker;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offspring_platform::entry::Entered;
use offspring_platform::environment::Change;
use offspring_platform::fd::{self, PrivateFd};
use offspring_platform::fork::Permission;
use offspring_platform::{
    alone::Alone, environment, exit, fork, lifeline, limits, program, signal, socket,
};

use self::end::{end, end_with};
use crate::capture::{self, Set};
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::function::Inherited;
use crate::hooks;
use crate::launch::message::{Launch, Role, Standard};
use crate::launch::{self, handover::Handover};
use crate::link::{Broken, Frame, Kind, Link};
use crate::logging;
use crate::state::notice;
use crate::supervisor::serve;
use crate::transcript;

/// How often a child that waits to be told what to be may be refused memory by the system, a millisecond apart.
const PATIENCE: u32 = 1_000;

/// How long a child waits for its owner to receive a result with sockets, where they are lost otherwise.
const ARRIVAL: Duration = Duration::from_secs(1);

/// Why a child does not run what it was asked to.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) enum Refusal {
    /// It is this build, which is not that of its owner; empty if it cannot be told.
    ProgramChanged(Vec<u8>),
    /// Its life could not be tied to that of its owner, for this reason: where that takes a thread, the system may
    /// have none left.
    Lifeline(String),
    Environment,
    Directory,
    Limits,
    Streams,
    Logging,
    /// What is to run after a fork failed like this.
    Hook(String),
}

impl Refusal {
    /// The child is another build of the program.
    fn other_build() -> Self {
        Self::ProgramChanged(program::identity().to_vec())
    }

    /// What a child has said. Only another build may say it in another way.
    pub(crate) fn received(bytes: &[u8]) -> Self {
        codec::decode_own(bytes).unwrap_or(Self::ProgramChanged(Vec::new()))
    }

    /// What its owner tells, who wanted it to be in this directory.
    pub(crate) fn into_error(self, doing: &'static str, directory: Option<&Path>) -> Error {
        let text = match self {
            Self::ProgramChanged(build) => {
                return Error::new(ErrorKind::ProgramChanged, doing)
                    .detail(format!(
                        "the program on disk is not the one that is running, which is build {}, but build {}",
                        shown(program::identity()),
                        shown(&build)
                    ))
                    .advice("restart the program, so that parent and children are the same build");
            }
            Self::Lifeline(text) => {
                format!("it could not see to it that it ends with its owner: {text}")
            }
            Self::Environment => "its environment could not be changed".to_owned(),
            Self::Directory => launch::no_directory(directory),
            Self::Limits => "its limits could not be set".to_owned(),
            Self::Streams => "its standard streams could not be set up".to_owned(),
            Self::Logging => "it could not take over the way of its records".to_owned(),
            Self::Hook(text) => text,
        };
        Error::new(ErrorKind::Start, doing).detail(text)
    }
}

/// A build of the program, as file(1) shows it, if it was linked with an identity.
fn shown(build: &[u8]) -> String {
    // Another build may say anything; the longest of ours has five numbers.
    let bytes = &build[..build.len().min(5 * size_of::<u64>())];
    match bytes {
        [] => "unknown".to_owned(),
        bytes => {
            let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
            digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
        }
    }
}

/// A child started by exec, in the first statement of its `main`: hears what it is to be, and makes sure
/// that it is the program that is meant.
pub(crate) fn receive(handover: Handover, entered: &Entered) -> (Birth<'static>, PrivateFd) {
    let mut link = Link::new(handover.channel);
    let first = first_frame(&mut link);
    let launch = match codec::decode_own::<Launch>(&first.bytes) {
        Ok(launch) if first.kind == Kind::Launch && launch.nonce == handover.nonce => launch,
        // Another build may not even understand what it is told.
        _ => leave(&mut link, Refusal::other_build()),
    };
    if launch.identity != program::identity() || launch.version != env!("CARGO_PKG_VERSION") {
        leave(&mut link, Refusal::other_build());
    }
    if launch.may_fork {
        fork::inherit_promise(entered);
    }
    launch.place.take();
    program::set_name(&launch.name);
    let birth = Birth {
        link,
        launch,
        descriptors: first.descriptors,
        message: None,
        captured: None,
        inherited: None,
        forked: false,
    };
    (birth, handover.lifeline)
}

/// Waits for the launch. The owner holds the other end of the channel, so this ends with it.
fn first_frame(link: &mut Link) -> Frame {
    let mut refused = 0;
    loop {
        match link.wait_for_frame(None) {
            Ok(Some(frame)) => return frame,
            Ok(None) => exit::now(0),
            // A child that waits ahead of its start would be lost while nobody looks, and the start with it. It
            // has done nothing yet, so it may wait until there is memory again.
            Err(error) if error.lacks_memory() && refused < PATIENCE => refused += 1,
            Err(_) => exit::now(exit::FELL_OUT),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The next frame, if it is there.
fn said(link: &mut Link) -> Result<Option<Frame>, Broken> {
    match link.next() {
        // Not `fill`: behind it may be one that is very long.
        None => link.fill_once().map(|_| link.next()),
        said => Ok(said),
    }
}

/// Waits for the arguments, and takes note of what has to be known for them.
fn arguments(link: &mut Link) -> (Frame, Option<(u32, Arc<Set>)>) {
    let mut captured = None;
    loop {
        let next = match said(link) {
            // Before that waits, it sends hello: for what the owner has to send, which may be much, nobody is late.
            Ok(None) => link.wait_for_frame(None),
            said => said,
        };
        match next {
            Ok(Some(frame)) if frame.kind == Kind::Arguments => return (frame, captured),
            Ok(Some(frame)) if frame.kind == Kind::Captured => {
                captured = Some(captured_in(frame));
            }
            Ok(Some(frame)) if frame.kind == Kind::Notice => {
                if notice::receive(frame).is_none() {
                    exit::now(exit::FELL_OUT);
                }
            }
            // The owner is gone, or is none of ours.
            _ => exit::now(exit::FELL_OUT),
        }
    }
}

/// A child that has just begun, in its own frame, with the exit bomb armed.
pub(crate) struct Birth<'a> {
    pub(crate) link: Link,
    pub(crate) launch: Launch,
    /// What came with the launch: standard streams.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// The arguments, if they were inherited.
    pub(crate) message: Option<(Vec<u8>, Vec<OwnedFd>)>,
    /// What was captured for them.
    pub(crate) captured: Option<Arc<Set>>,
    /// The function, if it was inherited.
    pub(crate) inherited: Option<Inherited<'a>>,
    pub(crate) forked: bool,
}

impl Birth<'_> {
    /// Ties it to its owner.
    pub(crate) fn tied(mut self, end: PrivateFd) -> Self {
        tie(&mut self.link, end);
        if self.forked {
            signal::reset_for_child();
            exit::skip_inherited_handlers();
        }
        self
    }
}

/// A child that was forked from a template or supervisor: learns over its channel what to be.
pub(crate) fn enter_by_fork(
    channel: PrivateFd,
    end: PrivateFd,
    permission: Permission,
    inherited: Option<Inherited<'_>>,
) -> ! {
    let mut link = Link::new(channel);
    // What signals do was set by its parent, in the same way for all.
    exit::skip_inherited_handlers();
    let first = first_frame(&mut link);
    let launch = match codec::decode_own::<Launch>(&first.bytes) {
        Ok(launch) if first.kind == Kind::Launch => launch,
        _ => leave(&mut link, Refusal::other_build()),
    };
    let descriptors = first.descriptors;
    if matches!(launch.role, Role::Supervisor { .. }) {
        supervise(link, &launch, descriptors, end, permission);
    }
    // It may have waited for this for long. A worker was somebody from the start.
    let is_worker = matches!(launch.role, Role::Worker(_));
    let had_signals = signal::forget_pending(if is_worker {
        signal::Pending::OfGroups
    } else {
        signal::Pending::All
    });
    if had_signals {
        signal::reset_for_child();
    }
    tie(&mut link, end);
    let (message, captured) = (None, None);
    live(Birth { link, launch, descriptors, message, captured, inherited, forked: true })
}

/// A child that is to be a supervisor. Like one that is a fresh run of the program, it has the surroundings that its owner
/// has now.
fn supervise(
    mut link: Link,
    launch: &Launch,
    descriptors: Vec<OwnedFd>,
    end: PrivateFd,
    permission: Permission,
) -> ! {
    launch.place.take();
    program::set_name(&launch.name);
    if set_streams(launch.standard, &descriptors).is_err() {
        leave(&mut link, Refusal::Streams);
    }
    if let Err(refusal) = set_surroundings(launch, &descriptors) {
        leave(&mut link, refusal);
    }
    drop(descriptors);
    serve::enter_copy(link, end, permission)
}

fn tie(link: &mut Link, end: PrivateFd) {
    if let Err(error) = lifeline::arm(end) {
        // A child that would outlive its owner must not live.
        leave(link, Refusal::Lifeline(error.to_string()));
    }
}

/// The life of a child.
pub(crate) fn live(birth: Birth<'_>) -> ! {
    let Birth { mut link, mut launch, mut descriptors, message, captured, .. } = birth;
    let (inherited, forked) = (birth.inherited, birth.forked);
    capture::disown();
    // A copy of a worker is not that worker.
    whoami::work_as(None);
    launch.place.take();
    program::set_name(&launch.name);
    let worker = match &launch.role {
        Role::Worker(role) => Some((role.index, role.generation)),
        Role::Call { .. } | Role::Supervisor { .. } => None,
    };
    if logging::enter(&mut descriptors, launch.logs, worker).is_err() {
        leave(&mut link, Refusal::Logging);
    }
    let streams = set_streams(launch.standard, &descriptors);
    if streams.and_then(|()| transcript::enter(launch.transcript)).is_err() {
        leave(&mut link, Refusal::Streams);
    }
    if let Err(refusal) = set_surroundings(&launch, &descriptors) {
        leave(&mut link, refusal);
    }
    drop(descriptors);
    hooks::take_over(std::mem::take(&mut launch.hooks));
    match launch.role {
        Role::Call { function } => {
            run_hooks(&mut link, forked);
            queue_hello(&mut link);
            greet(&mut link, forked);
            call::run(link, function, message, captured, inherited)
        }
        Role::Worker(role) => {
            worker::prepare(&role);
            run_hooks(&mut link, forked);
            worker::run(link, forked, launch.context, role, inherited)
        }
        // Those enter elsewhere.
        Role::Supervisor { .. } => leave(&mut link, Refusal::other_build()),
    }
}

/// Runs what is to run after a fork.
fn run_hooks(link: &mut Link, forked: bool) {
    if !forked {
        return;
    }
    if let Err(text) = hooks::run() {
        leave(link, Refusal::Hook(text));
    }
}

/// Has hello go with what is sent next.
fn queue_hello(link: &mut Link) {
    link.queue(Kind::Hello, std::process::id().into(), Encoded::default());
}

/// Sends hello, and what is queued behind it, and lets signals in: who is ended by one from now on had started.
fn greet(link: &mut Link, forked: bool) {
    flush(link);
    if forked { signal::unblock_all() } else { signal::unblock_terminal() }
}

fn set_streams(standard: [Standard; 3], sent: &[OwnedFd]) -> io::Result<()> {
    fd::fill_closed_standard()?;
    for (target, wanted) in (0..).zip(standard) {
        match wanted {
            Standard::Keep => {}
            Standard::Null => {
                let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
                fd::replace_standard(null.as_fd(), target)?;
            }
            Standard::Sent(index) => {
                let source = sent.get(index as usize).ok_or(io::ErrorKind::NotFound)?;
                fd::replace_standard(source.as_fd(), target)?;
            }
        }
    }
    Ok(())
}

fn set_surroundings(launch: &Launch, sent: &[OwnedFd]) -> Result<(), Refusal> {
    if !launch.environment.is_empty() {
        let blocked = signal::Blocked::all().map_err(|_| Refusal::Environment)?;
        let witness = Alone::check(&blocked).map_err(|_| Refusal::Environment)?;
        let changes: Vec<Change> = launch.environment.iter().cloned().map(Into::into).collect();
        environment::apply(&changes, &witness);
    }
    if let Some(index) = launch.from {
        let directory = sent.get(index as usize).ok_or(Refusal::Directory)?;
        environment::enter_directory(directory.as_fd()).map_err(|_| Refusal::Directory)?;
    }
    if let Some(directory) = &launch.directory {
        let path = directory.clone().into_path();
        std::env::set_current_dir(path).map_err(|_| Refusal::Directory)?;
    }
    if let Some(bytes) = launch.memory_limit {
        limits::limit_memory(bytes).map_err(|_| Refusal::Limits)?;
    }
    if let Some(wanted) = launch.descriptors {
        limits::allow_descriptors(wanted).map_err(|_| Refusal::Limits)?;
    }
    Ok(())
}

/// Tells the owner why this child will not run, and ends it.
fn leave(link: &mut Link, refusal: Refusal) -> ! {
    fork::flush_standard();
    let own = std::process::id().into();
    send(link, Kind::Refused, own, codec::encode(&refusal).unwrap_or_default());
    exit::now(exit::FELL_OUT)
}

/// What was captured, as this process is told of it.
fn captured_in(frame: Frame) -> (u32, Arc<Set>) {
    let set = Set::received(&frame.bytes, frame.descriptors);
    match (u32::try_from(frame.id), set) {
        (Ok(tag), Ok(set)) => (tag, Arc::new(set)),
        // The owner is none of ours.
        _ => exit::now(exit::FELL_OUT),
    }
}

/// Sends a frame to the owner. A child whose owner is gone has nothing left to do.
fn send(link: &mut Link, kind: Kind, id: u64, message: Encoded) {
    link.queue(kind, id, message);
    flush(link);
}

/// Sends all that waits; see [`send`].
fn flush(link: &mut Link) {
    let before = socket::sent_so_far();
    if link.flush_all().is_err() {
        exit::now(exit::FELL_OUT);
    }
    // This child may end next. An owner that waits for something else is not waited for.
    if socket::wait_until_arrived(&(before..socket::sent_so_far()), ARRIVAL).is_err() {
        exit::now(exit::FELL_OUT);
    }
}
