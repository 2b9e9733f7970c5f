//! Threads that send through one end, or receive, one after another: each waits for its own message only.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait for room, or for a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Not at all, before the message is begun.
    None,
    Until(Instant),
    Endless,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Turns {
    line: Mutex<Line>,
    moved: Condvar,
}

/// In the order in which they came, so that nobody waits for ever behind a thread that sends without a pause.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// The first of these sends, or receives.
    waiting: VecDeque<u64>,
    /// The first waits for the other end.
    held_up: bool,
}

/// The right to send, or to receive. Ends with its drop.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn, with the same patience as for room; `None` if that was not enough.
    pub(super) fn take(&self, patience: Patience) -> Option<Turn<'_>> {
        let mut line = self.lock();
        let own = line.next;
        line.next += 1;
        line.waiting.push_back(own);
        while line.waiting.front() != Some(&own) {
            let left = match patience {
                // Somebody who does not wait for the other end is done in a moment.
                Patience::None => line.held_up.then_some(Duration::ZERO),
                Patience::Until(limit) => Some(limit.saturating_duration_since(Instant::now())),
                Patience::Endless => None,
            };
            line = match left {
                Some(Duration::ZERO) => {
                    line.waiting.retain(|one| *one != own);
                    return None;
                }
                Some(left) => {
                    let woken = self.moved.wait_timeout(line, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.moved.wait(line).unwrap_or_else(PoisonError::into_inner),
            };
        }
        Some(Turn(self))
    }

    /// No user code runs while it is held.
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// The other end does not receive. Who wants to wait for nothing does not get a turn now.
    pub(super) fn held_up(&self) {
        let mut line = self.0.lock();
        line.held_up = true;
        let others = line.waiting.len() > 1;
        drop(line);
        if others {
            self.0.moved.notify_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        line.waiting.pop_front();
        line.held_up = false;
        // A system call, also where nobody sleeps.
        let others = !line.waiting.is_empty();
        drop(line);
        if others {
            self.0.moved.notify_all();
        }
    }
}
