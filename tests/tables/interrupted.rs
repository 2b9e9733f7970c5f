//! Signals that come all the time, as a profiler's timer sends them.
//!
//! When any signal comes, many kernels end `fallocate` in memory and undo what it did. The one here may be newer (6.18
//! does not), so this program does the same: its own `posix_fallocate` stands before the C library's.

use std::cell::Cell;

use offspring::{Context, SharedSlice};

use crate::harness::Outcome;

thread_local! {
    /// How many signals this thread has handled.
    static HANDLED: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn count(_signal: libc::c_int) {
    HANDLED.set(HANDLED.get() + 1);
}

/// Reserves memory, and undoes that if a signal was handled meanwhile. Takes and returns what the C library's does.
#[unsafe(no_mangle)]
extern "C" fn posix_fallocate(fd: i32, from: libc::off_t, length: libc::off_t) -> i32 {
    let before = HANDLED.get();
    // SAFETY: the call takes integers.
    if unsafe { libc::fallocate(fd, 0, from, length) } != 0 {
        return std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    if HANDLED.get() == before {
        return 0;
    }
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: as above.
    unsafe { libc::fallocate(fd, hole, from, length) };
    libc::EINTR
}

/// Has a signal come so often; never for zero.
fn signals_every(microseconds: libc::suseconds_t) {
    let handler = count as extern "C" fn(libc::c_int);
    // SAFETY: the handler changes a number of its own thread.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let each = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: `timer` is valid, and the old one is not asked for.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// Each is made in more time than passes between two signals.
#[offspring::test(contexts(Inline), timeout = "2min")]
fn large_tables_while_signals_come(_: Context) -> Outcome {
    const BYTES: usize = 300 << 20;
    signals_every(1000);
    for huge in [false, true] {
        let mut table = SharedSlice::<u8>::builder().huge_pages(huge).zeroed(BYTES)?;
        table[BYTES - 1] = 1;
        let table = table.freeze()?;
        assert_eq!((table.len(), table[0], table[BYTES - 1]), (BYTES, 0, 1));
    }
    let handled = HANDLED.get();
    assert!(handled > 0, "signals came, and were not lost");
    signals_every(0);
    Ok(())
}
