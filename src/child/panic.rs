//! Catching panics of user code with their message, place and backtrace.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::error::Panic;

thread_local! {
    /// The last panic of this thread, while it runs user code for us.
    static NOTED: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

enum Noted {
    Watching,
    Seen(Panic),
}

/// No more of a message than this is sent to the parent.
const LONGEST: usize = 64 << 10;

/// Runs `run`, which catches panics, and describes the one it caught.
///
/// The hook that was there before, std's or the user's, still runs and prints.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, Box<dyn Any + Send>>) -> Result<T, Panic> {
    install();
    let outer = NOTED.replace(Some(Noted::Watching));
    let result = run();
    let noted = NOTED.replace(outer);
    result.map_err(|payload| {
        let panic = match noted {
            Some(Noted::Seen(panic)) => panic,
            // `resume_unwind` runs no hook.
            _ => Panic { message: text(&*payload), location: None, backtrace: None },
        };
        // A payload may panic when it is dropped.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        panic
    })
}

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
            before(info);
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    // Threads that the user code started have a `None` here: their panics are theirs to report.
    let _ = NOTED.try_with(|noted| {
        let Ok(mut noted) = noted.try_borrow_mut() else { return };
        if noted.is_none() {
            return;
        }
        let backtrace = Backtrace::capture();
        let backtrace =
            (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        *noted = Some(Noted::Seen(Panic {
            message: text(info.payload()),
            location: info.location().map(ToString::to_string),
            backtrace,
        }));
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
