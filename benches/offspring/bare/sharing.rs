//! A table as a file in memory that bare children map: forked, executed, or made by the bare fork server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::copy::nameless_file;
use super::memory::Region;
use super::process::Child;
use super::server::Server;
use crate::Outcome;
use crate::sharing::sum;

const BARE_READER: &str = "--bare-reader";

/// A table that is mapped here, and a file by which others map it.
#[derive(Debug)]
pub(crate) struct BareTable {
    file: File,
    region: Region,
    length: usize,
}

/// The last element of a table.
fn last(region: &Region) -> Outcome<u64> {
    // SAFETY: nobody writes to a table that was made.
    let bytes = unsafe { region.bytes() };
    Ok(*bytemuck::cast_slice::<u8, u64>(bytes).last().ok_or("the table is empty")?)
}

fn map(file: BorrowedFd<'_>, length: u64) -> Outcome<Region> {
    Region::of_file(file, usize::try_from(length)?)
}

/// For a child that got the table with its request.
pub(super) fn last_of(file: BorrowedFd<'_>, length: u64) -> Outcome<u64> {
    last(&map(file, length)?)
}

impl BareTable {
    pub(crate) fn copy_of(words: &[u64]) -> Outcome<Self> {
        let bytes = bytemuck::cast_slice::<u64, u8>(words);
        let mut file = nameless_file()?;
        file.write_all(bytes)?;
        let region = Region::of_file(file.as_fd(), bytes.len())?;
        Ok(Self { file, region, length: bytes.len() })
    }

    /// Until a forked child has looked at the mapping that it inherited, and is collected. In seconds, as all
    /// of these.
    pub(crate) fn first_by_fork(&self, expected: u64) -> Outcome<f64> {
        let begin = Instant::now();
        let (mut ours, mut theirs) = UnixStream::pair()?;
        let child = Child::fork(|| {
            let answer = last(&self.region).expect("it is not empty");
            theirs.write_all(&answer.to_ne_bytes()).expect("somebody listens");
        })?;
        answered(&mut ours, expected)?;
        child.wait()?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Until this program, run again with the file as its standard input, has mapped it and looked.
    pub(crate) fn first_by_exec(&self, expected: u64) -> Outcome<f64> {
        let begin = Instant::now();
        let mut child = Command::new("/proc/self/exe");
        if !cfg!(target_os = "linux") {
            child = Command::new(std::env::current_exe()?);
        }
        let mut child =
            child.arg(BARE_READER).stdin(self.file.try_clone()?).stdout(Stdio::piped()).spawn()?;
        let mut answers = child.stdout.take().ok_or("the output is a pipe")?;
        answered(&mut answers, expected)?;
        if !child.wait()?.success() {
            return Err("a bare reader failed".into());
        }
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Until a child of the bare fork server has received the file, mapped it and looked.
    pub(crate) fn first_by_server(&self, server: &mut Server, expected: u64) -> Outcome<f64> {
        let begin = Instant::now();
        let mut ours = server.ask_for_last(self.file.as_fd(), self.length as u64)?;
        answered(&mut ours, expected)?;
        server.collected()?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// A forked child maps the file anew and reads all of it twice: the time of each pass.
    pub(crate) fn passes(&self, expected: u64) -> Outcome<[f64; 2]> {
        let (mut ours, mut theirs) = UnixStream::pair()?;
        let child = Child::fork(|| {
            let region = map(self.file.as_fd(), self.length as u64).expect("it can be mapped");
            // SAFETY: nobody writes to a table that was made.
            let words = bytemuck::cast_slice(unsafe { region.bytes() });
            for time in crate::sharing::read_twice(words, expected) {
                theirs.write_all(&time.to_ne_bytes()).expect("somebody listens");
            }
        })?;
        let mut times = [0.0; 2];
        for time in &mut times {
            let mut bytes = [0; 8];
            ours.read_exact(&mut bytes)?;
            *time = f64::from_ne_bytes(bytes);
        }
        child.wait()?;
        Ok(times)
    }

    /// The sum of all, so that both tables are known to be the same.
    pub(crate) fn sum(&self) -> u64 {
        // SAFETY: nobody writes to a table that was made.
        sum(bytemuck::cast_slice(unsafe { self.region.bytes() }))
    }
}

fn answered(from: &mut impl Read, expected: u64) -> Outcome<()> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    assert_eq!(u64::from_ne_bytes(bytes), expected, "the right table was mapped");
    Ok(())
}

/// If this process is a bare reader: maps its standard input and writes its last element.
pub(crate) fn read_if_asked() -> Outcome<bool> {
    if std::env::args_os().nth(1).is_none_or(|argument| argument != BARE_READER) {
        return Ok(false);
    }
    let input = io::stdin();
    // SAFETY: standard input is open as long as the process lives.
    let file = unsafe { BorrowedFd::borrow_raw(input.as_raw_fd()) };
    let length = File::from(file.try_clone_to_owned()?).metadata()?.len();
    io::stdout().write_all(&last_of(file, length)?.to_ne_bytes())?;
    Ok(true)
}
