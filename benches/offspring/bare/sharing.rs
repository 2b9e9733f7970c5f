//! A table as a file in memory that bare children map: forked, executed, or made by the bare fork server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::copy::nameless_file;
use super::memory::Region;
use super::passing;
use super::process::Child;
use super::server::Server;
use crate::Outcome;
use crate::sharing::sum;

const BARE_READER: &str = "--bare-reader";
/// Of a process that runs this program twice as a reader, instead of its parent.
const BARE_BETWEEN: &str = "--bare-between";

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

/// And reads all of it twice; the seconds of each pass.
pub(super) fn passes_of(file: BorrowedFd<'_>, length: u64, expected: u64) -> Outcome<[f64; 2]> {
    let region = map(file, length)?;
    // SAFETY: nobody writes to a table that was made.
    let bytes = unsafe { region.bytes() };
    Ok(crate::sharing::read_twice(bytemuck::cast_slice(bytes), expected))
}

/// How a bare child comes to be, and to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Forked, with the mapping inherited.
    Fork,
    /// This program run again, with the file as its standard input, which it maps.
    Exec,
    /// A child of the bare fork server, which receives the file and maps it.
    Server,
}

/// A child that tells what it saw.
struct Reader {
    answer: File,
    end: End,
}

/// Who collects it.
enum End {
    Forked(Child),
    Executed(std::process::Child),
    OfServer,
}

impl BareTable {
    /// Reserved at once and filled in place, as a [`SharedSlice`](offspring::SharedSlice) is: what a file is made of
    /// can matter to those who read it.
    pub(crate) fn copy_of(words: &[u64]) -> Outcome<Self> {
        let bytes = bytemuck::cast_slice::<u64, u8>(words);
        let file = nameless_file()?;
        file.set_len(bytes.len() as u64)?;
        reserve(&file, bytes.len())?;
        let writable = Region::of_file_to_fill(file.as_fd(), bytes.len())?;
        // SAFETY: nobody else has this file.
        unsafe { writable.copy_in(bytes) };
        let region = Region::of_file(file.as_fd(), bytes.len())?;
        Ok(Self { file, region, length: bytes.len() })
    }

    /// A child that looks at the last element and tells it; without waiting for anything.
    fn start(&self, way: Way, server: &Server) -> Outcome<Reader> {
        Ok(match way {
            Way::Fork => {
                let (ours, mut theirs) = UnixStream::pair()?;
                let child = Child::fork(|| {
                    let answer = last(&self.region).expect("it is not empty");
                    theirs.write_all(&answer.to_ne_bytes()).expect("somebody listens");
                })?;
                Reader { answer: OwnedFd::from(ours).into(), end: End::Forked(child) }
            }
            Way::Exec => self.run_again(BARE_READER)?,
            Way::Server => {
                let answer = server.ask_for_last(self.file.as_fd(), self.length as u64)?;
                Reader { answer: OwnedFd::from(answer).into(), end: End::OfServer }
            }
        })
    }

    /// This program, with the table as its input, and its output to read from.
    fn run_again(&self, role: &str) -> Outcome<Reader> {
        let mut program = this_program(role)?;
        let mut child = program.stdin(self.file.try_clone()?).stdout(Stdio::piped()).spawn()?;
        let answer = child.stdout.take().ok_or("the output is a pipe")?;
        Ok(Reader { answer: OwnedFd::from(answer).into(), end: End::Executed(child) })
    }

    /// Until the first of two children by exec has told what it saw, whose parent is a process between, by exec as
    /// well; their end is not in it. In seconds.
    pub(crate) fn first_by_exec_of_exec(&self, expected: u64) -> Outcome<f64> {
        let begin = Instant::now();
        let mut readers = self.run_again(BARE_BETWEEN)?;
        readers.answers(expected)?;
        let took = begin.elapsed().as_secs_f64();
        readers.answers(expected)?;
        readers.end.collect()?;
        Ok(took)
    }

    /// Its last element, where it is mapped.
    pub(super) fn last(&self) -> Outcome<u64> {
        last(&self.region)
    }

    /// To a child that was not forked from this process.
    pub(super) fn send(&self, socket: &UnixStream) -> Outcome<()> {
        passing::send(socket, self.length as u64, self.file.as_fd())
    }

