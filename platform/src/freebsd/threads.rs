//! The proof that this process has one thread: the kernel's count.
//!
//! With one thread there is nobody to start a second between the check and the fork, except a signal
//! handler; so signals have to be blocked before.

use std::time::Duration;

use super::process;
use crate::unix::signal::Blocked;
pub use crate::unix::threads::NotSingleThreaded;

/// Proof that the process had one thread when it was made, with all signals blocked.
#[derive(Debug)]
pub struct SingleThreaded(());

/// A thread that was just joined may still be counted, because the kernel wakes the joiner before it takes
/// the thread off its list. So a refusal is only final after this many tries, with pauses that add up to 15 ms.
const TRIES: u32 = 12;

impl SingleThreaded {
    /// Checks.
    ///
    /// # Errors
    ///
    /// When there is a second thread, or the system does not say.
    pub fn check(_blocked: &Blocked) -> Result<Self, NotSingleThreaded> {
        let mut attempt = 0;
        loop {
            match count() {
                Some(1) => return Ok(Self(())),
                None => return Err(NotSingleThreaded::Unknown),
                Some(count) if attempt == TRIES => {
                    return Err(NotSingleThreaded::Threads(Some(count)));
                }
                Some(_) => {
                    attempt += 1;
                    std::thread::sleep(Duration::from_micros(5 << attempt.min(10)));
                }
            }
        }
    }
}

/// The number of threads, if the system says.
#[must_use]
pub fn count() -> Option<usize> {
    let own = i32::try_from(std::process::id()).ok()?;
    let told = process::one(own).ok()??;
    usize::try_from(told.ki_numthreads).ok().filter(|count| *count > 0)
}
