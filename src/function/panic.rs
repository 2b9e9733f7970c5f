//! Catching panics of user code with their message, place and backtrace.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::error::Panic;
use crate::transcript;

thread_local! {
    /// Whether this thread runs user code for us. Apart from the next, because it is set for each task.
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    /// Whether there is something in `NOTED`.
    static SEEN: Cell<bool> = const { Cell::new(false) };
    /// The last panic of this thread, while it runs user code for us.
    static NOTED: RefCell<Option<Box<Panic>>> = const { RefCell::new(None) };
    /// From where to where the hook that was there before has written about it, if that is captured.
    static PRINTED: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// No more of a message than this is sent to the parent.
const LONGEST: usize = 64 << 10;

/// Runs `run`, which catches panics, and describes the one it caught.
///
/// The hook that was there before, std's or the user's, still runs and prints.
#[inline]
pub(crate) fn caught<T>(
    run: impl FnOnce() -> Result<T, Box<dyn Any + Send>>,
) -> Result<T, Box<Panic>> {
    install();
    let outer = WATCHING.replace(true);
    // That of an outer call, in whose unwinding this one runs; or one that the user's code caught.
    let before = if SEEN.get() { forget_noted() } else { None };
    let result = run();
    WATCHING.set(outer);
    let noted = if SEEN.get() { forget_noted() } else { None };
    if outer && before.is_some() {
        NOTED.set(before);
        SEEN.set(true);
    }
    result.map_err(|payload| {
        let message = text(&*payload);
        // `resume_unwind` runs no hook, so what was noted may be another panic, which the user's code caught.
        let panic = noted.filter(|noted| noted.message == message).unwrap_or_else(|| {
            PRINTED.set(None);
            Box::new(Panic { message, location: None, backtrace: None })
        });
        // A payload may panic when it is dropped.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        panic
    })
}

/// Where the text is that was printed about the panic that was caught last.
pub(crate) fn printed() -> Option<(u64, u64)> {
    PRINTED.take()
}

#[cold]
fn forget_noted() -> Option<Box<Panic>> {
    SEEN.set(false);
    NOTED.take()
}

#[inline]
fn install() {
    static INSTALLED: Once = Once::new();
    // std refuses to change the hook while this thread unwinds. Messages are then less exact.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(info);
            let start = if is_watched() { transcript::position() } else { None };
            before(info);
            if let Some(start) = start {
                let _ = PRINTED.try_with(|printed| {
                    printed.set(transcript::position().map(|end| (start, end)));
                });
            }
        }));
    });
}

/// Threads that the user code started are not watched: their panics are theirs to report.
fn is_watched() -> bool {
    WATCHING.try_with(Cell::get).unwrap_or(false)
}

fn note(info: &PanicHookInfo<'_>) {
    if !is_watched() {
        return;
    }
    let _ = NOTED.try_with(|noted| {
        let Ok(mut noted) = noted.try_borrow_mut() else { return };
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        *noted = Some(Box::new(Panic {
            message: text(info.payload()),
            location: info.location().map(ToString::to_string),
            backtrace,
        }));
        SEEN.set(true);
    });
}

fn text(payload: &dyn Any) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the payload of the panic is not a text");
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
