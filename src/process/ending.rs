//! How the end of a child, or of several, is waited for, asked for, and brought about.

use std::io;
use std::time::{Duration, Instant};

use offspring_platform::poll::{self, Interest};
use offspring_platform::signal::Signal;
use offspring_platform::wait::Exit;
use offspring_platform::watch;

use super::detached::Detached;
use super::running::Running;
use crate::logging::{self, Bell};
use crate::start::Ending;
use crate::supervisor::template;
use crate::woken::{UNKILLABLE, after};

/// After a wait that failed, before the next.
const PAUSE: Duration = Duration::from_millis(1);

impl Running {
    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&self, wanted: Signal) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        self.check_ours()?;
        match &self.ending {
            Ending::Own { watch: Some(watch) } | Ending::Reported { watch: Some(watch), .. } => {
                watch.signal(self.pid, wanted)
            }
            // Ours, and not collected, or there would be an exit.
            Ending::Own { watch: None } => watch::signal_own_child(self.pid, wanted),
            Ending::Reported { id, watch: None, home, .. } => {
                template::signal_child(home, *id, wanted.into()).map_err(io::Error::other)
            }
        }
    }

    /// Waits for its end, at most until `deadline`.
    pub(super) fn wait_for_end(&mut self, deadline: Option<Instant>) -> io::Result<Option<Exit>> {
        while self.exit.is_none() {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                self.look()?;
                break;
            }
            self.step(left)?;
        }
        Ok(self.exit)
    }

    /// Asks it to end, and after `grace` ends it. Returns when it has ended.
    pub(super) fn stop(&mut self, grace: Duration) -> io::Result<Exit> {
        if self.exit.is_none() {
            self.check_ours()?;
        }
        let asked = self.ask_to_end(grace);
        self.end_now();
        match (self.exit, asked) {
            // It could not be asked, or not waited for, and was killed at once.
            (None, Err(error)) => Err(error),
            (exit, _) => Ok(exit.unwrap_or(Exit::Unknown)),
        }
    }

    fn ask_to_end(&mut self, grace: Duration) -> io::Result<()> {
        if grace.is_zero() || self.exit.is_some() {
            return Ok(());
        }
        self.ask()?;
        self.wait_for_end(after(grace)).map(drop)
    }

    fn ask(&self) -> io::Result<()> {
        self.signal(Signal::Terminate)?;
        // A stopped process does not see the request before it is continued.
        self.signal(Signal::Continue)
    }

    /// Kills it by every means, and collects it.
    pub(super) fn end_now(&mut self) {
        if self.exit.is_some() || self.check_ours().is_err() {
            return;
        }
        self.cut();
        // Not even a kill ends a process that is stuck in the kernel. It is left to the system then.
        let deadline = Instant::now() + UNKILLABLE;
        while self.wait_for_end(Some(deadline)).is_err() && Instant::now() < deadline {
            // It could not be waited for: no memory, say. It is to be collected all the same.
            std::thread::sleep(PAUSE);
            let _ = self.look();
        }
    }

    /// Lets go of a child that is to run on: it will still end with this process.
    pub(super) fn let_go(self) -> Option<Detached> {
        let Self { pid, ending, keeper, logs, transcript, generation, .. } = self;
        let lives = self.exit.is_none();
        lives.then_some(Detached {
            pid,
            ending,
            _keeper: keeper,
            _logs: logs,
            transcript,
            generation,
        })
    }
}

/// Asks all to end, and ends those that have not after `grace`, which is for all together. Returns when they have ended.
pub(super) fn stop_all(mut running: Vec<&mut Running>, grace: Duration) {
    running.retain(|one| one.exit.is_none() && one.check_ours().is_ok());
    for one in &running {
        // Who cannot be asked is killed with those that did not listen.
        let _ = one.ask();
    }
    wait_for_all(&mut running, after(grace));
    running.iter_mut().for_each(|one| one.cut());
    // What is stuck in the kernel is left to the system.
    wait_for_all(&mut running, after(UNKILLABLE));
}

/// Waits for the ends of all, at most until `deadline`. Leaves those that live.
fn wait_for_all(running: &mut Vec<&mut Running>, deadline: Option<Instant>) {
    loop {
        let mut failed = false;
        running.retain_mut(|one| {
            // If the system cannot say, it was running when it last could.
            failed |= one.look().is_err();
            one.exit.is_none()
        });
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if running.is_empty() || left.is_some_and(|left| left.is_zero()) {
            return;
        }
        let lent: Vec<&Running> = running.iter().map(|one| &**one).collect();
        // What could not be looked at is there still, and would end each wait at once.
        if failed || wait_for_any(&lent, left).is_err() {
            // No memory, say. They are to be collected all the same.
            std::thread::sleep(PAUSE);
        }
    }
}

/// Waits until something has happened to one of them, and delivers what they log.
pub(super) fn wait_for_any(running: &[&Running], mut timeout: Option<Duration>) -> io::Result<()> {
    if logging::is_due(true) {
        logging::deliver();
        return Ok(());
    }
    let bell = logging::bell();
    let mut interests: Vec<Interest<'_>> = Vec::new();
    for one in running {
        if one.exit.is_some() {
            return Ok(());
        }
        one.interests(&mut interests, &mut timeout)?;
    }
    let own = interests.len();
    interests.extend(bell.as_ref().and_then(Bell::interest));
    poll::wait(&mut interests, timeout)?;
    if let Some(bell) = bell.as_ref().filter(|_| interests[own..].iter().any(Interest::can_read)) {
        bell.clear();
        logging::deliver();
    }
    Ok(())
}
