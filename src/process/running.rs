//! A child that runs one function, as its owner sees it: what it said, and how it ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offspring_platform::lifeline::Keeper;
use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::Signal;
use offspring_platform::transcript::Transcript;
use offspring_platform::wait::Exit;
use offspring_platform::{fd, wait};

use crate::capture::{Brought, DropsGone, Set};
use crate::child::Refusal;
use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Phase};
use crate::inline::Answer;
use crate::launch::Specification;
use crate::link::{Broken, Frame, Kind, Link};
use crate::logging::{self, Attached, Bell};
use crate::start::{Ending, Started};
use crate::supervisor::reported::reported_or_soon;
use crate::supervisor::template;
use crate::transcript::{self, Excerpt};
use crate::woken::after;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Running {
    pub(super) context: Context,
    pub(super) pid: i32,
    pub(super) name: String,
    link: Link,
    pub(super) ending: Ending,
    /// While this is held, the child lives.
    pub(super) keeper: Option<Keeper>,
    greeted: bool,
    refused: Option<Refusal>,
    pub(super) answer: Option<Answer>,
    /// When that came.
    answered: Option<Instant>,
    /// What was captured for it.
    captured: Option<Arc<Set>>,
    /// What it brought back, to be merged when the answer is given out.
    pub(super) brought: Option<Brought>,
    broken: Option<Broken>,
    pub(super) exit: Option<Exit>,
    /// Its records, until it has ended.
    pub(super) logs: Option<Attached>,
    /// What it writes, if that is captured.
    pub(super) transcript: Option<Transcript>,
    /// The process that made it. In a forked child this is a copy, and must not touch the other's child.
    pub(super) generation: u64,
    /// Last, so that what was captured has gone before.
    _gone: DropsGone,
}

/// So long the end of a child that has answered is expected from its fork server alone.
const SOON: Duration = Duration::from_millis(2);

/// Without a watch, how often we look whether a child has ended.
const TICK: Duration = Duration::from_millis(5);

impl Running {
    pub(super) fn new(
        context: Context,
        name: String,
        started: Started,
        captured: Option<Arc<Set>>,
    ) -> Self {
        let Started { pid, link, keeper, ending, logs, transcript } = started;
        Self {
            context,
            pid,
            name,
            link,
            ending,
            keeper: Some(keeper),
            greeted: false,
            refused: None,
            answer: None,
            answered: None,
            captured,
            brought: None,
            broken: None,
            exit: None,
            logs: Some(logs),
            transcript,
            generation: fd::generation(),
            _gone: DropsGone,
        }
    }

    fn error(&self, kind: ErrorKind, doing: &'static str) -> Error {
        Error::new(kind, doing)
            .in_context(self.context)
            .of_process(self.pid)
            .named(&self.name)
            .wrote(self.excerpt())
    }

    /// What it wrote last, if that is captured.
    fn excerpt(&self) -> Option<Excerpt> {
        Excerpt::of(self.transcript.as_ref()?, 0)
    }

    /// Waits until the child has said hello and was sent its arguments. When it fails, the child is
    /// gone.
    pub(super) fn greet(&mut self, specification: &Specification) -> Result<(), Error> {
        let greeted = self.try_greet(specification);
        if greeted.is_err() {
            self.end_now();
        }
        greeted
    }

