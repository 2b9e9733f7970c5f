//! The supervisor's own process: one thread that starts children, reaps them, and ends them all when
//! its owner is gone.
//!
//! It runs none of the user's code, but for one thing: the template of a pool makes the shared state that
//! its workers are to inherit, before it forks the first. It forks (a fork server's template, or the supervisor of a Fork
//! pool) or executes (the supervisor of a Spawn pool). It is deaf to all signals that can be blocked:
//! its life is its owner's socket.

mod starts;

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use offspring_platform::clock::now;
use offspring_platform::entry::Entered;
use offspring_platform::fd::{self, PrivateFd};
use offspring_platform::fork::{self, Permission};
use offspring_platform::guardian::{self, Endings};
use offspring_platform::poll::{self, Interest};
use offspring_platform::transcript::Transcript;
use offspring_platform::wait::{self, Reaped};
use offspring_platform::watch;
use offspring_platform::{exit, lifeline, memory, program, ring, signal};

use super::child::{Child, Report};
use super::protocol::{Exited, Signal, Start};
use super::watchdog::Watchdog;
use crate::codec::{self, Encoded};
use crate::function::Inherited;
use crate::link::{Frame, Kind, Link, lane};
use crate::state::notice;
use crate::transcript;

/// How many pieces of what the owner says are read before others have their turn.
const PIECES: usize = 16;

/// How long to wait until the system is asked again that had no memory to receive something.
const PAUSE: Duration = Duration::from_millis(1);

/// How long the owner need not hear that children were started. What it waits for, they say themselves; and it would be
/// woken on the processor on which they are about to run, and behind them come late to the first answer.
const QUIET: Duration = Duration::from_millis(2);

/// How this supervisor makes children.
#[derive(Debug, Clone, Copy)]
enum Way {
    Fork(Permission),
    Execute,
}

/// A frame from the owner, with its descriptors on the list of those that forked children close.
struct Request {
    kind: Kind,
    id: u64,
    bytes: Vec<u8>,
    descriptors: Vec<PrivateFd>,
}

impl Request {
    fn new(frame: Frame) -> io::Result<Self> {
        let Frame { kind, id, bytes, descriptors } = frame;
        let descriptors = descriptors.into_iter().map(PrivateFd::new).collect::<io::Result<_>>()?;
        Ok(Self { kind, id, bytes, descriptors })
    }
}

struct Supervisor<'a> {
    way: Way,
    owner: Link,
    endings: Endings,
    /// By pid.
    children: HashMap<i32, Child>,
    /// Where the end of a child was reported, and not all of that has left.
    unsent: Vec<Link>,
    /// What its children by fork inherit through it.
    inherited: Option<Inherited<'a>>,
    /// Something that a child left behind was killed, and may itself leave something behind.
    sweeping: bool,
    /// How many processes the system had killed for want of memory, when it was asked last. That is not
    /// before there are children: the answer takes as long as a small start. `Some(None)` where nobody tells.
    out_of_memory_kills: Option<Option<u64>>,
    /// The end of its lifeline, if it forks.
    lifeline: Option<PrivateFd>,
    /// What was started to make shared state, and is needed as long as that is. Collected when it ends.
    helpers: Vec<i32>,
    /// It was told of shared state that it has not made.
    unmade: bool,
    /// Why its children cannot inherit what they should.
    refusal: Option<String>,
    /// What is to be said to the owner waits until then, or until there is something that it has to know.
    quiet_until: Option<Instant>,
}

/// A supervisor that was started by exec. `template` is there when it forks.
pub(crate) fn enter(owner: Link, end: PrivateFd, template: Option<&Entered>) -> ! {
    let way = template.map_or(Way::Execute, |entered| Way::Fork(Permission::of_template(entered)));
    // What `main` printed before it got here is printed now, and not once more by each child.
    fork::flush_standard();
    run(owner, end, way, None, true)
}

/// A supervisor that was just forked from its owner, with the exit bomb armed.
pub(crate) fn enter_forked(
    owner: Link,
    end: PrivateFd,
    permission: Permission,
    inherited: Option<Inherited<'_>>,
) -> ! {
    exit::skip_inherited_handlers();
    program::set_name(super::NAME);
    run(owner, end, Way::Fork(permission), inherited, false)
}

/// A supervisor that was forked from a template, and told what to be.
pub(crate) fn enter_copy(owner: Link, end: PrivateFd, permission: Permission) -> ! {
    run(owner, end, Way::Fork(permission), None, true)
}

