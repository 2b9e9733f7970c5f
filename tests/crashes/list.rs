//! The ways to crash, and what each must be reported as.

use std::hint::black_box;
use std::panic::{panic_any, resume_unwind};

use offspring::{Context, Error, ErrorKind, Exit, Phase};
use serde::{Deserialize, Serialize};

/// What a process or task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Nothing bad: return the number.
    Return(u32),
    // Panics.
    PanicWithText,
    PanicWithFormattedText,
    PanicWithNumber,
    ResumeUnwind,
    PanicInDropOfLocal,
    PanicWithGrenade,
    PanicInDropOfResult,
    // Ends of the process.
    PanicTwice,
    ExitWithZero,
    ExitWithThree,
    LeaveWithFive,
    Abort,
    Kill,
    RaiseFault,
    WriteToNullPage,
    Terminate,
    OverflowMainStack,
    OverflowSpawnedStack,
    ExitOnSecondThread,
    EndMainThread,
    CloseDescriptorsAndReturn,
    CloseDescriptorsAndExitWithZero,
}

/// What comes back when nothing bad happened.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) number: u32,
    /// Panics when it is dropped; does not travel.
    #[serde(skip)]
    explodes: bool,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.explodes {
            panic!("in the drop of the result");
        }
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Grenade(&'static str);

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// Where [`panic_with_text`] panics.
pub(crate) const TEXT_LINE: u32 = line!() + 4;

#[inline(never)]
fn panic_with_text() {
    panic!("plain text")
}

/// Where [`panic_in_drop_of_local`] panics is [`Grenade`]'s business.
fn panic_in_drop_of_local() {
    let _grenade = Grenade("in the drop of a local");
}

fn panic_twice() {
    let _grenade = Grenade("the second panic");
    panic!("the first panic");
}

/// Does the deed.
#[expect(clippy::exit, reason = "to see what becomes of it")]
pub(crate) fn commit(deed: Deed) -> Answer {
    let answer = |number| Answer { number, explodes: false };
    match deed {
        Deed::Return(number) => return answer(number),
        Deed::PanicWithText => panic_with_text(),
        Deed::PanicWithFormattedText => panic!("formatted: {}", black_box(7)),
        Deed::PanicWithNumber => panic_any(7u8),
        Deed::ResumeUnwind => resume_unwind(Box::new("resumed")),
        Deed::PanicInDropOfLocal => panic_in_drop_of_local(),
        Deed::PanicWithGrenade => panic_any(Grenade("in the drop of a payload")),
        Deed::PanicInDropOfResult => return Answer { number: 1, explodes: true },
        Deed::PanicTwice => panic_twice(),
        Deed::ExitWithZero => std::process::exit(0),
        Deed::ExitWithThree => std::process::exit(3),
        Deed::LeaveWithFive => leave(5),
        Deed::Abort => std::process::abort(),
        Deed::Kill => send_to_self(libc::SIGKILL),
        // The first time std's handler only takes itself away.
        Deed::RaiseFault => (0..2).for_each(|_| send_to_self(libc::SIGSEGV)),
        Deed::WriteToNullPage => write_to_null_page(),
        Deed::Terminate => send_to_self(libc::SIGTERM),
        Deed::OverflowMainStack => drop(black_box(overflow(1))),
        Deed::OverflowSpawnedStack => {
            let _ = std::thread::spawn(|| black_box(overflow(1))).join();
        }
        Deed::ExitOnSecondThread => {
            let _ = std::thread::spawn(|| std::process::exit(4)).join();
        }
        Deed::EndMainThread => end_main_thread(),
        Deed::CloseDescriptorsAndReturn => close_from(3),
        Deed::CloseDescriptorsAndExitWithZero => {
            close_from(0);
            leave(0);
        }
    }
    // Only those that closed what carries the answer come here.
    answer(99)
}

fn leave(status: i32) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(status) }
}

fn send_to_self(signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::raise(signal) };
}

fn write_to_null_page() {
    let nowhere = black_box(std::ptr::without_provenance_mut::<u8>(8));
    // SAFETY: none. The fault is the point, and the process ends with it.
    unsafe { nowhere.write_volatile(1) };
}

#[expect(unconditional_recursion, reason = "to overflow the stack")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    overflow(depth + 1) + room[usize::from(depth % 2 == 0)]
}

fn end_main_thread() {
    unsafe extern "C-unwind" {
        fn pthread_exit(value: *mut libc::c_void) -> !;
    }
    // SAFETY: the C library unwinds, which `C-unwind` allows, into a frame that catches panics, which
    // Rust answers with an abort.
    unsafe { pthread_exit(std::ptr::null_mut()) }
}

fn close_from(first: i32) {
    for number in first..1024 {
        // SAFETY: none of what owned these numbers is used before the process ends, except to find
        // out that they are closed.
        unsafe { libc::close(number) };
    }
}

/// What a deed must be reported as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    Panic(&'static str),
    End(Exit),
}

