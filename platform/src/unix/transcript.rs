//! What a process writes to a standard stream, in a file without a name: nobody has to read along, and the end of
//! it outlives the writer.
//!
//! A pipe would have to be read, or it stops its writer; and what it keeps when nobody reads is the beginning.
//! Here a write never waits, whoever makes it: Rust, C, or a program that the process runs. The file is open for
//! appending, so no writer overwrites another. What is old is given back by punching holes: nothing moves, so
//! nothing is lost that is written meanwhile.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::fstat;
use nix::sys::uio::pread;
use nix::unistd::ftruncate;

use super::fd::{PrivateFd, duplicate};
use super::uninterrupted;
use crate::unix::spool::Spool;

/// So much of the end is never given back.
pub const KEPT: u64 = 256 << 10;
/// Giving back less than this is not worth a call.
const WORTHWHILE: u64 = 512 << 10;
/// Where holes may begin, on every file system that knows them.
const BLOCK: u64 = 4 << 10;

/// The file. All processes that have it see the same.
#[derive(Debug)]
pub struct Transcript {
    fd: PrivateFd,
    /// What lies before this was given back.
    released: u64,
}

impl Transcript {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left, or no room for a file.
    pub fn new() -> io::Result<Self> {
        let spool = Spool::new()?;
        fcntl(spool.as_fd(), FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Self::of(spool.as_fd())
    }

    /// One more way to the file that this descriptor leads to.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self::kept(PrivateFd::new(duplicate(fd)?)?))
    }

    /// Takes over one that was received, or kept in a fork.
    #[must_use]
    pub fn kept(fd: PrivateFd) -> Self {
        Self { fd, released: 0 }
    }

    /// The descriptor.
    ///
    /// # Errors
    ///
    /// In a forked child, which has none of its parent's.
    pub fn borrow(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.borrow()
    }

    /// A descriptor to write to.
    ///
    /// # Errors
    ///
    /// When there is none left, and as [`Transcript::borrow`].
    pub fn to_send(&self) -> io::Result<OwnedFd> {
        duplicate(self.borrow()?)
    }

    /// Where the next write will begin.
    ///
    /// # Errors
    ///
    /// As [`Transcript::borrow`].
    pub fn end(&self) -> io::Result<u64> {
        let stat = fstat(self.borrow()?)?;
        u64::try_from(stat.st_size).map_err(io::Error::other)
    }

    /// The last bytes of those from `from` to `to`, `most` at most.
    ///
    /// # Errors
    ///
    /// What the system reports, and as [`Transcript::borrow`].
    pub fn last(&self, from: u64, to: u64, most: usize) -> io::Result<Vec<u8>> {
        let length = usize::try_from(to.saturating_sub(from)).unwrap_or(most).min(most);
        let start = to - length as u64;
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let place = libc::off_t::try_from(start + filled as u64).map_err(io::Error::other)?;
            let fd = self.borrow()?;
            let into = &mut bytes[filled..];
            match uninterrupted(|| pread(fd, into, place).map_err(io::Error::from))? {
                // Somebody cut it off meanwhile.
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Gives back the room of all but the end, when it has become much.
    ///
    /// # Errors
    ///
    /// What the system reports, and as [`Transcript::borrow`].
    pub fn trim(&mut self) -> io::Result<()> {
        let end = self.end()?;
        if self.released > end {
            // Whoever writes may also cut off what is there.
            self.released = 0;
        }
        let to = end.saturating_sub(KEPT) / BLOCK * BLOCK;
        if to < self.released + WORTHWHILE {
            return Ok(());
        }
        // From the beginning: it may have been cut off and have grown again since the last time.
        if Spool::received(self.to_send()?).release(0, to).is_err() {
            // Not every file system can make holes. Better to lose the end than to fill the disk.
            ftruncate(self.borrow()?, 0)?;
        }
        self.released = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_end_is_kept_and_the_rest_given_back() {
        let mut transcript = Transcript::new().unwrap();
        let mut writer = File::from(transcript.to_send().unwrap());
        let piece = [b'x'; 64 << 10];
        for _ in 0..256 {
            writer.write_all(&piece).unwrap();
            transcript.trim().unwrap();
        }
        writer.write_all(b"the end").unwrap();
        assert_eq!(transcript.end().unwrap(), (16 << 20) + 7);
        let used = writer.metadata().unwrap().blocks() * 512;
        assert!((KEPT..(KEPT + 2 * WORTHWHILE)).contains(&used), "{used} bytes in use");
        assert_eq!(transcript.last(0, transcript.end().unwrap(), 9).unwrap(), b"xxthe end");
        assert_eq!(transcript.last(16 << 20, (16 << 20) + 3, 9).unwrap(), b"the");
    }

    #[test]
    fn whoever_writes_may_cut_it_off() {
        let mut transcript = Transcript::new().unwrap();
        let mut writer = File::from(transcript.to_send().unwrap());
        writer.write_all(&vec![b'x'; 2 << 20]).unwrap();
        transcript.trim().unwrap();
        writer.set_len(0).unwrap();
        transcript.trim().unwrap();
        writer.write_all(b"anew").unwrap();
        assert_eq!(transcript.last(0, 4, 100).unwrap(), b"anew");
        assert_eq!(transcript.last(0, 100, 100).unwrap(), b"anew");
        writer.write_all(&vec![b'x'; 2 << 20]).unwrap();
        transcript.trim().unwrap();
        assert!(writer.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
