//! What cases steer other processes with: files to write to and to wait for, signals, and numbers that
//! look random.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::eventually;

/// A file of the case's own, removed at its end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(name))
    }

    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Lets everybody go on who waits in [`wait_for`].
    pub fn open(&self) {
        note(&self.0, "open");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Adds a line.
pub fn note(path: &Path, text: impl std::fmt::Display) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Waits until the file is there.
pub fn wait_for(path: &Path) {
    eventually("the file is there", || path.exists());
}

/// Sends a signal, also to a process that is gone.
pub fn kill(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).unwrap();
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid, signal) };
}

/// Stops a process; where the system tells, it runs no more when this returns.
pub fn stop(pid: u32) {
    kill(pid, libc::SIGSTOP);
    #[cfg(target_os = "linux")]
    eventually("the process is stopped", || state_of(pid) == Some('T'));
}

/// The state of a process, as a letter: `S` sleeps, `T` is stopped, `Z` has ended. `None`: no such process,
/// or a system without `/proc`.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// A number from the environment, for runs that are longer than usual.
pub fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Numbers that look random, the same for the same seed.
pub struct Random(u64);

impl Random {
    /// From `OFFSPRING_TEST_SEED`, or else from the clock. The seed is printed: a case that fails shows
    /// it.
    pub fn new() -> Self {
        let seed = from_env("OFFSPRING_TEST_SEED").unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
        });
        println!("OFFSPRING_TEST_SEED={seed}");
        Self::from_seed(seed)
    }

    /// Those of a process that was given its seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below the limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % limit
    }

    /// One of the places of a list.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.place(last + 1));
        }
    }
}
