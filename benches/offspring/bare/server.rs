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
        let (ours, theirs) = UnixStream::pair()?;
        passing::send(&self.socket, LAST_OF_TABLE, theirs.as_fd())?;
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
            let answer = match number {
                LAST_OF_TABLE => {
                    let (length, file) = passing::receive(&answers).expect("the table comes");
                    sharing::last_of(file.as_fd(), length).expect("it can be mapped")
                }
                number => work(number),
            };
            answers.write_all(&answer.to_ne_bytes()).expect("somebody listens");
        })?;
        child.wait()?;
        socket.write_all(&[COLLECTED])?;
    }
}
