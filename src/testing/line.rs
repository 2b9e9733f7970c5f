//! What the process of a test says to the test program: how the function came out, in one message.

use std::io;
use std::time::Duration;

use offspring_platform::fd::PrivateFd;
use offspring_platform::poll::{self, Interest};
use offspring_platform::socket;

/// How the function came out. A process that says nothing has not come to the end of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Passed,
    /// With the message.
    Panicked(String),
    /// It returned an `Err`, which was printed.
    Refused,
    /// It passed, and left this behind.
    Leaked(String),
}

/// No more of a text than this is sent: it fits into the buffer of a socket everywhere.
const LONGEST: usize = 4 << 10;

impl Said {
    fn parts(&self) -> (u8, &str) {
        match self {
            Self::Passed => (b'+', ""),
            Self::Panicked(text) => (b'p', text),
            Self::Refused => (b'e', ""),
            Self::Leaked(text) => (b'l', text),
        }
    }

    /// `None` for nothing, and for what no test says.
    pub(super) fn read(heard: &[u8]) -> Option<Self> {
        // The zero at its end tells that all of it was said.
        let (kind, text) = heard.strip_suffix(&[0])?.split_first()?;
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            b'+' => Some(Self::Passed),
            b'p' => Some(Self::Panicked(text)),
            b'e' => Some(Self::Refused),
            b'l' => Some(Self::Leaked(text)),
            _ => None,
        }
    }
}

/// Says it.
pub(super) fn say(line: &PrivateFd, said: &Said) -> io::Result<()> {
    let (kind, text) = said.parts();
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let message = [&[kind], &text.as_bytes()[..end], &[0]].concat();
    let mut rest = &message[..];
    while !rest.is_empty() {
        match socket::send(line.borrow()?, rest, &[]) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut interest = [Interest::writable_and_readable(line.borrow()?, false)];
                poll::wait(&mut interest, Some(Duration::from_secs(1)))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes what was said; whether more may come.
pub(super) fn hear(line: &PrivateFd, heard: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 1024];
    loop {
        match socket::receive(line.borrow()?, &mut buffer, &mut Vec::new()) {
            Ok(0) => return Ok(false),
            Ok(count) => heard.extend(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            // It was killed before it took over its end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