fn run(
    mut owner: Link,
    end: PrivateFd,
    way: Way,
    inherited: Option<Inherited<'_>>,
    is_awaited: bool,
) -> ! {
    if matches!(way, Way::Fork(_)) {
        // Once, and not by each child.
        signal::reset_for_child();
    }
    signal::deaf();
    // The same file description, so it can be tied once more.
    let lifeline = match way {
        Way::Fork(_) => end.borrow().and_then(fd::duplicate).and_then(PrivateFd::new).ok(),
        Way::Execute => None,
    };
    // What is opened here and inherited by children must not take the place of a closed standard stream.
    let ready = fd::fill_closed_standard()
        .and_then(|()| lifeline::arm_to_wake(end))
        .and_then(|()| guardian::adopt_descendants())
        .and_then(|()| Endings::new());
    let Ok(endings) = ready else { exit::now(exit::FELL_OUT) };
    owner.queue(Kind::Hello, 0, Encoded::default());
    // Nobody waits for the hello of a copy of the owner, which knows that it is up when a worker says hello.
    let quiet_until = (!is_awaited).then(|| Instant::now() + QUIET);
    let mut this = Supervisor {
        way,
        owner,
        endings,
        children: HashMap::new(),
        unsent: Vec::new(),
        inherited,
        sweeping: false,
        out_of_memory_kills: None,
        lifeline,
        helpers: Vec::new(),
        unmade: false,
        refusal: None,
        quiet_until,
    };
    // What came together with the launch is not to be waited for.
    if this.obey_all().is_ok() {
        while this.turn().is_ok() && !this.owner.is_at_end() {}
    }
    // The owner is gone, or done with us.
    let _ = guardian::end_all(|_, _| {});
    exit::now(0)
}

