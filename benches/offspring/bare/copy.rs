//! Many bytes to another process: copied into memory that both have mapped, or as a descriptor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::bell::Sleeper;
use super::memory::Region;
use super::passing;
use super::process::Child;
use crate::Outcome;
use crate::feeding::{ends, sum};

/// A child that sums what was copied into shared memory, warm on both sides.
#[derive(Debug)]
pub(crate) struct Copier {
    region: Region,
    child: Sleeper,
}

impl Copier {
    pub(crate) fn start(length: usize) -> Outcome<Self> {
        let region = Region::shared(length)?;
        let child = Sleeper::with(|_| {
            // SAFETY: the parent writes only before it asks and after it was answered.
            sum(unsafe { region.bytes() })
        })?;
        Ok(Self { region, child })
    }

    /// Copies `bytes`, which end while the child sums, and waits for their sum. In seconds.
    pub(crate) fn send(&self, bytes: Vec<u8>, expected: u64) -> Outcome<f64> {
        let begin = Instant::now();
        // SAFETY: the child sleeps until it is asked, and this process never looks at the bytes.
        unsafe { self.region.copy_in(&bytes) };
        let answer = self.child.ask_and(1, || drop(bytes))?;
        let took = begin.elapsed().as_secs_f64();
        assert_eq!(answer, expected, "nothing was lost");
        Ok(took)
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        self.child.stop()
    }
}

/// A child that maps each file it is sent.
#[derive(Debug)]
pub(crate) struct Mapper {
    socket: UnixStream,
    file: File,
    expected: u64,
    length: u64,
    child: Child,
}

impl Mapper {
    /// With a file that holds `bytes`, made before any clock runs.
    pub(crate) fn start(bytes: &[u8]) -> Outcome<Self> {
        let mut file = nameless_file()?;
        file.write_all(bytes)?;
        let (socket, theirs) = UnixStream::pair()?;
        let child = Child::fork(|| map_and_answer(&theirs).expect("the parent asks"))?;
        let (expected, length) = (ends(bytes), bytes.len() as u64);
        Ok(Self { socket, file, expected, length, child })
    }

    /// Sends the file and waits until the child has looked at both ends of it, `count` times. Seconds for
    /// each.
    pub(crate) fn send(&self, count: u32) -> Outcome<f64> {
        let begin = Instant::now();
        for _ in 0..count {
            passing::send(&self.socket, self.length, self.file.as_fd())?;
            let mut answer = [0; 8];
            (&self.socket).read_exact(&mut answer)?;
            assert_eq!(u64::from_ne_bytes(answer), self.expected, "the right bytes were mapped");
        }
        Ok(begin.elapsed().as_secs_f64() / f64::from(count))
    }

    pub(crate) fn stop(self) -> Outcome<()> {
        passing::send(&self.socket, 0, self.file.as_fd())?;
        self.child.wait()
    }
}

fn map_and_answer(mut socket: &UnixStream) -> Outcome<()> {
    loop {
        let (length, file) = passing::receive(socket)?;
        if length == 0 {
            return Ok(());
        }
        let region = Region::of_file(file.as_fd(), usize::try_from(length)?)?;
        // SAFETY: the file was written before it was sent, and never again.
        let answer = ends(unsafe { region.bytes() });
        socket.write_all(&answer.to_ne_bytes())?;
    }
}

/// Memory as a file.
#[cfg(target_os = "linux")]
pub(super) fn nameless_file() -> io::Result<File> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the name ends with a zero and is copied.
    let raw = unsafe { libc::memfd_create(c"bench".as_ptr(), libc::MFD_CLOEXEC) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this number for us.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// A file whose name is gone at once, where memory has no file of its own.
#[cfg(not(target_os = "linux"))]
pub(super) fn nameless_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("offspring-bench-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
