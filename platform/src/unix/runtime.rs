//! What std does before `main`, for a process that never gets there.
//!
//! The constructor of `offspring::test` enters before std's runtime has started. std works there, but for
//! what the runtime would have set up: standard descriptors that are open, no death by SIGPIPE, and a message
//! for a stack overflow. That is made up for here.
//!
//! # Safety
//!
//! The handler calls `write`, `sigaction` and `abort` only, which may be called at any instruction
//! (signal-safety(7)), and reads two atomics. Its stack is mapped for it, and never unmapped.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{checked, fd, signal};
use crate::os::stack;

/// Where the stack of the first thread ends, and the page below it; 0 while nothing is known.
static LOWEST: AtomicUsize = AtomicUsize::new(0);

/// How far below the end of the stack an access still counts as an overflow. Rust touches each page in turn;
/// C may pass over some.
const BELOW: usize = 64 << 10;
/// The page that the kernel keeps from being the stack's last.
const ABOVE: usize = 16 << 10;
/// What the handler and the kernel's record of the registers need, with room for large vector registers.
const ROOM: usize = 64 << 10;

/// Prepares a process with one thread, in a constructor, so that its code finds what it would find in
/// `main`.
///
/// An overflow of another thread's stack has no message: std gives a stack for handlers only to threads that
/// are started after its own handler. It ends the process by SIGSEGV.
///
/// # Errors
///
/// When a closed standard descriptor cannot be opened, or there is no memory.
pub fn prepare() -> io::Result<()> {
    fd::fill_closed_standard()?;
    signal::ignore_pipe();
    let Some(lowest) = stack::lowest() else { return Ok(()) };
    LOWEST.store(lowest, Ordering::Relaxed);
    give_stack_for_handlers()?;
    for number in [libc::SIGSEGV, libc::SIGBUS] {
        watch(number)?;
    }
    Ok(())
}

fn give_stack_for_handlers() -> io::Result<()> {
    // SAFETY: a new mapping, wherever the kernel likes.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            ROOM,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANON,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: ROOM };
    // SAFETY: the memory has the size stated, is nobody else's, and stays for ever.
    checked(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) })?;
    Ok(())
}

/// Sets the handler, unless somebody else has one already (a sanitizer, for example).
fn watch(number: i32) -> io::Result<()> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the place is valid for an action.
    checked(unsafe { libc::sigaction(number, std::ptr::null(), before.as_mut_ptr()) })?;
    // SAFETY: filled by the call above.
    if unsafe { before.assume_init() }.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    // SAFETY: all zeroes is a valid `sigaction`: default handler, no flags, empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = explain;
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `action` is valid, and its handler is of the kind that the flags say.
    checked(unsafe { libc::sigaction(number, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

/// Says so if the access was just below the stack, and ends the process as std does; any other crash happens
/// again without a handler, so that its signal is seen.
extern "C" fn explain(number: i32, info: *mut libc::siginfo_t, _state: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid record with SA_SIGINFO.
    let info = unsafe { &*info };
    // SAFETY: this field is there for SIGSEGV and SIGBUS.
    let address = unsafe { info.si_addr() } as usize;
    let lowest = LOWEST.load(Ordering::Relaxed);
    if (lowest.saturating_sub(BELOW)..lowest.saturating_add(ABOVE)).contains(&address) {
        let text = "\nthe first thread of the test has overflowed its stack\n\
                    fatal runtime error: stack overflow, aborting\n";
        // SAFETY: the text has the length stated.
        unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        // SAFETY: no memory is involved.
        unsafe { libc::abort() };
    }
    signal::forget_handler(number);
}
