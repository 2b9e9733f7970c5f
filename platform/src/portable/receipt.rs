//! Sockets on their way: their sender keeps them open until they have arrived.
//!
//! When any local socket is closed, macOS looks for those that are in messages only and that nobody will receive. It
//! looks at the messages of sockets that are in messages themselves, and not at those of all others; so a socket that
//! its sender has closed is shut down on its way, if it happens just then (xnu, `unp_gc` in bsd/kern/uipc_usrreq.c, whose
//! list `fmsghead` has only what is in messages). Python and Chromium met it, too (bugs.python.org, issue 14669).
//!
//! So whoever sends a socket keeps a duplicate, and sends a slip along: one end of a pipe, to which that does not
//! happen. Whoever receives the message closes the slip, as the kernel does with those of messages that are lost. The sender sees
//! the end of the pipe, and closes its duplicate: when it next sends, or waits for anything, which is why waits of such a
//! process are short. Forked children have neither.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::unix::descriptors;
use crate::unix::fd::{PrivateFd, duplicate};
use crate::unix::poll::{self, Interest};
use crate::unix::socket::is_socket;

/// Beside the descriptors of a message: the slip.
pub(crate) const EXTRA: usize = 1;

/// How long a process waits without a look at what has arrived.
const SLICE: Duration = Duration::from_millis(20);
/// How long a thread waits where nothing is on its way: another thread may send something meanwhile.
const LONG_SLICE: Duration = Duration::from_secs(1);

/// What is kept for one message.
#[derive(Debug)]
struct Kept {
    number: u64,
    end: PrivateFd,
    #[expect(dead_code, reason = "held, never used")]
    sockets: Vec<PrivateFd>,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
/// How many there are, for those who have none: nearly all, nearly always.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: AtomicU64 = AtomicU64::new(0);

fn kept() -> MutexGuard<'static, Vec<Kept>> {
    // Nothing that can panic runs under this lock.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What goes along with a message that has sockets.
#[derive(Debug)]
pub(crate) struct Receipt(Option<(Kept, PrivateFd)>);

/// A receipt, if there is a socket among `fds`.
pub(crate) fn for_message(fds: &[BorrowedFd<'_>]) -> Option<Receipt> {
    let sockets: Vec<_> = fds.iter().filter(|fd| is_socket(**fd).is_ok_and(|is| is)).collect();
    if sockets.is_empty() {
        return None;
    }
    let_go();
    let make = || {
        let keep = |fd: &&BorrowedFd<'_>| PrivateFd::new(duplicate(**fd)?);
        let sockets = sockets.iter().map(keep).collect::<io::Result<_>>()?;
        let (end, slip) = descriptors::pipe()?;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        Ok::<_, io::Error>((Kept { number, end, sockets }, slip))
    };
    // Without a free descriptor nothing is kept: the message is mostly received before any socket is closed, and
    // who has no descriptor left cannot wait for better times.
    Some(Receipt(make().ok()))
}

impl Receipt {
    /// Goes behind the descriptors of the message, which takes the way of `carrier`: that itself if there is no slip.
    pub(crate) fn slip<'a>(&'a self, carrier: BorrowedFd<'a>) -> io::Result<BorrowedFd<'a>> {
        self.0.as_ref().map_or(Ok(carrier), |(_, slip)| slip.borrow())
    }

    /// The message was sent. If it was not, the receipt is dropped, and with it what is kept.
    pub(crate) fn sent(self) {
        let Some((kept_for_it, _slip)) = self.0 else { return };
        let mut list = kept();
        list.push(kept_for_it);
        COUNT.store(list.len(), Ordering::Relaxed);
    }
}

/// Gives the receipt, if the descriptors of one message came with one.
pub(crate) fn give(arrived: &mut Vec<OwnedFd>) {
    if arrived.iter().any(|fd| is_socket(fd.as_fd()).is_ok_and(|is| is)) {
        arrived.pop();
    }
}

/// Closes what has arrived. Returns how long this thread may wait, which wanted to wait for `timeout`.
pub(crate) fn limited(timeout: Option<Duration>) -> Option<Duration> {
    let limit = if let_go() == 0 { LONG_SLICE } else { SLICE };
    Some(timeout.map_or(limit, |timeout| timeout.min(limit)))
}

/// Closes what has arrived, and returns for how many messages something is kept still.
fn let_go() -> usize {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    let mut list = kept();
    // In a process that is a fork of the one that sent them, there is nothing to watch.
    list.retain(|one| one.end.borrow().is_ok());
    let ends = list.iter().filter_map(|one| one.end.borrow().ok());
    let mut interests: Vec<_> = ends.map(Interest::hang_up).collect();
    // An error says nothing; the next look will.
    if poll::look(&mut interests).is_ok() {
        let mut gone = interests.iter().map(Interest::has_hung_up).collect::<Vec<_>>().into_iter();
        list.retain(|_| !gone.next().unwrap_or(false));
    }
    COUNT.store(list.len(), Ordering::Relaxed);
    list.len()
}

/// What was sent before this, for [`settle`].
pub(crate) fn mark() -> u64 {
    NUMBERS.load(Ordering::Relaxed)
}

/// Waits until the sockets of these messages have arrived, or were lost with them; for `limit` at most.
pub(crate) fn settle(messages: &Range<u64>, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now().checked_add(limit);
    while let_go() > 0 && kept().iter().any(|one| messages.contains(&one.number)) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        // Never without a limit: it may have arrived by now.
        poll::wait(&mut [], Some(left.map_or(SLICE, |left| left.min(SLICE))))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unix::socket;

    #[test]
    fn a_socket_is_kept_until_it_has_arrived() {
        let since = mark();
        let on_their_way = || kept().iter().filter(|one| one.number >= since).count();
        let (from, to) = descriptors::socket_pair().unwrap();
        let (sent, peer) = descriptors::socket_pair().unwrap();
        assert_eq!(
            socket::send(from.borrow().unwrap(), b"x", &[sent.borrow().unwrap()]).unwrap(),
            1
        );
        drop(sent);
        assert!(!poll::has_hung_up(peer.borrow().unwrap()).unwrap());
        assert_eq!(on_their_way(), 1, "ours, while it is on its way");
        let mut arrived = Vec::new();
        let read = socket::receive(to.borrow().unwrap(), &mut [0; 8], &mut arrived).unwrap();
        assert_eq!((read, arrived.len()), (1, 1), "the slip is not among them");
        settle(&(since..u64::MAX), Duration::MAX).unwrap();
        assert_eq!(on_their_way(), 0, "it has arrived");
        drop(arrived);
        assert!(poll::has_hung_up(peer.borrow().unwrap()).unwrap(), "nobody has it any more");
        // One that is lost is not waited for.
        let (lost, peer) = descriptors::socket_pair().unwrap();
        socket::send(from.borrow().unwrap(), b"x", &[lost.borrow().unwrap()]).unwrap();
        drop((lost, to));
        settle(&(since..u64::MAX), Duration::MAX).unwrap();
        assert!(poll::has_hung_up(peer.borrow().unwrap()).unwrap());
    }
}
