//! A child, as the supervisor's own process knows it: where to report about it, and what is watched for it.

use std::io;

use offspring_platform::fd::{self, PrivateFd};
use offspring_platform::transcript::Transcript;
use offspring_platform::{limits, signal, watch};

use super::watchdog::Watchdog;
use crate::link::Link;

/// See the head of the file.
pub(super) struct Child {
    pub(super) id: u64,
    pub(super) report: Report,
    /// Its deadlines, if it has any.
    pub(super) watchdog: Option<Watchdog>,
    /// What it writes, if that is captured.
    pub(super) transcript: Option<Transcript>,
}

/// Where to report about a child.
pub(super) enum Report {
    /// On the control socket.
    Control,
    /// On a socket for this child alone.
    Own(Box<Link>),
    /// Nowhere any more: its socket failed, and its end tells that the child has ended.
    Lost,
}

impl Child {
    /// The socket for this child alone.
    pub(super) fn own_report(&self) -> Option<&Link> {
        match &self.report {
            Report::Own(link) => Some(link),
            Report::Control | Report::Lost => None,
        }
    }

    /// Makes sure that the supervisor can keep a descriptor of this child, and has room for those that come with the next
    /// one: what has no room is lost when it arrives, and the control socket with it, and with that all children. The
    /// rest of what came with this one is closed when it was started or refused.
    pub(super) fn check_room(&self, of_owner: u64, any: &PrivateFd) -> io::Result<()> {
        if self.own_report().is_none() && self.transcript.is_none() {
            return Ok(());
        }
        if limits::descriptors().is_ok_and(|own| own < of_owner) {
            // Should it fail, then there is what there is.
            let _ = limits::allow_descriptors(of_owner);
        }
        fd::check_room(any.borrow()?)
    }

    /// Sends what waits on its own socket. A failure there, want of memory say, is this child's and nobody
    /// else's.
    pub(super) fn flush_report(&mut self, pid: i32) -> io::Result<()> {
        let Report::Own(link) = &mut self.report else { return Ok(()) };
        if link.flush().is_err() {
            // Not collected yet, or it would not be on the list: the number is its own.
            watch::signal_own_child(pid, signal::Signal::Kill)?;
            self.report = Report::Lost;
        }
        Ok(())
    }
}
