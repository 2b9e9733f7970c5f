//! Where a standard stream of a child leads.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::transcript;

/// What [`Stdio`] is made of.
#[derive(Debug, Clone)]
pub(crate) enum Stream {
    Inherit,
    Null,
    Open(Arc<OwnedFd>),
    /// To the child's transcript.
    Captured,
}

/// Where a standard stream of a child leads.
#[derive(Debug)]
pub struct Stdio(Stream);

impl Stdio {
    /// The same place as in the parent.
    #[must_use]
    pub fn inherit() -> Self {
        Self(Stream::Inherit)
    }

    /// Nowhere: `/dev/null`.
    #[must_use]
    pub fn null() -> Self {
        Self(Stream::Null)
    }

    /// To where nobody has to read along, and whose end is in the error when the child fails:
    /// [`Error::stderr`](crate::Error::stderr). For standard error and standard output; if both are captured, their
    /// lines stand there in the order in which they were written.
    ///
    /// What is captured is shown nowhere else. It is what the child itself writes, what C code in it writes, and
    /// what programs write that it runs. It has nothing to do with [`capture`](fn@crate::capture).
    ///
    /// # Cost
    ///
    /// A write never waits for anybody: it goes into memory that has no name (Linux) or a temporary file without a
    /// name (macOS), one for each child. That is an open file here, and in a pool a system call for each task and
    /// ten looks a second by the supervisor, so that what was written long ago takes no room: about 1 MiB is kept,
    /// and what a child writes within those 100 ms. A single child's is looked after by its owner, whenever it
    /// waits for the child or asks about it; what a child writes meanwhile that is neither waited for nor asked
    /// about takes memory.
    ///
    /// # Differences between contexts
    ///
    /// On Inline nothing is captured. A worker of a pool on Spawn that prints before
    /// [`init`](crate::init) prints where its parent does.
    ///
    /// # Platform notes
    ///
    /// The file keeps its size when room is given back, so a limit for the size of files (`ulimit -f`) ends a
    /// child when it has written as much.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use offspring::{Context, ErrorKind, Stdio};
    ///
    /// fn main() -> offspring::Result<()> {
    ///     offspring::init();
    ///     let quiet = Context::Spawn.process().stderr(Stdio::captured());
    ///     let child = quiet.start((), |()| -> () {
    ///         eprintln!("no such model: tiny.bin");
    ///         std::process::abort();
    ///     })?;
    ///     let error = child.join().expect_err("it aborts");
    ///     assert_eq!(error.kind(), ErrorKind::Died);
    ///     assert_eq!(error.stderr(), Some("no such model: tiny.bin\n"));
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn captured() -> Self {
        Self(Stream::Captured)
    }

    /// How many bytes of what was captured an error has, at most: the last 4,096.
    pub const CAPTURED: usize = transcript::LIMIT;

    pub(crate) fn into_stream(self) -> Stream {
        self.0
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Stream::Open(Arc::new(fd)))
    }
}