    fn try_greet(&mut self, specification: &Specification) -> Result<(), Error> {
        let doing = "start a child process";
        let limit = specification.start_timeout;
        let deadline = after(limit);
        while !self.greeted
            && self.refused.is_none()
            && self.exit.is_none()
            && self.broken.is_none()
        {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self
                    .error(ErrorKind::TimedOut, doing)
                    .detail(format!("it did not say hello within {limit:?}"))
                    .advice(
                        "is `offspring::init()` the first call in `main`? \
                         Else raise `start_timeout`",
                    ));
            }
            self.step(left).map_err(|error| Error::system(doing, error))?;
        }
        if let Some(refusal) = self.refused.take() {
            return Err(self.refusal(refusal, doing, specification));
        }
        if !self.greeted {
            self.end_now();
            if let Some(Broken::System(error)) = self.broken.take() {
                return Err(self.error(ErrorKind::System, doing).caused_by(error));
            }
            let exit = self.exit.unwrap_or(Exit::Unknown);
            let error = self.error(ErrorKind::Start, doing);
            let error = if self.has_lost_parent() {
                error
                    .detail("the fork server was ended, and its children with it")
                    .advice("try again: a new one is started")
            } else {
                error
                    .detail("it ended before it said hello")
                    .advice("is `offspring::init()` the first call in `main`?")
            };
            return Err(error.ended(exit));
        }
        self.send_arguments(doing, limit)
    }

    /// Whether the fork server that forked it has gone.
    fn has_lost_parent(&self) -> bool {
        match &self.ending {
            Ending::Reported { report, home, .. } => report.is_at_end() && !template::lives(home),
            Ending::Own { .. } => false,
        }
    }

    /// Sends what is larger than the socket's buffer. That may take long; but a child that takes nothing for so long is
    /// stopped, or stuck.
    fn send_arguments(&mut self, doing: &'static str, limit: Duration) -> Result<(), Error> {
        let (mut unsent, mut deadline) = (usize::MAX, None);
        while self.link.has_output() && self.exit.is_none() && self.broken.is_none() {
            let now = self.link.unsent();
            if now < unsent {
                (unsent, deadline) = (now, after(limit));
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self
                    .error(ErrorKind::TimedOut, doing)
                    .detail(format!("it took nothing of its arguments for {limit:?}"))
                    .advice("is it stopped? Else raise `start_timeout`"));
            }
            self.step(left).map_err(|error| Error::system(doing, error))?;
        }
        Ok(())
    }

    fn refusal(
        &self,
        refusal: Refusal,
        doing: &'static str,
        specification: &Specification,
    ) -> Error {
        refusal
            .into_error(doing, specification.directory.as_deref())
            .in_context(self.context)
            .of_process(self.pid)
            .named(&self.name)
            .wrote(self.excerpt())
    }

    /// Whether this process started it, and not the one of which this is a fork.
    pub(super) fn check_ours(&self) -> io::Result<()> {
        if self.generation == fd::generation() {
            return Ok(());
        }
        Err(io::Error::other(
            "this child belongs to the parent process; a forked child cannot use its copy of the handle",
        ))
    }

    /// How it ended, if it has.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Waits for something to happen, and takes note of it.
    pub(super) fn step(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        self.send();
        if logging::is_due(true) {
            logging::deliver();
            return self.look();
        }
        let mut timeout = timeout;
        let bell = logging::bell();
        let mut interests = Vec::with_capacity(3);
        self.interests(&mut interests, &mut timeout)?;
        let own = interests.len();
        interests.extend(bell.as_ref().and_then(Bell::interest));
        poll::wait(&mut interests, timeout)?;
        let rung = interests[own..].iter().any(Interest::can_read);
        drop(interests);
        if let Some(bell) = bell.filter(|_| rung) {
            bell.clear();
        }
        self.look()
    }

    /// What has to be waited for. May shorten `timeout`, where the end of the child is not an event.
    pub(super) fn interests<'a>(
        &'a self,
        into: &mut Vec<Interest<'a>>,
        timeout: &mut Option<Duration>,
    ) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        // After its answer it says nothing more but its end, which is waited for in other ways: one wake-up less.
        let is_silent =
            self.answered.is_some() && !matches!(self.ending, Ending::Own { watch: None });
        if self.link.is_open() && self.broken.is_none() && !is_silent {
            into.push(self.link.interest()?);
        }
        if self.transcript.is_some() {
            let look = transcript::LOOK;
            *timeout = Some(timeout.map_or(look, |limit| limit.min(look)));
        }
        match &self.ending {
            Ending::Own { watch: Some(watch) } => into.push(Interest::readable(watch.as_fd())),
            Ending::Own { watch: None } => {
                *timeout = Some(timeout.map_or(TICK, |limit| limit.min(TICK)));
            }
            Ending::Reported { report, watch, .. } => {
                // At its end it would end each wait at once. The child ends then, too, which its watch will show.
                if watch.is_none() || !report.is_at_end() {
                    into.push(report.interest()?);
                }
                // The fork server may have been stopped, and report nothing. But mostly its report comes right behind the
                // end, and is waited for then: to be woken by both is one time too many.
                let soon =
                    self.answered.map_or(Duration::ZERO, |at| SOON.saturating_sub(at.elapsed()));
                if soon.is_zero() || report.is_at_end() {
                    into.extend(watch.as_ref().map(|watch| Interest::readable(watch.as_fd())));
                } else {
                    *timeout = Some(timeout.map_or(soon, |limit| limit.min(soon)));
                }
            }
        }
        Ok(())
    }

    /// Takes note of what has happened, without waiting.
    pub(super) fn look(&mut self) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        self.check_ours()?;
        if let Some(transcript) = &mut self.transcript {
            // It grows, then; that is no reason to lose the child.
            let _ = transcript.trim();
        }
        self.send();
        // The end first, then the channel: what the child sent before it ended is read after that.
        let exit = match &mut self.ending {
            Ending::Own { watch } => wait::try_reap(self.pid, watch.as_ref())?,
            Ending::Reported { report, watch, .. } => {
                reported_or_soon(report, watch.as_ref(), self.pid)?
            }
        };
        self.read(exit.is_some());
        if exit.is_some() {
            self.exit = exit;
            self.keeper = None;
            self.logs = None;
        }
        logging::deliver();
        Ok(())
    }

    fn read(&mut self, ended: bool) {
        if self.broken.is_some() {
            return;
        }
        let read = if ended { self.link.drain() } else { self.link.fill() };
        if let Err(broken) = read {
            self.broken = Some(broken);
        }
        while let Some(frame) = self.link.next() {
            if let Err(broken) = self.hear(frame) {
                self.broken = Some(broken);
                break;
            }
        }
        if self.broken.is_some() {
            // Whatever it is, it is not what we started, or something else writes to its channel.
            self.cut();
        }
    }

    /// Sends what the socket takes.
    fn send(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = self.link.flush() {
            // It would wait for the rest for ever.
            self.broken = Some(error.into());
            self.cut();
        }
    }

    /// Kills it by every means.
    pub(super) fn cut(&mut self) {
        // An error is that it has ended, or that only its lifeline, which is let go, can end it.
        let _ = self.signal(Signal::Kill);
        self.keeper = None;
    }

    fn hear(&mut self, frame: Frame) -> Result<(), Broken> {
        let broken = |_| Broken::Protocol("an unreadable message");
        match frame.kind {
            Kind::Hello if !self.greeted => self.greeted = true,
            Kind::Refused if !self.greeted => {
                self.refused = Some(Refusal::received(&frame.bytes));
            }
            Kind::Brought if self.greeted && self.answer.is_none() && self.brought.is_none() => {
                let set = self.captured.clone();
                self.brought = set.map(|set| Brought::new(set, frame.bytes));
            }
            Kind::Done if self.greeted && self.answer.is_none() => {
                self.answer = Some(Answer::Done(frame.bytes, frame.descriptors));
                self.answered = Some(Instant::now());
            }
            Kind::Failed if self.greeted && self.answer.is_none() => {
                let failed = codec::decode_own(&frame.bytes).map_err(broken)?;
                self.answer = Some(Answer::Failed(failed));
                self.answered = Some(Instant::now());
            }
            _ => return Err(Broken::Protocol("a message out of turn")),
        }
        Ok(())
    }

    /// Why there is no answer from a child that has ended.
    pub(super) fn no_answer(&mut self, doing: &'static str) -> Error {
        if let Some(broken) = self.broken.take() {
            let kind = match broken {
                Broken::Protocol(_) => ErrorKind::Protocol,
                Broken::System(_) => ErrorKind::System,
            };
            return self.error(kind, doing).at(Phase::Unknown).caused_by(broken);
        }
        let exit = self.exit.unwrap_or(Exit::Unknown);
        let error = self.error(ErrorKind::Died, doing).at(Phase::Started).ended(exit);
        match exit {
            Exit::Code(0) => error.advice("the function must return, not exit"),
            _ => error,
        }
    }

    /// What becomes readable when it has ended.
    pub(super) fn sentinel(&self) -> io::Result<BorrowedFd<'_>> {
        self.check_ours()?;
        match &self.ending {
            Ending::Own { watch: Some(watch) } | Ending::Reported { watch: Some(watch), .. } => {
                Ok(watch.as_fd())
            }
            Ending::Reported { report, .. } => report.borrow(),
            Ending::Own { watch: None } => self.link.borrow(),
        }
    }
}
