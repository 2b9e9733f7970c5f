//! Forks that the program makes itself, or a library of it: the copy leaves what is offspring's to its parent.
//!
//! Else it would hold sockets and lifelines of children for as long as it lives: nobody would see that the parent has
//! gone, and objects that it drops would end the parent's children. The ends of the program's own queues and pipes
//! it has, as it has files. [`fork`](super::fork) sees to its own children, and
//! `posix_spawn` calls no handlers, whose children keep nothing, as all of it is closed on exec.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::sync::{MutexGuard, OnceLock};
use std::time::Duration;

use super::fd;

type List = MutexGuard<'static, BTreeSet<RawFd>>;

thread_local! {
    /// From before a fork until after it, on both sides: no other thread holds it in the copy then. By hand, so that
    /// no destructor has to be registered.
    static HELD: Cell<Option<ManuallyDrop<List>>> = const { Cell::new(None) };
    /// This thread is in a fork of ours.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Sees to all forks from now on.
///
/// # Errors
///
/// What `pthread_atfork(3)` reports: no memory.
pub(super) fn watch() -> io::Result<()> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    let register = || {
        // SAFETY: the handlers are sound wherever a fork is: they try to take a lock, without waiting for ever, and
        // close descriptors that nobody uses any more.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) }
    };
    match *REGISTERED.get_or_init(register) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// Forks, and leaves to the caller what is to be done in the child.
pub(super) fn by_us<T>(fork: impl FnOnce() -> T) -> T {
    OURS.set(true);
    let forked = fork();
    OURS.set(false);
    forked
}

/// Other threads have the list for moments only. Who does not give it back is this very thread: it forks in a handler of a
/// signal that came while it had the list, or in a handler like this one. Nothing is closed in such a copy.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_micros(50);

extern "C" fn before() {
    if OURS.get() {
        return;
    }
    for _ in 0..TRIES {
        if let Some(list) = fd::try_private() {
            HELD.set(Some(ManuallyDrop::new(list)));
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

extern "C" fn in_parent() {
    drop(held());
}

extern "C" fn in_child() {
    if OURS.get() {
        return;
    }
    fd::enter_copy();
    if let Some(mut list) = held() {
        fd::leave_to_parent(&mut list);
    }
}

fn held() -> Option<List> {
    HELD.take().map(ManuallyDrop::into_inner)
}
