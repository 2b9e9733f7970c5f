//! How fast a worker is, and how many tasks it should have because of that.

use std::time::{Duration, Instant};

/// How fast a worker is.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) since: Instant,
    /// What one task takes, in nanoseconds; 0 while unknown.
    average: u64,
}

/// A worker has as many tasks as it finishes in about this time.
const SPAN: Duration = Duration::from_micros(200);
/// And one more than the one it runs, so that it need not wait for the next.
const LEAST: u64 = 2;
const MOST: u64 = 4096;
/// Nothing waits behind a task that takes longer than this.
pub(super) const SLOW: Duration = Duration::from_millis(5);
/// What an outcome takes in the ring, at least.
const SMALLEST: u64 = 16;

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), average: 0 }
    }

    /// Its first task was sent.
    pub(super) fn start(&mut self) {
        self.since = Instant::now();
    }

    /// So many were finished since the last time.
    pub(super) fn landed(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        let now = Instant::now();
        let took = u64::try_from((now - self.since).as_nanos()).unwrap_or(u64::MAX);
        self.since = now;
        let each = (took / count).max(1);
        // Slower at once, faster by and by. What was sent ahead in vain is taken back.
        self.average = match self.average {
            0 => each,
            average if each > average => each,
            average => (average + each) / 2,
        };
    }

    pub(super) fn window(&self) -> u64 {
        match self.average {
            // Nothing waits behind a task of which nothing is known.
            0 => 1,
            average if average >= nanoseconds(SLOW) => 1,
            average => (nanoseconds(SPAN) / average).clamp(LEAST, MOST),
        }
    }

    /// How many bytes of outcomes to wait for, when so many tasks are in flight.
    pub(super) fn amount(&self, in_flight: u64) -> usize {
        // Not worth it where the tasks in flight take longer than a few wake-ups.
        if self.average == 0 || self.average > nanoseconds(SPAN) / 16 || in_flight < 16 {
            return 1;
        }
        usize::try_from(in_flight / 2 * SMALLEST).unwrap_or(1)
    }

    /// How long the tasks in flight will take, as far as can be told.
    pub(super) fn left(&self, in_flight: u64) -> Duration {
        let expected = Duration::from_nanos(self.average.saturating_mul(in_flight));
        expected.max(self.since.elapsed())
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
