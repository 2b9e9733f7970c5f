//! When the owner of a child is gone, the child ends.
//!
//! A pipe that nobody ever writes to. The owner keeps one end; in the child, a thread waits at the
//! other, and kills the process when it reads the end of the file: then the owner has died, or closed
//! its end. No `F_SETSIG` here, by which Linux does it without a thread.
//!
//! What follows from that:
//!
//! * A child with an armed lifeline has two threads. So it cannot fork: `threads::SingleThreaded`
//!   refuses, and a nested `Context::Fork` with it. What only one thread may touch, the environment for
//!   example, it may touch: `alone::Alone` knows the thread of the lifeline.
//! * A child that spins or blocks every signal ends; one that is stopped (SIGSTOP, Ctrl-Z) does not
//!   run its thread, and ends when somebody continues or kills it. Its supervisor kills it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::stat::fstat;

use crate::unix::descriptors;
use crate::unix::exit;
use crate::unix::fd::{PrivateFd, generation};
use crate::unix::poll::{self, Interest};
use crate::unix::signal::{self, Blocked, Signal};
use crate::unix::wait::Pid;

/// The owner's end. While it is open, the child lives; dropping it ends the child.
#[derive(Debug)]
pub struct Keeper(#[expect(dead_code, reason = "held, never used")] PrivateFd);

/// Whether an armed lifeline is a thread of the child, which then cannot be forked.
pub const IS_A_THREAD: bool = true;

/// Since which generation the thread runs, plus one; a forked child has no copy of it.
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Whether an armed lifeline is a thread of this process now.
pub(crate) fn is_running_thread() -> bool {
    RUNNING.load(Ordering::SeqCst) == generation() + 1
}

/// What happens to the child when its owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// It is killed.
    Kill,
    /// It is continued, in case it was stopped, so that it can do what it does at the end of its owner.
    Wake,
}

/// The thread reads one byte and ends the process.
const STACK: usize = 64 << 10;

/// Makes a lifeline: the owner's end, and the child's.
///
/// # Errors
///
/// When the process or the system has no descriptor left.
pub fn new() -> io::Result<(Keeper, PrivateFd)> {
    let (end, keeper) = descriptors::pipe()?;
    Ok((Keeper(keeper), end))
}

/// Ties `child` to the lifeline of which `end` is the child's end.
///
/// Does nothing here: nobody but the child itself can do it, in [`arm`]. A child whose owner dies
/// before finds the lifeline cut when it gets there.
///
/// # Errors
///
/// None on this system.
pub fn tie(_end: BorrowedFd<'_>, _child: Pid, _consequence: Consequence) -> io::Result<()> {
    Ok(())
}

/// In a child: ties it to the lifeline for the rest of its life. The end stays open for ever.
///
/// Does not return when the owner is gone already.
///
/// # Errors
///
/// When no thread can be started.
pub fn arm(end: PrivateFd) -> io::Result<()> {
    if is_cut(end.borrow()?)? {
        exit::now(0);
    }
    let end = File::from(end.into_owned()?);
    let before = what_it_is(&end);
    // The thread inherits the mask: signals are for the threads of the program.
    let blocked = Blocked::all()?;
    RUNNING.store(generation() + 1, Ordering::SeqCst);
    let started = std::thread::Builder::new()
        .name("offspring-lifeline".into())
        .stack_size(STACK)
        .spawn(move || end_with_owner(end, before));
    drop(blocked);
    if started.is_err() {
        RUNNING.store(0, Ordering::SeqCst);
    }
    started.map(drop)
}

/// In a supervisor: keeps the end open, so that the owner's end means what it does elsewhere.
///
/// A supervisor that is stopped stays stopped when its owner is gone: nothing in the kernel would
/// continue it. One that runs finds out by its owner's socket.
///
/// # Errors
///
/// In a forked child that did not keep this descriptor.
pub fn arm_to_wake(end: PrivateFd) -> io::Result<()> {
    end.borrow()?;
    std::mem::forget(end);
    Ok(())
}

fn end_with_owner(mut end: File, before: Option<Kind>) {
    loop {
        match end.read(&mut [0]) {
            // On macOS a read also ends like this when another thread closes the descriptor (xnu, `pipe_read`,
            // and `pipe_drain`, which `fileproc_drain` calls).
            Ok(_) if what_it_is(&end) == before => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The program has closed the descriptor, as one that detaches itself does. Linux forgets
            // the lifeline then, so we do. The number is not ours any more: to close it would be to close
            // somebody else's, or, in a build with std's checks, to abort.
            _ => {
                RUNNING.store(0, Ordering::SeqCst);
                std::mem::forget(end);
                return;
            }
        }
    }
    if let Ok(own) = Pid::try_from(std::process::id()) {
        // The same end as on Linux; a status of zero could be taken for success.
        let _ = signal::send(own, Signal::Kill);
    }
    exit::now(exit::FELL_OUT);
}

/// See [`what_it_is`].
type Kind = (libc::mode_t, libc::dev_t, libc::ino_t);

/// What tells the pipe from whatever has its number after it was closed. `None` if nothing has.
fn what_it_is(end: &File) -> Option<Kind> {
    fstat(end).ok().map(|stat| (stat.st_mode, stat.st_dev, stat.st_ino))
}

fn is_cut(end: BorrowedFd<'_>) -> io::Result<bool> {
    let mut interest = [Interest::readable(end)];
    poll::wait(&mut interest, Some(Duration::ZERO))?;
    Ok(interest[0].can_read())
}
