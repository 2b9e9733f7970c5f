//! Every setting of a pool does what its documentation says: how workers start and end, how long they
//! are used, what they and their tasks may take, and what they find around them.

#[path = "pool_options/bounds.rs"]
mod bounds;
#[path = "pool_options/deadlines.rs"]
mod deadlines;
#[path = "pool_options/ends.rs"]
mod ends;
mod harness;
// The portable way asks nobody whether memory ran out.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[path = "pool_options/out_of_memory.rs"]
mod out_of_memory;
#[path = "pool_options/quotas.rs"]
mod quotas;
#[path = "pool_options/retries.rs"]
mod retries;
#[path = "pool_options/reuse.rs"]
mod reuse;
#[path = "pool_options/starts.rs"]
mod starts;
#[path = "pool_options/surroundings.rs"]
mod surroundings;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file of the case's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(name);
        assert!(!path.exists(), "{name} is left from before");
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn lines(&self) -> Vec<String> {
        lines(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn note(path: &Path, text: impl std::fmt::Display) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // One write, so that lines of several processes do not mix.
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Leaves a line, and tells how many of the same there were before.
fn count(path: &Path, text: &str) -> usize {
    let before = lines(path).iter().filter(|line| *line == text).count();
    note(path, text);
    before
}

/// How a process ends itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Death {
    Abort,
    Exit(i32),
    Kill,
}

impl Death {
    const ALL: [Self; 4] = [Self::Abort, Self::Exit(0), Self::Exit(3), Self::Kill];

    fn die(self) -> ! {
        match self {
            Self::Abort => std::process::abort(),
            Self::Exit(code) => std::process::exit(code),
            Self::Kill => {
                kill(std::process::id(), libc::SIGKILL);
                unreachable!("nobody survives this")
            }
        }
    }

    fn exit(self) -> String {
        match self {
            Self::Abort => format!("signal {}", libc::SIGABRT),
            Self::Exit(code) => format!("code {code}"),
            Self::Kill => format!("signal {}", libc::SIGKILL),
        }
    }
}

/// How a process ended, without what depends on the system.
fn told(exit: Option<offspring::Exit>) -> String {
    match exit {
        Some(offspring::Exit::Code(code)) => format!("code {code}"),
        Some(offspring::Exit::Signal { signal, .. }) => format!("signal {signal}"),
        other => format!("{other:?}"),
    }
}

fn kill(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).unwrap();
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid, signal) };
}
