//! Times for people: in a unit that suits them, and round ones for an axis.

use std::fmt;

const MICRO: u64 = 1000;
const MILLI: u64 = 1000 * MICRO;
const SECOND: u64 = 1000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time with three digits.
pub(super) struct Human(pub(super) u64);

impl fmt::Display for Human {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0;
        let (unit, name) = match nanoseconds {
            0 => return f.write_str("0 s"),
            _ if nanoseconds < MICRO => return write!(f, "{nanoseconds} ns"),
            _ if nanoseconds < MILLI => (MICRO, "µs"),
            _ if nanoseconds < SECOND => (MILLI, "ms"),
            _ if nanoseconds < 10 * MINUTE => (SECOND, "s"),
            _ if nanoseconds < 10 * HOUR => (MINUTE, "min"),
            _ => (HOUR, "h"),
        };
        let value = nanoseconds as f64 / unit as f64;
        let digits = match value {
            _ if value < 9.995 => 2,
            _ if value < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.digits$} {name}")
    }
}

/// A count, in groups of three digits.
pub(super) struct Grouped(pub(super) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.char_indices() {
            if place > 0 && (digits.len() - place) % 3 == 0 {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A number of tasks.
pub(super) struct Tasks(pub(super) u64);

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.0 == 1 { "task" } else { "tasks" };
        write!(f, "{} {word}", Grouped(self.0))
    }
}

/// Round times at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    /// The distance, in nanoseconds.
    pub(super) step: u64,
    unit: u64,
    name: &'static str,
}

impl Ticks {
    /// No more than so many between 0 and this time, without the one at 0.
    pub(super) fn new(length: u64, most: u64) -> Self {
        let least = (length / most.max(1)).max(1);
        let tens = std::iter::successors(Some(1u64), |ten| ten.checked_mul(10));
        let small = tens.flat_map(|ten| [1, 2, 5].map(|digit: u64| digit.saturating_mul(ten)));
        let small = small.take_while(|step| *step < MINUTE);
        let large = [1, 2, 5, 10, 20, 30].map(|count| count * MINUTE);
        let larger = [1, 2, 3, 6, 12].map(|count| count * HOUR);
        let days = (0..).map(|power| DAY.saturating_mul(1 << power)).take(17);
        let mut steps = small.chain(large).chain(larger).chain(days);
        let step = steps.find(|step| *step >= least).unwrap_or(u64::MAX);
        let (unit, name) = match step {
            _ if step < MICRO => (1, "ns"),
            _ if step < MILLI => (MICRO, "µs"),
            _ if step < SECOND => (MILLI, "ms"),
            _ if step < MINUTE => (SECOND, "s"),
            _ if step < HOUR => (MINUTE, "min"),
            _ => (HOUR, "h"),
        };
        Self { step, unit, name }
    }

    /// What stands at this time.
    pub(super) fn label(self, time: u64) -> String {
        format!("{} {}", Grouped(time / self.unit), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let shown = [0, 1, 999, 1000, 1234, 12_345, 999_949, 5 * MILLI, 59 * SECOND, 90 * MINUTE];
        let shown = shown.map(|time| Human(time).to_string());
        let expected =
            ["0 s", "1 ns", "999 ns", "1.00 µs", "1.23 µs", "12.3 µs", "1000 µs", "5.00 ms"];
        assert_eq!(shown[..8], expected);
        assert_eq!(shown[8..], ["59.0 s", "90.0 min"]);
        assert_eq!(Human(u64::MAX).to_string(), "5124096 h");
    }

    #[test]
    fn ticks_are_round_few_and_never_the_same() {
        for length in (0..20).map(|power| 7u64.pow(power)).chain([0, u64::MAX]) {
            let ticks = Ticks::new(length, 8);
            let count = length / ticks.step;
            assert!(count <= 8, "{length}: {ticks:?}");
            assert!(count >= 2 || !(8..=1 << 60).contains(&length), "{length}: {ticks:?}");
            assert_eq!(ticks.step % ticks.unit, 0, "{length}: {ticks:?}");
        }
        assert_eq!(Ticks::new(400 * MILLI, 8).label(50 * MILLI), "50 ms");
        assert_eq!(Ticks::new(3 * HOUR, 8).label(30 * MINUTE), "30 min");
        assert_eq!(Grouped(1_234_567).to_string(), "1,234,567");
        assert_eq!((Grouped(0).to_string(), Grouped(999).to_string()), ("0".into(), "999".into()));
    }
}
