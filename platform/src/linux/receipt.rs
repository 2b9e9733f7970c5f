//! Descriptors on their way: the kernel keeps what is in a message, so nothing is to be done.

use std::io;
use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// Beside the descriptors of a message.
pub(crate) const EXTRA: usize = 0;

/// What would go along with a message.
#[derive(Debug)]
pub(crate) enum Receipt {}

pub(crate) fn for_message(_fds: &[BorrowedFd<'_>]) -> Option<Receipt> {
    None
}

impl Receipt {
    pub(crate) fn slip<'a>(&'a self, _carrier: BorrowedFd<'a>) -> io::Result<BorrowedFd<'a>> {
        match *self {}
    }

    pub(crate) fn sent(self) {
        match self {}
    }
}

pub(crate) fn give(_arrived: &mut Vec<OwnedFd>) {}

pub(crate) fn limited(timeout: Option<Duration>) -> Option<Duration> {
    timeout
}

pub(crate) fn mark() -> u64 {
    0
}

#[expect(clippy::unnecessary_wraps, reason = "macOS has something to do, and it can fail")]
pub(crate) fn settle(_messages: &Range<u64>, _limit: Duration) -> io::Result<()> {
    Ok(())
}
