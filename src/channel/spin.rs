//! Looking a little longer before going to sleep, where that has paid off lately.

use std::time::{Duration, Instant};

/// About what one wake-up costs: waiting longer than that without sleep never pays.
const MOST: Duration = Duration::from_micros(6);
/// Tried now and then, to find out whether it would pay again.
const EVERY: u32 = 64;

/// How long it is worth to look before going to sleep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spin {
    /// How often in a row it did not pay.
    misses: u32,
    /// On one processor, whoever we wait for does not run while we look.
    alone: bool,
}

impl Spin {
    pub(crate) fn new() -> Self {
        let alone = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2;
        Self { misses: 0, alone }
    }

    /// Looks until `ready`, for a few microseconds at most. False if it was not.
    pub(crate) fn look(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        if self.alone {
            return false;
        }
        if self.misses > 3 && self.misses % EVERY != 0 {
            self.misses = self.misses.wrapping_add(1);
            return false;
        }
        let start = Instant::now();
        loop {
            for _ in 0..8 {
                if ready() {
                    self.misses = 0;
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > MOST {
                self.misses = self.misses.saturating_add(1);
                return false;
            }
        }
    }
}
