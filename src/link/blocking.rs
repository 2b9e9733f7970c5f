//! A link that is waited for: for one that has nothing else to do.

use std::time::Instant;

use offspring_platform::poll;

use super::{Broken, Frame, Link};

impl Link {
    /// Waits for the next whole frame, sending meanwhile what waits to be sent.
    ///
    /// `None` at the end, or at the deadline.
    pub(crate) fn wait_for_frame(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Frame>, Broken> {
        loop {
            self.flush()?;
            if let Some(frame) = self.next() {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            // Not `fill`: behind this frame may be another that is very long.
            if self.fill_once()? {
                continue;
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if self.is_open() {
                poll::wait(&mut [self.interest()?], left)?;
            }
        }
    }

    /// Sends all that waits, however long the peer takes.
    pub(crate) fn flush_all(&mut self) -> Result<(), Broken> {
        self.flush_until(None).map(drop)
    }

    /// Sends all that waits, at most until `deadline`. Whether all was sent; the rest waits.
    pub(crate) fn flush_until(&mut self, deadline: Option<Instant>) -> Result<bool, Broken> {
        loop {
            self.flush()?;
            if !self.has_output() {
                return Ok(true);
            }
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let mut interest = [self.interest()?];
            poll::wait(&mut interest, left)?;
            // A peer that sends while we do must not be left waiting for room.
            if interest[0].can_read() && self.is_open() {
                self.fill()?;
            }
        }
    }
}
