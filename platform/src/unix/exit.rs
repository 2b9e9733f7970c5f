//! Ways out of a child: at once, and never through its parent's frames or exit handlers.
//!
//! # Safety
//!
//! `_exit` ends the process and touches nothing. `on_exit` is given a function that does nothing else.

/// The status of a child that fell out of its frame, by a panic that nothing caught: a bug of ours.
pub const FELL_OUT: i32 = 113;

/// Ends this process now: no destructors, no exit handlers, no flushing of buffers.
pub fn now(status: i32) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(status) }
}

/// Ends the process when it is dropped. The first thing a forked child makes: whatever happens above
/// it, the child never unwinds into the frames it shares with its parent.
#[derive(Debug)]
pub struct Bomb(());

impl Bomb {
    /// Arms it.
    #[must_use]
    pub fn arm() -> Self {
        Self(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        now(FELL_OUT);
    }
}

/// Writes out what C has buffered in its streams.
pub fn flush_c() {
    // SAFETY: a null stream means all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// In a forked child: when user code calls `exit`, the handlers that the parent registered
/// (`atexit`, C++ static destructors) do not run.
///
/// Exit handlers run in reverse order, so one that is registered now runs before all that were
/// inherited, and after those that the child registers itself. glibc tells it the status. Elsewhere
/// nobody does, so there the parent's handlers run in a child that calls `process::exit`; children
/// that end in the ordinary way never run them.
///
/// Destructors of thread-locals are no such handlers: a child that calls `exit` runs those of the
/// thread that forked it.
pub fn skip_inherited_handlers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn on_exit(
                handler: extern "C" fn(i32, *mut libc::c_void),
                argument: *mut libc::c_void,
            ) -> i32;
        }
        extern "C" fn leave(status: i32, _argument: *mut libc::c_void) {
            flush_c();
            now(status);
        }
        // SAFETY: `on_exit(3)` stores both; `leave` does not use the argument.
        unsafe { on_exit(leave, std::ptr::null_mut()) };
    }
}
