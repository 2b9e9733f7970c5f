//! A clock that all processes of the machine read alike.

use std::time::Duration;

/// Nanoseconds since some moment in the past, the same for all processes; it never goes back, and stands while the
/// machine sleeps, as `Instant` does.
#[must_use]
pub fn now() -> u64 {
    read(MONOTONIC)
}

/// Like [`now`], a few milliseconds late, and much cheaper where the system has such a clock.
#[must_use]
pub fn coarse() -> u64 {
    read(COARSE)
}

#[cfg(not(target_os = "macos"))]
const MONOTONIC: libc::clockid_t = libc::CLOCK_MONOTONIC;
/// `CLOCK_MONOTONIC` goes on there while the machine sleeps: clock_gettime(3).
#[cfg(target_os = "macos")]
const MONOTONIC: libc::clockid_t = libc::CLOCK_UPTIME_RAW;

#[cfg(target_os = "linux")]
const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
/// <time.h>: "approximate", updated at each switch of context.
#[cfg(target_os = "macos")]
const COARSE: libc::clockid_t = 9; // CLOCK_UPTIME_RAW_APPROX
/// clock_gettime(2): "one timer tick" at worst.
#[cfg(target_os = "freebsd")]
const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_FAST;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place. The clock exists on every system, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let rest = Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
    nanoseconds(seconds + rest)
}

/// A duration in the unit of [`now`].
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
