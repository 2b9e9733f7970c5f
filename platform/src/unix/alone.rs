//! The proof that no other thread runs code of the program, for what only one thread may touch.
//!
//! Weaker than `threads::SingleThreaded`, and no permission to fork: where the lifeline of a child is a
//! thread, it may be there. That thread waits in one system call and then ends the process; it never looks
//! at the environment or the locale.

use std::time::Duration;

use crate::os::lifeline;
use crate::os::threads::{self, NotSingleThreaded, SingleThreaded};
use crate::unix::signal::Blocked;

/// Proof that no other thread of this process ran code of the program when it was made, with all signals
/// blocked.
#[derive(Debug)]
pub struct Alone(());

/// A thread that was just joined may still be counted for a moment: so many looks, with pauses that add up to
/// 15 ms.
const TRIES: u32 = 12;

impl Alone {
    /// Checks.
    ///
    /// # Errors
    ///
    /// When there is another thread, or the system does not say.
    pub fn check(blocked: &Blocked) -> Result<Self, NotSingleThreaded> {
        for attempt in 1..TRIES {
            if !lifeline::is_running_thread() {
                return SingleThreaded::check(blocked).map(|_| Self(()));
            }
            let count = threads::count();
            // Still there after the count, so it was one of those that were counted.
            if count == Some(2) && lifeline::is_running_thread() {
                return Ok(Self(()));
            }
            std::thread::sleep(Duration::from_micros(5 << attempt.min(10)));
        }
        Err(threads::count()
            .map_or(NotSingleThreaded::Unknown, |count| NotSingleThreaded::Threads(Some(count))))
    }
}
