//! How long the run is, and how often what happens in it.

use std::time::{Duration, Instant};

use crate::torture;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Until what is made once was made. Not a part of `total`.
    pub(crate) warm: Duration,
    pub(crate) total: Duration,
    /// Between two measurements.
    pub(crate) window: Duration,
    /// What the full run does each second, and each minute.
    pub(crate) second: Duration,
    pub(crate) minute: Duration,
    /// By how many bytes a process may have grown in the end. The allocator keeps the room of large results.
    pub(crate) growth: u64,
}

impl Times {
    pub(crate) fn from_env() -> Self {
        let seconds = torture::scale("OFFSPRING_SOAK_SECONDS", 0);
        if seconds == 0 {
            // As much in a few seconds as else in some minutes.
            let ms = Duration::from_millis;
            return Self {
                warm: ms(800),
                total: ms(3200),
                window: ms(800),
                second: ms(50),
                minute: ms(200),
                growth: 8 << 20,
            };
        }
        let total = Duration::from_secs(seconds);
        Self {
            warm: Duration::from_secs(60),
            total,
            window: total / 12,
            second: Duration::from_secs(1),
            minute: Duration::from_secs(60),
            growth: 2 << 20,
        }
    }
}

/// What is to be done again and again.
#[derive(Debug)]
pub(crate) struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    pub(crate) fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    /// Whether it is time. What was missed is not made up for.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.period;
        }
        due
    }
}
