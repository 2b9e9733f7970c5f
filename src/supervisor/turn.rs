//! One thread at a time starts a template; how long the others wait for that is up to each of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Error, ErrorKind};

/// See the head of the file. Not a mutex that is held meanwhile: waiting for one has no limit, and also those who only
/// want to signal a child would wait.
#[derive(Debug)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    free: Condvar,
}

/// Whose turn it is, until it is dropped.
#[derive(Debug)]
pub(super) struct Holding<'a>(&'a Turn);

impl Turn {
    pub(super) const fn new() -> Self {
        Self { taken: Mutex::new(false), free: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        // Nothing that can panic runs under this lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn, for `limit` at most, and returns what is left of that. What was to be started may be there
    /// then: another thread has had its turn.
    pub(super) fn take(
        &self,
        limit: Duration,
        doing: &'static str,
    ) -> Result<(Holding<'_>, Duration), Error> {
        let begin = Instant::now();
        let taken = self.lock();
        let waited = self.free.wait_timeout_while(taken, limit, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return Err(Error::new(ErrorKind::TimedOut, doing)
                .in_context(Context::ForkServer)
                .detail(format!(
                    "another thread starts the fork server, which did not say hello within {limit:?}"
                ))
                .advice(
                    "is `offspring::init()` the first call in `main`? Else raise `start_timeout`",
                ));
        }
        *taken = true;
        drop(taken);
        Ok((Holding(self), limit.saturating_sub(begin.elapsed())))
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.free.notify_one();
    }
}
