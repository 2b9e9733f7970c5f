//! The process that is the parent of others: started here, served in `serve`.

mod child;
pub(crate) mod prepared;
pub(crate) mod protocol;
pub(crate) mod reported;
pub(crate) mod serve;
pub(crate) mod template;
mod tied;
mod turn;
pub(crate) mod watchdog;

use std::io;
use std::time::{Duration, Instant};

use offspring_platform::fork::{self, Side};
use offspring_platform::lifeline::{self, Consequence, Keeper};
use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::Signal;
use offspring_platform::spawn::Standard;
use offspring_platform::watch::{self, Watch};
use offspring_platform::{descriptors, exit, fd, wait};

use self::reported::reported_or_soon;
use crate::child::Refusal;
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::Inherited;
use crate::launch::message::Role;
use crate::launch::place::Place;
use crate::launch::{self, Specification, Stream, execute, gates};
use crate::link::{Kind, Link};
use crate::logging;
use crate::start::{self, Ending, Started};
use crate::woken::{UNKILLABLE, after};

const DOING: &str = "start a supervisor";

/// What `ps` shows; 15 bytes count.
pub(crate) const NAME: &str = "offspring-super";
/// The same, of a child that waits to be told what to be.
const SPARE: &str = "offspring-spare";

/// A supervisor, as its owner sees it. Dropping it ends it and all its children.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// `None` once it was told to end.
    pub(crate) link: Option<Link>,
    pub(crate) pid: i32,
    /// It said hello.
    pub(crate) greeted: bool,
    watch: Option<Watch>,
    /// If it is a child of the template: its number there, and where the template says what became of it.
    report: Option<(u64, Box<Link>)>,
    _keeper: Keeper,
    generation: u64,
}

impl Supervisor {
    /// Starts a template, and waits for its hello.
    pub(super) fn template(specification: &Specification, name: &str) -> Result<Self, Error> {
        let context = Context::ForkServer;
        gates::check_depth(context)?;
        let mut this = Self::execute(context, specification, name)?;
        this.greet(context, specification.start_timeout)?;
        Ok(this)
    }

    /// Starts the one that fits the context. It can be asked for children at once, before its hello is there. Only one by
    /// fork can be given what its children inherit. By fork server it is a copy of the template, if there is one and it
    /// need not be another: that costs a fork, where a fresh run of the program has to be linked and set up.
    pub(crate) fn begin(
        context: Context,
        specification: &Specification,
        fresh: bool,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Self, Error> {
        gates::check_depth(context)?;
        match context {
            Context::Fork => return Self::fork(inherited),
            Context::ForkServer if !fresh => {
                // If it fails, a fresh run may not, or says why.
                if let Ok(Some(copy)) = Self::copy(specification) {
                    return Ok(copy);
                }
            }
            _ => {}
        }
        Self::execute(context, specification, NAME)
    }

    /// A copy of the template of this process, if it has one.
    fn copy(specification: &Specification) -> Result<Option<Self>, Error> {
        gates::check_initialized(Context::ForkServer)?;
        let standard = [const { Stream::Inherit }; 3];
        let specification = Specification { standard, ..specification.clone() };
        let Some(started) = start::copy_of_template(&specification, NAME)? else { return Ok(None) };
        let Started { pid, link, keeper, ending, .. } = started;
        let Ending::Reported { id, report, watch, .. } = ending else { return Ok(None) };
        Ok(Some(Self {
            link: Some(link),
            pid,
            greeted: false,
            watch,
            report: Some((id, report)),
            _keeper: keeper,
            generation: fd::generation(),
        }))
    }

    /// A copy of this process, which forks workers that are copies of the same moment.
    fn fork(inherited: Option<Inherited<'_>>) -> Result<Self, Error> {
        let fail = |error| launch::failed(Context::Fork, "the system refused", error);
        let (permission, witness, blocked) = gates::check_fork()?;
        let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
        let (keeper, end) = lifeline::new().map_err(fail)?;
        match fork::fork(permission, witness, blocked, vec![theirs, end]).map_err(fail)? {
            Side::Parent(pid) => Ok(Self::of(pid, Link::new(ours), keeper)),
            Side::Child(kept) => {
                let _bomb = exit::Bomb::arm();
                logging::forget_inherited();
                if !inherited.is_some_and(|inherited| inherited.captures_channels) {
                    fd::close_capturable();
                }
                let mut kept = kept.into_iter();
                match (kept.next(), kept.next()) {
                    (Some(channel), Some(end)) => {
                        serve::enter_forked(Link::new(channel), end, permission, inherited)
                    }
                    _ => exit::now(exit::FELL_OUT),
                }
            }
        }
    }

    /// A fresh run of this program, which forks or executes.
    fn execute(context: Context, specification: &Specification, name: &str) -> Result<Self, Error> {
        let fail = |error| launch::failed(context, "the program could not be run again", error);
        gates::check_initialized(context)?;
        let role = Role::Supervisor { forks: context == Context::ForkServer };
        // Its children are as deep as this process's own would be: it is no user of the program.
        let mut told = launch::prepare(context, specification, role, name)?;
        told.place = Place::own();
        let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
        let (keeper, end) = lifeline::new().map_err(fail)?;
        let pid = execute::run(&execute::Run {
            nonce: told.nonce,
            environment: &execute::changed_environment(&specification.environment),
            directory: specification.directory.as_deref().map(AsRef::as_ref),
            standard: [Standard::Inherit; 3],
            channel: theirs.borrow().map_err(fail)?,
            lifeline: end.borrow().map_err(fail)?,
        })
        .map_err(fail)?;
        if let Ok(end) = end.borrow() {
            // It ties itself, too, when it has come so far.
            let _ = lifeline::tie(end, pid, Consequence::Wake);
        }
        let mut link = Link::new(ours);
        link.queue(Kind::Launch, 0, launch::encode(&told, Encoded::default())?);
        Ok(Self::of(pid, link, keeper))
    }

    fn of(pid: i32, link: Link, keeper: Keeper) -> Self {
        Self {
            link: Some(link),
            pid,
            greeted: false,
            watch: Watch::child(pid).ok(),
            report: None,
            _keeper: keeper,
            generation: fd::generation(),
        }
    }

    /// Waits for its hello.
    pub(crate) fn greet(&mut self, context: Context, limit: Duration) -> Result<(), Error> {
        let pid = self.pid;
        let fail = |kind| Error::new(kind, DOING).in_context(context).of_process(pid);
        let Some(link) = &mut self.link else { return Err(fail(ErrorKind::Closed)) };
        let answer = link.wait_for_frame(after(limit));
        let hello = matches!(&answer, Ok(Some(frame)) if frame.kind == Kind::Hello);
        let ended = link.is_at_end();
        if !hello && (answer.is_err() || !ended) {
            // It has no children yet, and may never listen: nobody should wait for its end in order.
            self.signal(Signal::Kill);
        }
        self.greeted = hello;
        match answer {
            Ok(Some(frame)) if frame.kind == Kind::Hello => Ok(()),
            Ok(Some(frame)) if frame.kind == Kind::Refused => {
                let error = Refusal::received(&frame.bytes).into_error(DOING, None);
                Err(error.in_context(context).of_process(pid))
            }
            Ok(Some(_)) => Err(fail(ErrorKind::Protocol)),
            Ok(None) if ended => {
                let error = Self::ended_early(context).of_process(pid);
                let error = error.advice("is `offspring::init()` the first call in `main`?");
                Err(error.ended(self.finish()))
            }
            Ok(None) => Err(fail(ErrorKind::TimedOut)
                .detail(format!("it did not say hello within {limit:?}"))
                .advice(
                    "is `offspring::init()` the first call in `main`? \
                     Else raise `start_timeout`",
                )),
            Err(error) => Err(fail(ErrorKind::Start).caused_by(error)),
        }
    }

    /// What is wrong where one ends that never said hello.
    pub(crate) fn ended_early(context: Context) -> Error {
        Error::new(ErrorKind::Start, DOING)
            .in_context(context)
            .detail("the supervisor ended before it said hello")
    }

    /// Whether it was made by this process, and not by the one this is a fork of.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == fd::generation()
    }

