//! A bare fork server: a small process that forks a child for each request, collects it and says so.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::passing;
use super::process::Child;
use super::sharing;
use crate::Outcome;
use crate::feeding::work;

/// Is not asked for.
const QUIT: u64 = u64::MAX;
/// Neither: the child shall look at a table.
const LAST_OF_TABLE: u64 = u64::MAX - 1;
/// Nor this: it shall read all of one, twice.
const READ_TABLE: u64 = u64::MAX - 2;
/// What the server says when a child has ended well.
const COLLECTED: u8 = 1;

/// Forked from this process; to be started while this process is small.
#[derive(Debug)]
pub(crate) struct Server {
    socket: UnixStream,
    child: Child,
}

impl Server {
    pub(crate) fn start() -> Outcome<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = Child::fork(|| serve(&theirs).expect("the parent asks"))?;
        Ok(Self { socket, child })
    }

    /// A child that answers one number, collected by the server. In seconds.
    pub(crate) fn start_and_exit(&mut self) -> Outcome<f64> {
        let begin = Instant::now();
        let (mut ours, theirs) = UnixStream::pair()?;
        passing::send(&self.socket, 7, theirs.as_fd())?;
        drop(theirs);
        let mut answer = [0; 8];
        ours.read_exact(&mut answer)?;
        assert_eq!(u64::from_ne_bytes(answer), work(7));
        self.collected()?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Asks for a child that maps a table and tells its last element; the answer comes from the socket.
    pub(super) fn ask_for_last(&self, file: BorrowedFd<'_>, length: u64) -> Outcome<UnixStream> {
        self.ask_about(LAST_OF_TABLE, file, length)
    }

    /// Asks for a child that maps a table, hears the sum from the socket, reads all of the table twice and says how
    /// long each pass took.
    pub(super) fn ask_to_read(&self, file: BorrowedFd<'_>, length: u64) -> Outcome<UnixStream> {
        self.ask_about(READ_TABLE, file, length)
    }

    fn ask_about(&self, what: u64, file: BorrowedFd<'_>, length: u64) -> Outcome<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        passing::send(&self.socket, what, theirs.as_fd())?;
        passing::send(&ours, length, file)?;
        Ok(ours)
    }

    /// Waits until the child was collected.
    pub(super) fn collected(&mut self) -> Outcome<()> {
        let mut note = [0];
        self.socket.read_exact(&mut note)?;
        assert_eq!(note, [COLLECTED]);
        Ok(())
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        // A descriptor goes with every request, so with this one too.
        passing::send(&self.socket, QUIT, self.socket.as_fd())?;
        self.child.wait()
    }
}

fn serve(mut socket: &UnixStream) -> Outcome<()> {
    loop {
        let (number, file) = passing::receive(socket)?;
        if number == QUIT {
            return Ok(());
        }
        let mut answers = UnixStream::from(file);
        let child = Child::fork(|| {
            let done = match number {
                LAST_OF_TABLE => tell_last(&mut answers),
                READ_TABLE => tell_passes(&mut answers),
                number => tell(&mut answers, work(number).to_ne_bytes()),
            };
            done.expect("somebody listens, and a table comes that can be mapped");
        })?;
        child.wait()?;
        socket.write_all(&[COLLECTED])?;
    }
}

fn tell(answers: &mut UnixStream, bytes: [u8; 8]) -> Outcome<()> {
    Ok(answers.write_all(&bytes)?)
}

fn tell_last(answers: &mut UnixStream) -> Outcome<()> {
    let (length, file) = passing::receive(answers)?;
    let last = sharing::last_of(file.as_fd(), length)?;
    tell(answers, last.to_ne_bytes())
}

fn tell_passes(answers: &mut UnixStream) -> Outcome<()> {
    let (length, file) = passing::receive(answers)?;
    let mut expected = [0; 8];
    answers.read_exact(&mut expected)?;
    let times = sharing::passes_of(file.as_fd(), length, u64::from_ne_bytes(expected))?;
    times.iter().try_for_each(|time| tell(answers, time.to_ne_bytes()))
}
