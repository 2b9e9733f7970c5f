//! What the test programs that hurt workers share: luck that can be had again, a ledger that survives
//! every death, and a report.

#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(unreachable_pub, reason = "shared by several test programs")]

pub mod ledger;

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Numbers that look random, the same for the same seed: xorshift64*.
pub struct Random(u64);

impl Random {
    /// From `OFFSPRING_TEST_SEED`, or its own. The seed is printed, which shows if the case fails.
    pub fn new() -> Self {
        let given = std::env::var("OFFSPRING_TEST_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("OFFSPRING_TEST_SEED is a number"),
            None => SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64),
        };
        println!("OFFSPRING_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// One for another process.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 32) % limit
    }

    pub fn time_below(&mut self, limit: Duration) -> Duration {
        Duration::from_nanos(self.below(limit.as_nanos() as u64))
    }
}

/// A number from the environment.
pub fn scale(name: &str, short: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Prints a line, and adds it to the file that `OFFSPRING_TORTURE_REPORT` names.
pub fn report(line: impl Display) {
    let line = format!("{line}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("OFFSPRING_TORTURE_REPORT") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a report is written");
    }
}

/// `n` times, with the middle one, the 99th of a hundred, and the largest.
pub fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return "none".into() };
    let at = |part: usize| times[last * part / 1000];
    let (half, most) = (at(500), at(990));
    format!("{}: p50 {half:.1?}, p99 {most:.1?}, max {:.1?}", times.len(), times[last])
}

/// The clock that all processes of a machine share, in nanoseconds.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Signals a process that nobody has collected.
pub fn signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a process number");
    // SAFETY: no memory is involved. It may have ended meanwhile, which is fine.
    unsafe { libc::kill(pid, signal) };
}

/// Lets a signal end this process, also one for which std has a handler.
pub fn default_action(signal: i32) {
    // SAFETY: the default action needs no memory of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Hundreds of deaths shall leave no hundreds of files.
pub fn no_core_files() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a valid limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    assert_eq!(set, 0, "a process may lower its limits");
}
