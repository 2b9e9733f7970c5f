//! The supervisor's own process: how it starts a child, and before that makes what children are to inherit.

use std::io;
use std::time::Instant;

use offspring_platform::fd::PrivateFd;
use offspring_platform::fork::{self, Permission, Side};
use offspring_platform::threads::SingleThreaded;
use offspring_platform::watch::Watch;
use offspring_platform::{exit, guardian, program, signal};

use super::{QUIET, Supervisor, Way};
use crate::child;
use crate::codec;
use crate::launch::execute;
use crate::link::Kind;
use crate::state::build;
use crate::supervisor::child::{Child, Report};
use crate::supervisor::protocol::{NotStarted, Start, Started};
use crate::supervisor::{SPARE, tied};

impl Supervisor<'_> {
    pub(super) fn start(
        &mut self,
        mut child: Child,
        start: &Start,
        channel: PrivateFd,
        end: PrivateFd,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let made = match (child.check_room(start.room, &channel), self.way) {
            (Err(error), _) => Err(error),
            (Ok(()), Way::Fork(_)) if self.refusal.is_some() => {
                Err(io::Error::other(self.refusal.clone().unwrap_or_default()))
            }
            (Ok(()), Way::Fork(permission)) => self.fork(permission, channel, end),
            (Ok(()), Way::Execute) => Self::execute(start, &channel, &end),
        };
        let id = child.id;
        match made {
            Ok(pid) => {
                let mut message = codec::encode(&Started { pid })?;
                match &mut child.report {
                    Report::Own(link) => {
                        if Watch::CAN_BE_SENT {
                            if let Ok(watch) = Watch::child(pid) {
                                message.descriptors.push(std::sync::Arc::new(watch));
                            }
                        }
                        link.queue(Kind::Started, id, message);
                    }
                    // A pool has no use for a watch, and may have no descriptor left to receive it.
                    Report::Control | Report::Lost => {
                        if !self.owner.has_output() {
                            self.quiet_until = Some(Instant::now() + QUIET);
                        }
                        self.owner.queue(Kind::Started, id, message);
                    }
                }
                let flushed = child.flush_report(pid);
                self.children.insert(pid, child);
                flushed?;
            }
            Err(error) => self.say_not_started(id, child.report, &error)?,
        }
        Ok(())
    }

    pub(super) fn say_not_started(
        &mut self,
        id: u64,
        report: Report,
        error: &io::Error,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let answer = NotStarted { text: error.to_string(), number: error.raw_os_error() };
        Ok(self.say_last(id, report, Kind::NotStarted, codec::encode(&answer)?)?)
    }

    /// Makes what children are to inherit. This is the user's code, and may take any time.
    #[cold]
    pub(super) fn make_state(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.unmade = false;
        // The owner waits for our hello.
        self.owner.flush()?;
        let by = match (&self.lifeline, self.way) {
            (Some(end), Way::Fork(permission)) => Some((end, permission)),
            _ => None,
        };
        let made = tied::run(by, || {
            let is_alone = || {
                signal::Blocked::all().is_ok_and(|blocked| SingleThreaded::check(&blocked).is_ok())
            };
            let made = build::all(is_alone);
            // What was printed is printed now, and not once more by each child.
            fork::flush_standard();
            made
        })?;
        self.refusal = made.err();
        // What was set meanwhile is not for children.
        signal::reset_for_child();
        let own = guardian::present().into_iter().filter(|pid| !self.children.contains_key(pid));
        self.helpers = own.collect();
        Ok(())
    }

    fn fork(&self, permission: Permission, channel: PrivateFd, end: PrivateFd) -> io::Result<i32> {
        let blocked = signal::Blocked::all()?;
        let witness = SingleThreaded::check(&blocked).map_err(|_| {
            io::Error::other("a thread runs in the supervisor, which should have none")
        })?;
        let own = std::process::id();
        match fork::fork(permission, witness, blocked, vec![channel, end])? {
            Side::Parent(pid) => Ok(pid),
            Side::Child(kept) => {
                let _bomb = exit::Bomb::arm();
                guardian::die_with_supervisor(i32::try_from(own).unwrap_or(0));
                // Until it is told who it is.
                program::set_name(SPARE);
                let mut kept = kept.into_iter();
                match (kept.next(), kept.next()) {
                    (Some(channel), Some(end)) => {
                        child::enter_by_fork(channel, end, permission, self.inherited)
                    }
                    _ => exit::now(exit::FELL_OUT),
                }
            }
        }
    }

    fn execute(start: &Start, channel: &PrivateFd, end: &PrivateFd) -> io::Result<i32> {
        let Some(wanted) = &start.execute else {
            return Err(io::Error::other("a start that does not say how to execute"));
        };
        execute::again(wanted, channel.borrow()?, end.borrow()?)
    }
}
