//! A line between a case and its child: the child's standard input and output.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use offspring::{Context, Process, ProcessBuilder};

use crate::harness::leaks;
use crate::harness::props::state_of;

/// The case's end of the line.
pub(crate) struct Line(UnixStream);

impl Line {
    /// Waits until the child speaks.
    pub(crate) fn hear(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).expect("the child says something");
        byte[0]
    }

    /// Lets a child go on that waits in [`listen`].
    pub(crate) fn say(&mut self) {
        self.0.write_all(b"!").expect("somebody holds the other end");
    }
}

/// A builder whose children have this line.
pub(crate) fn with_line(context: Context) -> (ProcessBuilder, Line) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let input = theirs.try_clone().expect("a second descriptor");
    let builder = context.process().stdin(OwnedFd::from(input)).stdout(OwnedFd::from(theirs));
    (builder, Line(ours))
}

/// In a child: speaks.
pub(crate) fn speak() {
    let mut output = std::io::stdout();
    output.write_all(b"?").and_then(|()| output.flush()).expect("the case listens");
}

/// In a child: waits until the case speaks.
pub(crate) fn listen() {
    std::io::stdin().read_exact(&mut [0]).expect("the case speaks");
}

/// A child that runs until it is let go, and then returns 42.
pub(crate) fn start_waiting(context: Context) -> offspring::Result<(Process<u32>, Line)> {
    let (builder, mut line) = with_line(context);
    let child = builder.start((), |()| {
        speak();
        listen();
        42
    })?;
    line.hear();
    Ok((child, line))
}

/// A child that ignores SIGTERM and never ends by itself.
pub(crate) fn start_deaf(context: Context) -> offspring::Result<Process<()>> {
    let (builder, mut line) = with_line(context);
    let child = builder.start((), |()| -> () {
        // SAFETY: `SIG_IGN` runs nothing.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        speak();
        crate::harness::sleep_for_ever()
    })?;
    line.hear();
    Ok(child)
}

/// Whether the number names no process any more, also no zombie.
pub(crate) fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether a descriptor can be read now.
pub(crate) fn is_readable(descriptor: &impl std::os::fd::AsFd, timeout: i32) -> bool {
    use std::os::fd::AsRawFd;
    let fd = descriptor.as_fd().as_raw_fd();
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives as long as the call.
    let count = unsafe { libc::poll(&raw mut entry, 1, timeout) };
    assert!(count >= 0, "{}", std::io::Error::last_os_error());
    count == 1
}

/// What one longs for at the end of a case: a child that is not only dead but collected.
#[track_caller]
pub(crate) fn assert_gone(pid: u32) {
    assert!(is_gone(pid), "process {pid} is still there: {:?}", state_of(pid));
    assert!(!leaks::children_of(std::process::id()).contains(&pid));
}
