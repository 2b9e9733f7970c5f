//! Looking a little longer before going to sleep, where that has paid off lately.

use std::sync::OnceLock;
use std::time::Duration;

use offspring_platform::affinity;
use offspring_platform::clock::{nanoseconds, now};

/// About what one wake-up costs: waiting longer than that without sleep rarely pays.
const MOST: Duration = Duration::from_micros(6);
/// After so many times in vain, it is not tried any more.
const TRIES: u32 = 8;
/// But once after so many sleeps, for as long as it takes the other side to wake up: where two wait for each
/// other in turns, and both sleep, neither could find out that it would pay not to.
const PAUSES: u32 = 64;
const LONG: Duration = Duration::from_micros(80);

/// How long it is worth to look before going to sleep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spin {
    /// How often in a row it did not pay, and then how often it was not tried.
    misses: u32,
}

/// On one processor, whoever we wait for does not run while we look. Asked once, when it matters for the first
/// time.
fn is_alone() -> bool {
    static ALONE: OnceLock<bool> = OnceLock::new();
    *ALONE.get_or_init(affinity::is_single)
}

impl Spin {
    pub(crate) fn new() -> Self {
        Self { misses: 0 }
    }

    /// Looks until `ready`, for a few microseconds at most. False if it was not.
    pub(crate) fn look(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if is_alone() {
            return false;
        }
        let limit = match self.misses {
            misses if misses < TRIES => MOST,
            misses if misses < TRIES + PAUSES => {
                self.misses += 1;
                return false;
            }
            _ => {
                self.misses = TRIES;
                LONG
            }
        };
        let end = now() + nanoseconds(limit);
        loop {
            for _ in 0..8 {
                if ready() {
                    self.misses = 0;
                    return true;
                }
                std::hint::spin_loop();
            }
            if now() > end {
                self.misses += 1;
                return false;
            }
        }
    }

    /// After a sleep that began and was ended by the other side at these times.
    pub(crate) fn slept(&mut self, since: u64, until: u64) {
        if until >= since && until - since < nanoseconds(MOST) {
            // It would have paid to look a little longer.
            self.misses = 0;
        }
    }
}