    /// Until a child has looked at the table, told what it saw, and is collected. In seconds.
    pub(crate) fn first_of_one(
        &self,
        way: Way,
        server: &mut Server,
        expected: u64,
    ) -> Outcome<f64> {
        let begin = Instant::now();
        let mut reader = self.start(way, server)?;
        reader.answers(expected)?;
        reader.collect(server)?;
        Ok(begin.elapsed().as_secs_f64())
    }

    /// Until the first of two children has told what it saw, and until both have; their end is not in it. In seconds.
    pub(crate) fn of_two(&self, way: Way, server: &mut Server, expected: u64) -> Outcome<[f64; 2]> {
        let begin = Instant::now();
        let mut first = self.start(way, server)?;
        let mut second = self.start(way, server)?;
        first.answers(expected)?;
        let one = begin.elapsed().as_secs_f64();
        second.answers(expected)?;
        let both = begin.elapsed().as_secs_f64();
        first.collect(server)?;
        second.collect(server)?;
        Ok([one, both])
    }

    /// A child of the bare fork server receives the file, maps it and reads all of it twice: the seconds of each
    /// pass, and of everything, from asking until the child is collected.
    pub(crate) fn passes(&self, server: &mut Server, expected: u64) -> Outcome<[f64; 3]> {
        let begin = Instant::now();
        let mut child = server.ask_to_read(self.file.as_fd(), self.length as u64)?;
        child.write_all(&expected.to_ne_bytes())?;
        let mut times = [0.0; 2];
        for time in &mut times {
            let mut bytes = [0; 8];
            child.read_exact(&mut bytes)?;
            *time = f64::from_ne_bytes(bytes);
        }
        server.collected()?;
        Ok([times[0], times[1], begin.elapsed().as_secs_f64()])
    }

    /// The sum of all, so that both tables are known to be the same.
    pub(crate) fn sum(&self) -> u64 {
        // SAFETY: nobody writes to a table that was made.
        sum(bytemuck::cast_slice(unsafe { self.region.bytes() }))
    }
}

/// Room for all of it, where the system has such a call.
fn reserve(file: &File, length: usize) -> Outcome<()> {
    #[cfg(target_os = "linux")]
    {
        let length = libc::off_t::try_from(length)?;
        // SAFETY: the call takes integers.
        let number = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if number != 0 {
            return Err(io::Error::from_raw_os_error(number).into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, length);
    Ok(())
}

impl End {
    /// One that this process has started.
    fn collect(self) -> Outcome<()> {
        match self {
            Self::Forked(child) => child.wait(),
            Self::Executed(mut child) => match child.wait()?.success() {
                true => Ok(()),
                false => Err("a bare reader failed".into()),
            },
            Self::OfServer => Err("the server collects its children".into()),
        }
    }
}

impl Reader {
    fn answers(&mut self, expected: u64) -> Outcome<()> {
        let mut bytes = [0; 8];
        self.answer.read_exact(&mut bytes)?;
        assert_eq!(u64::from_ne_bytes(bytes), expected, "the right table was mapped");
        Ok(())
    }

    fn collect(self, server: &mut Server) -> Outcome<()> {
        match self.end {
            End::OfServer => server.collected(),
            own => own.collect(),
        }
    }
}

/// This program, to be run in another role.
fn this_program(role: &str) -> Outcome<Command> {
    let mut program = Command::new("/proc/self/exe");
    if !cfg!(target_os = "linux") {
        program = Command::new(std::env::current_exe()?);
    }
    program.arg(role);
    Ok(program)
}

/// If this process is a bare reader: maps its standard input and writes its last element. If it is one between: starts two
/// of these.
pub(crate) fn read_if_asked() -> Outcome<bool> {
    match std::env::args_os().nth(1) {
        Some(role) if role == BARE_READER => {}
        Some(role) if role == BARE_BETWEEN => {
            let readers =
                [this_program(BARE_READER)?.spawn()?, this_program(BARE_READER)?.spawn()?];
            for mut reader in readers {
                assert!(reader.wait()?.success(), "it ends well");
            }
            return Ok(true);
        }
        _ => return Ok(false),
    }
    let input = io::stdin();
    // SAFETY: standard input is open as long as the process lives.
    let file = unsafe { BorrowedFd::borrow_raw(input.as_raw_fd()) };
    let length = File::from(file.try_clone_to_owned()?).metadata()?.len();
    io::stdout().write_all(&last_of(file, length)?.to_ne_bytes())?;
    Ok(true)
}