impl Supervisor<'_> {
    /// Waits for something to happen, and does what has to be done about it.
    fn turn(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let quiet = self.tell()?;
        for (pid, child) in &mut self.children {
            child.flush_report(*pid)?;
        }
        self.unsent.retain_mut(|link| link.flush().is_ok() && link.has_output());
        let until_next_look = [self.check_deadlines()?, self.trim_transcripts(), quiet];
        let until_next_look = until_next_look.into_iter().flatten().min();
        let owner = match quiet {
            Some(_) => Interest::readable(self.owner.borrow()?),
            None => self.owner.interest()?,
        };
        let mut interests = vec![owner, Interest::readable(self.endings.borrow()?)];
        let reports = self.children.values().filter_map(Child::own_report);
        for report in reports.chain(&self.unsent).filter(|report| report.has_output()) {
            interests.push(Interest::writable_and_readable(report.borrow()?, false));
        }
        // Behind the starts of all that were asked for together: it takes as long as one of them.
        if self.out_of_memory_kills.is_none() && !self.children.is_empty() {
            self.out_of_memory_kills = Some(memory::out_of_memory_kills());
        }
        poll::wait(&mut interests, until_next_look)?;
        let (control, endings) = (interests[0].can_read(), interests[1].can_read());
        if endings {
            // What cannot be read now is there at the next turn still.
            let _ = self.endings.clear();
            self.collect()?;
        }
        if control {
            // One piece at a time, which brings the descriptors of one child: they have gone to the child, or were
            // refused, when the next arrive, so that there is room for those.
            for _ in 0..PIECES {
                match self.owner.fill_once() {
                    Ok(true) => {
                        self.obey_all()?;
                        self.tell()?;
                    }
                    Ok(false) => break,
                    // Nothing is lost by that, and all children would be by our end.
                    Err(error) if error.lacks_memory() => {
                        std::thread::sleep(PAUSE);
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Says to the owner what there is to say, unless that may wait: then for how long still.
    fn tell(&mut self) -> io::Result<Option<Duration>> {
        let until = self.quiet_until.filter(|_| self.owner.has_output());
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            self.quiet_until = None;
            self.owner.flush()?;
        }
        Ok(left)
    }

    /// Does what the owner has asked for so far.
    fn obey_all(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        // All of them first: a child that is forked for one must close what came for the others.
        let mut requests = Vec::new();
        while let Some(frame) = self.owner.next() {
            requests.push(Request::new(frame)?);
        }
        requests.into_iter().try_for_each(|request| self.obey(request))
    }

    fn obey(&mut self, request: Request) -> Result<(), Box<dyn std::error::Error>> {
        let Request { kind, id, bytes, descriptors } = request;
        match kind {
            Kind::Notice => {
                let descriptors = descriptors.into_iter().map(PrivateFd::into_owned);
                let descriptors = descriptors.collect::<io::Result<_>>()?;
                let frame = Frame { kind, id, bytes, descriptors };
                notice::receive(frame).ok_or("a notice that makes no sense")?;
                self.unmade = true;
            }
            Kind::Start => {
                let start = codec::decode_own::<Start>(&bytes)?;
                let mut fds = descriptors.into_iter();
                let (Some(channel), Some(end)) = (fds.next(), fds.next()) else {
                    return Err("a start without a channel and a lifeline".into());
                };
                // Before its time begins: what is made is not the doing of this worker.
                if self.unmade {
                    self.make_state()?;
                }
                let watchdog = if start.deadlines.is_empty() {
                    Ok(None)
                } else {
                    let rings = fds.next().ok_or("deadlines without rings")?;
                    let words = ring::observe(rings.borrow()?, lane::SIZES);
                    words.map(|words| Some(Watchdog::new(words, start.deadlines, now())))
                };
                let transcript = if start.captured { fds.next() } else { None };
                let report =
                    fds.next().map_or(Report::Control, |fd| Report::Own(Box::new(Link::new(fd))));
                let transcript = transcript.map(Transcript::kept);
                let watchdog = match watchdog {
                    Ok(watchdog) => watchdog,
                    // For want of memory, say: that concerns this child alone.
                    Err(error) => return self.say_not_started(id, report, &error),
                };
                let child = Child { id, report, watchdog, transcript };
                self.start(child, &start, channel, end)?;
            }
            Kind::Signal => {
                let wanted = codec::decode_own::<Signal>(&bytes)?.into();
                let found = self.children.iter().find(|(_, child)| child.id == id);
                if let Some((pid, _)) = found {
                    // Not collected yet, or it would not be on the list: the number is its own.
                    watch::signal_own_child(*pid, wanted)?;
                }
            }
            _ => return Err("not a request".into()),
        }
        Ok(())
    }

    /// Says the last that is to be said about a child.
    fn say_last(
        &mut self,
        id: u64,
        report: Report,
        kind: Kind,
        message: Encoded,
    ) -> io::Result<()> {
        match report {
            Report::Control => {
                self.owner.queue(kind, id, message);
                self.quiet_until = None;
                self.owner.flush()?;
            }
            Report::Own(mut link) => {
                link.queue(kind, id, message);
                // Mostly it fits into the buffer. If it cannot be sent, then the end of the socket says that it
                // is over, though not how.
                if link.flush().is_ok() && link.has_output() {
                    self.unsent.push(*link);
                }
            }
            Report::Lost => {}
        }
        Ok(())
    }

    /// Kills children that are late. Returns when to look again.
    fn check_deadlines(&mut self) -> Result<Option<Duration>, Box<dyn std::error::Error>> {
        let now = now();
        let mut next: Option<Duration> = None;
        for (pid, child) in &mut self.children {
            let Some(watchdog) = &mut child.watchdog else { continue };
            match watchdog.look(now) {
                Ok(Some(left)) => next = Some(next.map_or(left, |next| next.min(left))),
                Ok(None) => {}
                Err(expired) => {
                    watchdog.expired = Some(expired);
                    // Not collected yet, or it would not be on the list: the number is its own.
                    watch::signal_own_child(*pid, signal::Signal::Kill)?;
                }
            }
        }
        Ok(next)
    }

    /// Gives back what children wrote long ago. Returns when to look again.
    fn trim_transcripts(&mut self) -> Option<Duration> {
        let all = self.children.values_mut().filter_map(|child| child.transcript.as_mut());
        let trimmed = all.map(|transcript| {
            // It grows, then; that is no reason to end the pool.
            let _ = transcript.trim();
        });
        (trimmed.count() > 0).then_some(transcript::LOOK)
    }

    /// Whether the system has killed somebody since the last time for want of memory.
    fn memory_ran_out(&mut self) -> bool {
        let before = self.out_of_memory_kills.flatten();
        let now = memory::out_of_memory_kills();
        self.out_of_memory_kills = Some(now);
        before.zip(now).is_some_and(|(before, now)| now > before)
    }

    /// Collects all that have ended, reports them, and ends what they left behind.
    fn collect(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut ended = Vec::new();
        while let Reaped::Child(pid, exit) = wait::reap_any()? {
            if let Some(child) = self.children.remove(&pid) {
                ended.push((child, exit));
            }
            self.helpers.retain(|helper| *helper != pid);
        }
        if !ended.is_empty() || self.sweeping {
            // What a stray leaves becomes ours when the stray has ended, which is when we are here again.
            self.sweeping = guardian::end_strays(|pid| {
                self.children.contains_key(&pid) || self.helpers.contains(&pid)
            });
        }
        // Told after that: a child that is wanted then may be here already, and what it starts is not to be taken for
        // something that these have left.
        for (child, exit) in ended {
            let expired = child.watchdog.as_ref().and_then(|watchdog| watchdog.expired);
            let out_of_memory =
                wait::was_killed(exit) && expired.is_none() && self.memory_ran_out();
            let message = codec::encode(&Exited::new(exit, expired, out_of_memory))?;
            self.say_last(child.id, child.report, Kind::Exited, message)?;
        }
        Ok(())
    }
}
