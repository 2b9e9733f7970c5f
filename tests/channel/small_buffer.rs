//! Messages with descriptors where the system gives a queue's socket the smallest buffer that there is, or its user few
//! descriptors on their way.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use offspring::channel::{Receiver, Selector, Sender, queue};
use offspring::{Context, ErrorKind, Sendable, SharedSlice};

use crate::harness::scarcity::limited;
use crate::harness::{Case, Outcome, PROCESSES as ISOLATED};

pub(crate) const CASES: &[Case] = crate::cases![all_descriptors_of_a_message];

pub(crate) const PROCESSES: &[Case] = crate::cases![on ISOLATED =>
    more_messages_than_fit,
    more_on_their_way_than_a_user_may_have,
];

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

type Tables = Vec<SharedSlice<u64>>;

/// A queue on a system whose `net.core.wmem_default` is as small as it can be.
fn small(
    capacity: usize,
) -> Result<(Sender<Tables>, Receiver<Tables>), Box<dyn std::error::Error>> {
    let ends = queue(capacity)?;
    let mut shrunk = 0;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_string_lossy().parse()?;
        // SAFETY: open, or, if it was that of the directory, not used for anything but asking what it is.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        shrunk += u32::from(kind(socket) == Some(libc::SOCK_SEQPACKET) && shrink(socket)?);
    }
    assert_eq!(shrunk, 2, "both ends of the queue's socket");
    Ok(ends)
}

/// `None`: no socket.
fn kind(socket: BorrowedFd<'_>) -> Option<i32> {
    let (mut kind, mut size) = (0i32, size_of::<i32>() as libc::socklen_t);
    let (to, size) = ((&raw mut kind).cast(), &raw mut size);
    // SAFETY: `kind` and `size` outlive the call, and `size` says how large `kind` is.
    let done =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TYPE, to, size) };
    (done == 0).then_some(kind)
}

/// The kernel makes it the least that it allows: room for half a dozen short messages.
fn shrink(socket: BorrowedFd<'_>) -> std::io::Result<bool> {
    let nothing = 0i32;
    let (from, size) = ((&raw const nothing).cast(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: `nothing` outlives the call, and `size` says how large it is.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, from, size)
    };
    if done == 0 { Ok(true) } else { Err(std::io::Error::last_os_error()) }
}

fn tables(first: u64, count: u64) -> Tables {
    (first..first + count).map(|n| SharedSlice::from_slice(&[n]).unwrap()).collect()
}

fn all_descriptors_of_a_message(context: Context) -> Outcome {
    let (sender, receiver) = small(4)?;
    // It waits for nobody: an empty queue takes any message.
    let child = context.process().start(sender, |sender: Sender<Tables>| {
        sender.try_send(tables(0, 250)).map_err(|error| error.to_string())
    })?;
    assert_eq!(child.join()?, Ok(()));
    let all = receiver.recv()?;
    assert!(all.iter().map(|table| table[0]).eq(0..250), "{} came", all.len());
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}

fn more_messages_than_fit(context: Context) -> Outcome {
    let (sender, receiver) = small(1000)?;
    let mut sent = 0;
    let refused = loop {
        match sender.try_send(tables(sent, 1)) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Busy, "after {sent}: {refused}");
    assert!((1..100).contains(&sent), "{sent} messages of a table fit");
    // There is room for more messages, and none for descriptors until one is taken.
    let mut selector = Selector::new();
    selector.sender(&sender);
    assert_eq!(selector.wait_timeout(SHORT)?, None, "after {sent}");
    assert_eq!(receiver.recv()?[0][0], 0);
    assert_eq!(selector.wait_timeout(LONG)?, Some(0), "after {sent}");
    drop(selector);
    let child = context.process().start(receiver, |receiver: Receiver<Tables>| {
        receiver.iter().map(|tables| tables.unwrap()[0][0]).collect::<Vec<_>>()
    })?;
    sender.send(refused.into_message())?;
    for n in sent + 1..300 {
        sender.send(tables(n, 1 + n % 2))?;
    }
    drop(sender);
    let came = child.join()?;
    assert!(came.iter().copied().eq(1..300), "{sent} fitted, came: {came:?}");
    Ok(())
}

/// Those of a user may be as many as its limit for open ones, unless it is root.
fn more_on_their_way_than_a_user_may_have(context: Context) -> Outcome {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        crate::harness::not_tested("only root can become a user who has nothing else on its way");
        return Ok(());
    }
    let child = context.process().start((), |()| {
        let user = 1_000_000 + std::process::id();
        // SAFETY: the call takes integers.
        assert_eq!(unsafe { libc::setresuid(user, user, user) }, 0);
        limited(libc::RLIMIT_NOFILE, 128, as_many_as_allowed).map_err(|error| error.to_string())
    })?;
    assert_eq!(child.join()?, Ok(()));
    Ok(())
}

fn as_many_as_allowed() -> Outcome {
    let (sender, receiver) = queue::<Sendable<File>>(1000)?;
    let file = || File::open("/dev/null").map(Sendable::new);
    let mut sent = 0;
    let refused = loop {
        match sender.try_send(file()?) {
            Ok(()) => sent += 1,
            Err(refused) => break refused,
        }
    };
    if refused.kind() != ErrorKind::Busy || !(100..200).contains(&sent) {
        return Err(format!("after {sent}: {refused}").into());
    }
    let late = sender.send_timeout(refused.into_message(), SHORT).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut, "{late}");
    let mut selector = Selector::new();
    selector.sender(&sender);
    assert_eq!(selector.wait_timeout(SHORT)?, None, "after {sent}");
    receiver.recv()?;
    receiver.recv()?;
    assert_eq!(selector.wait_timeout(LONG)?, Some(0));
    sender.send(late.into_message())?;
    drop(selector);
    drop(sender);
    for n in 2..=sent {
        receiver.recv().map_err(|error| format!("{n} of {sent}: {error}"))?;
    }
    assert_eq!(receiver.recv().unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}