    /// Whether it has ended, for what reason ever. It is collected then.
    pub(crate) fn has_ended(&mut self) -> bool {
        // A wait that fails says nothing: it is asked again.
        if self.pid != 0 && matches!(self.try_collect(), Ok(Some(_))) {
            self.pid = 0;
        }
        self.pid == 0
    }

    /// How it ended, if it has. It is collected then, by its parent.
    fn try_collect(&mut self) -> io::Result<Option<wait::Exit>> {
        match &mut self.report {
            None => wait::try_reap(self.pid, self.watch.as_ref()),
            Some((_, report)) => reported_or_soon(report, self.watch.as_ref(), self.pid),
        }
    }

    /// Ends it without a word, because it does not listen. Its children end with it.
    pub(crate) fn kill(&self) {
        if self.is_ours() && self.pid != 0 {
            self.signal(Signal::Kill);
        }
    }

    /// Other code of this process may have collected it, and its number may be another's now: the watch knows.
    fn signal(&self, signal: Signal) {
        let by_watch = self.watch.as_ref().map(|watch| watch.signal(self.pid, signal));
        if matches!(by_watch, Some(Ok(()))) {
            return;
        }
        // No descriptor was left for a watch, or a filter forbids it. One that has ended needs no signal.
        let _ = match &self.report {
            None => watch::signal_own_child(self.pid, signal),
            Some((id, _)) => {
                let signal = protocol::Signal::from(signal);
                template::signal_child(&template::Home::Plain, *id, signal)
                    .map_err(io::Error::other)
            }
        };
    }

    /// Tells it to end all its children and itself, waits for that, and collects it.
    pub(crate) fn finish(&mut self) -> wait::Exit {
        // Dropping it would not do: a thread that drives the pool holds the socket while it sleeps.
        if let Some(link) = self.link.take() {
            link.hang_up();
        }
        if !self.is_ours() || self.pid == 0 {
            return wait::Exit::Unknown;
        }
        // One that is stopped would not see that, and what its children have left would be nobody's when it is killed.
        self.signal(Signal::Continue);
        let (mut deadline, mut is_killed) = (Instant::now() + PATIENCE, false);
        let exit = loop {
            match self.try_collect() {
                Ok(Some(exit)) => break exit,
                Err(_) => break wait::Exit::Unknown,
                Ok(None) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && is_killed {
                break wait::Exit::Unknown;
            }
            if left.is_zero() {
                // It is stuck, or stopped. Its children's lifelines are in our hands, not in its.
                self.signal(Signal::Kill);
                (deadline, is_killed) = (Instant::now() + UNKILLABLE, true);
                continue;
            }
            let mut interests: Vec<Interest<'_>> = Vec::new();
            if let Some(watch) = &self.watch {
                interests.push(Interest::readable(std::os::fd::AsFd::as_fd(watch)));
            } else if let Some((_, report)) = &self.report {
                interests.extend(report.interest().ok());
            }
            let step = if interests.is_empty() { Duration::from_millis(1) } else { left };
            if poll::wait(&mut interests, Some(step)).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        self.pid = 0;
        if self.report.is_some() {
            template::restore_spare();
        }
        exit
    }
}

/// How long a supervisor may take to end its children before it is killed itself.
const PATIENCE: Duration = Duration::from_secs(2);

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.finish();
    }
}
