//! What an owner tells its worker beside tasks: notices of shared state, and what was captured.
//!
//! Both come over the socket, in one order with the tasks that come there; the ring says before which task they
//! have to be read.

use std::sync::atomic::Ordering;

use offspring_platform::exit;

use super::bench::Bench;
use super::whoami::working_as;
use crate::link::lane::{Head, Status};
use crate::link::{Frame, Kind};
use crate::state::notice;

impl Bench<'_> {
    /// Reads what the owner has said that the next task may need.
    #[inline]
    pub(super) fn hear_notices(&mut self) {
        let sent = Status::of(&self.words).notices().load(Ordering::Relaxed);
        if sent != self.told {
            self.catch_up(sent);
        }
    }

    #[cold]
    fn catch_up(&mut self, sent: u64) {
        while self.told != sent {
            match self.link.wait_for_frame(None) {
                Ok(Some(frame)) if matches!(frame.kind, Kind::Task | Kind::Captured) => {
                    self.early.push_back(frame);
                }
                Ok(Some(frame)) if frame.kind == Kind::Notice => {
                    // What is forgotten may be dropped here, which is no task's.
                    if working_as(None, || notice::receive(frame)).is_none() {
                        exit::now(exit::FELL_OUT);
                    }
                    self.told += 1;
                }
                // The owner is gone.
                Ok(None) => super::end(),
                _ => exit::now(exit::FELL_OUT),
            }
        }
    }

    /// What came over the socket for the next task, which is of this kind.
    pub(super) fn next_elsewhere(&mut self, kind: Kind) -> Frame {
        let next = match self.early.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.link.wait_for_frame(None),
        };
        match next {
            Ok(Some(frame)) if frame.kind == kind => frame,
            // The owner is gone.
            Ok(None) => super::end(),
            _ => exit::now(exit::FELL_OUT),
        }
    }

    /// Before a task: hears what was captured for it, unless it knows.
    #[inline]
    pub(super) fn learn(&mut self, head: Head) {
        if head.tag != 0 {
            self.learn_captured(head.tag);
        }
    }

    #[cold]
    fn learn_captured(&mut self, wanted: u32) {
        // What comes over the socket is in the order of the tasks in the ring.
        while self.known.get(wanted).is_none() {
            let (tag, set) = super::captured_in(self.next_elsewhere(Kind::Captured));
            self.known.add(tag, set);
        }
    }
}
