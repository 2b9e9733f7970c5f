//! An end of a pipe, while it is waited for beside other things.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::Interest;

use super::SLICE;
use crate::error::Error;
use crate::link::{Broken, Link};
use crate::woken::{Needs, Woken};

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    link: &'a Mutex<Link>,
    fault: &'a Mutex<Option<Broken>>,
    awaited: &'a AtomicBool,
    socket: Arc<PrivateFd>,
    for_room: bool,
    /// What has arrived is another thread's: until that has taken it, the socket says nothing new.
    passed_by: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        link: &'a Mutex<Link>,
        fault: &'a Mutex<Option<Broken>>,
        awaited: &'a AtomicBool,
        for_room: bool,
    ) -> Self {
        let socket = lock(link).socket();
        Self { link, fault, awaited, socket, for_room, passed_by: false }
    }

    /// Whether a message was read before, or the end.
    pub(crate) fn has_any(&self) -> bool {
        let link = lock(self.link);
        !self.for_room && (link.waiting() > 0 || link.is_at_end() || lock(self.fault).is_some())
    }

    pub(crate) fn interest(&self, needs: &mut Needs) -> Result<Interest<'_>, Error> {
        if !self.for_room {
            // Another thread may read what makes it ready, together with a message of its own, and leave it there.
            needs.look_after(SLICE);
        }
        let fd = self.socket.borrow().map_err(|error| Error::system("wait for a pipe", error))?;
        Ok(match self.for_room {
            true => Interest::writable_and_readable(fd, false),
            false if self.passed_by => Interest::hang_up(fd),
            false => Interest::readable(fd),
        })
    }

    /// After it was polled. Reads what is there: the beginning of a message makes nothing ready.
    pub(crate) fn look(&mut self, woken: Woken) -> bool {
        if self.for_room {
            return woken.writable || woken.hung_up;
        }
        let passed_by = std::mem::take(&mut self.passed_by);
        if (woken.readable || passed_by) && !self.has_any() {
            let mut link = lock(self.link);
            // Another thread receives: what has arrived is for that one.
            if self.awaited.load(Ordering::Relaxed) {
                self.passed_by = true;
                return false;
            }
            if let Err(broken) = link.fill_to_frame() {
                // For whoever receives.
                *lock(self.fault) = Some(broken);
            }
        }
        self.has_any()
    }
}

/// No user code runs while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
