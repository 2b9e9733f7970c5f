//! What the tests of entry, descriptors and nesting share: running programs, and telling a child when
//! to go on.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use offspring::Context;

/// A file in the directory of the case.
pub(crate) fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
}

impl Ended {
    /// The output, of a program that ended well.
    #[track_caller]
    pub(crate) fn expect_success(self, what: &str) -> String {
        assert!(self.status.success(), "{what}: {}\n--- output\n{}", self.status, self.output);
        self.output
    }
}

/// Runs a program to its end. Its output goes to a file, since a process that is left behind would
/// keep a pipe open.
pub(crate) fn run(command: &mut Command) -> Ended {
    let path = temporary("program-output");
    let file = File::create(&path).expect("the directory of the case can be written");
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("a descriptor")).stderr(file);
    let status = command.status().expect("the program starts");
    let output = String::from_utf8_lossy(&std::fs::read(&path).expect("the output")).into_owned();
    std::fs::remove_file(&path).expect("the output can be removed");
    Ended { status, output }
}

/// The same command, with another path for the program.
pub(crate) fn at_path(command: &Command, path: &Path) -> Command {
    let mut other = Command::new(path);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

/// An argument of the program that runs, from 1.
pub(crate) fn argument(index: usize) -> String {
    std::env::args_os()
        .nth(index)
        .and_then(|text| text.into_string().ok())
        .expect("the case passes this argument")
}

/// An argument that names a context.
pub(crate) fn context_argument(index: usize) -> Context {
    argument(index).parse().expect("the case passes a context")
}

/// Holds a child back until it is told to go on.
pub(crate) struct Gate(UnixStream);

impl Gate {
    /// The gate, and what the child gets as its standard input.
    pub(crate) fn new() -> (Self, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        (Self(ours), theirs.into())
    }

    /// Lets it go on.
    pub(crate) fn open(&mut self) {
        self.0.write_all(b"!").expect("the child reads");
    }
}

/// In a child: waits until the gate that is its standard input is opened.
pub(crate) fn wait_at_gate() {
    std::io::stdin().read_exact(&mut [0]).expect("somebody opens the gate");
}

/// Sends a signal.
pub(crate) fn send_signal(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a pid");
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "signal {signal} to {pid}");
}
