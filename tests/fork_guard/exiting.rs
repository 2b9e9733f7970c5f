//! A thread that was joined, and takes long to be gone: it must not be what refuses a fork.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::thread;

use offspring::Context;

use crate::evidence::Evidence;
use crate::harness::{Case, Outcome};
use crate::{attempt, cases};

pub(crate) const CASES: &[Case] =
    cases![on &[Context::Fork] => as_soon_as_a_slow_thread_was_joined];

/// So much takes the kernel some tens of milliseconds to free.
const SIZE: libc::off_t = 768 << 20;

/// The kernel wakes the joiner before it closes what the thread alone has open, and only then takes the
/// thread off its list.
fn as_soon_as_a_slow_thread_was_joined(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    for round in 0..3 {
        thread::spawn(own_much).join().expect("the thread ends")?;
        attempt().unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    evidence.assert_forks(3);
    Ok(())
}

/// Leaves this thread with a table of descriptors of its own, and in that a large object.
fn own_much() -> io::Result<()> {
    let checked =
        |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: the call takes an integer.
    checked(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    // SAFETY: the name is a C string.
    let fd = checked(unsafe { libc::memfd_create(c"much".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: it was just made, and is nobody else's.
    let object = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the call takes integers.
    checked(unsafe { libc::fallocate(fd, 0, 0, SIZE) })?;
    // The end of the thread closes it.
    std::mem::forget(object);
    Ok(())
}