impl Deed {
    pub(crate) fn expected(self) -> Expected {
        let signal = |signal| Expected::End(Exit::Signal { signal, core: false });
        let code = |code| Expected::End(Exit::Code(code));
        match self {
            Self::Return(number) => panic!("returning {number} is not a crash"),
            Self::PanicWithText => Expected::Panic("plain text"),
            Self::PanicWithFormattedText => Expected::Panic("formatted: 7"),
            Self::PanicWithNumber => Expected::Panic("the payload of the panic is not a text"),
            Self::ResumeUnwind => Expected::Panic("resumed"),
            Self::PanicInDropOfLocal => Expected::Panic("in the drop of a local"),
            Self::PanicWithGrenade => Expected::Panic("the payload of the panic is not a text"),
            Self::PanicInDropOfResult => Expected::Panic("in the drop of the result"),
            Self::PanicTwice | Self::Abort => signal(libc::SIGABRT),
            Self::ExitWithZero | Self::CloseDescriptorsAndExitWithZero => code(0),
            Self::ExitWithThree => code(3),
            Self::LeaveWithFive => code(5),
            Self::Kill => signal(libc::SIGKILL),
            Self::RaiseFault | Self::WriteToNullPage => signal(libc::SIGSEGV),
            Self::Terminate => signal(libc::SIGTERM),
            // std's handler says what happened and aborts.
            Self::OverflowMainStack | Self::OverflowSpawnedStack => signal(libc::SIGABRT),
            Self::ExitOnSecondThread => code(4),
            Self::EndMainThread => signal(libc::SIGABRT),
            // The status of a child that cannot say what it has to say.
            Self::CloseDescriptorsAndReturn => code(113),
        }
    }
}

/// The same end, whether or not a core file was written.
pub(crate) fn without_core(exit: Exit) -> Exit {
    match exit {
        Exit::Signal { signal, .. } => Exit::Signal { signal, core: false },
        other => other,
    }
}

/// Checks what an error says about a deed.
#[track_caller]
pub(crate) fn check(error: &Error, context: Context, deed: Deed) {
    let text = error.to_string();
    assert_eq!(error.phase(), Phase::Started, "{deed:?}: {text}");
    assert_eq!(error.context(), Some(context), "{deed:?}: {text}");
    assert_eq!(error.pid().is_some(), context.is_isolated(), "{deed:?}: {text}");
    assert!(error.task_name().is_some(), "{deed:?}: {text}");
    assert!(text.contains(&context.to_string()), "{deed:?}: no context in: {text}");
    if let Some(pid) = error.pid() {
        assert!(text.contains(&format!("pid {pid}")), "{deed:?}: no pid in: {text}");
    }
    match deed.expected() {
        Expected::Panic(message) => {
            assert_eq!(error.kind(), ErrorKind::Panicked, "{deed:?}: {text}");
            let panic = error.panic().expect("a panic is described");
            assert_eq!(panic.message(), message, "{deed:?}: {text}");
            assert!(text.contains(&format!(": {message} (")), "{deed:?}: no message in: {text}");
            assert_eq!(error.exit(), None, "{deed:?}: {text}");
            check_place(panic, deed, &text);
        }
        Expected::End(exit) => {
            assert_eq!(error.kind(), ErrorKind::Died, "{deed:?}: {text}");
            assert_eq!(error.exit().map(without_core), Some(exit), "{deed:?}: {text}");
            assert!(text.contains(&exit.to_string()), "{deed:?}: no {exit} in: {text}");
            assert!(error.panic().is_none(), "{deed:?}: {text}");
            let signal = match exit {
                Exit::Signal { signal, .. } => Some(signal),
                _ => None,
            };
            assert_eq!(error.signal(), signal, "{deed:?}: {text}");
            let advises = text.contains("must return, not exit");
            assert_eq!(advises, exit == Exit::Code(0), "{deed:?}: advice in: {text}");
        }
    }
}

fn check_place(panic: &offspring::Panic, deed: Deed, text: &str) {
    // `resume_unwind` runs no panic hook, so nobody is told where and how.
    if deed == Deed::ResumeUnwind {
        assert_eq!(panic.location(), None, "{text}");
        assert_eq!(panic.backtrace(), None, "{text}");
        return;
    }
    let location = panic.location().expect("a panic has a place");
    let line = if deed == Deed::PanicWithText { format!("{TEXT_LINE}:") } else { String::new() };
    let wanted = format!("{}:{line}", file!());
    assert!(location.starts_with(&wanted), "{deed:?}: {location} is not in {wanted}");
    assert!(text.contains(location), "{deed:?}: no {location} in: {text}");
    let backtrace = panic.backtrace().expect("RUST_BACKTRACE=1 asks for a backtrace");
    let function = match deed {
        // An optimised build makes the user's function a part of ours.
        _ if !cfg!(debug_assertions) => "offspring::function",
        Deed::PanicWithText => "panic_with_text",
        // After the function returned.
        Deed::PanicInDropOfResult => "drop",
        _ => "commit",
    };
    assert!(backtrace.contains(function), "{deed:?}: {function} is not in {backtrace}");
}
