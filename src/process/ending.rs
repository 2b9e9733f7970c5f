//! How the end of a child is waited for, asked for, and brought about.

use std::io;
use std::time::{Duration, Instant};

use offspring_platform::signal::Signal;
use offspring_platform::wait::Exit;
use offspring_platform::watch;

use super::detached::Detached;
use super::running::Running;
use crate::start::Ending;
use crate::supervisor::protocol;
use crate::supervisor::template;

/// How long a killed process may take to be gone.
const UNKILLABLE: Duration = Duration::from_secs(5);

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
                let wanted = match wanted {
                    Signal::Terminate => protocol::Signal::Terminate,
                    Signal::Kill => protocol::Signal::Kill,
                    Signal::Continue => protocol::Signal::Continue,
                };
                template::signal_child(home, *id, wanted).map_err(io::Error::other)
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
        self.signal(Signal::Terminate)?;
        // A stopped process does not see the request before it is continued.
        self.signal(Signal::Continue)?;
        self.wait_for_end(Instant::now().checked_add(grace)).map(drop)
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
            std::thread::sleep(Duration::from_millis(1));
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
