//! The locale of the C library.

use offspring_platform::locale as platform;

use super::{Undo, alone};
use crate::capture::{CaptureGuard, try_capture};
use crate::error::Error;

/// Tasks find the locale of the C library (`setlocale`, all categories) that this process has at the moment
/// when they are submitted. When they have changed it, that is undone.
///
/// For programs with C libraries that format numbers or sort texts by it; Rust's own library does not. The
/// locale may only be read and changed while a process has one thread. So a task fails with
/// [`ErrorKind::Capture`](crate::ErrorKind::Capture) when another thread runs here while it is submitted, or in
/// the child before or after it; also when the child's system does not have the locale.
///
/// # Errors
///
/// As [`capture`](fn@crate::capture); its name is `locale`.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, captures};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let _guard = captures::locale()?;
///     // Whatever a C library in here has set is what one in the child finds.
///     assert_eq!(Context::Spawn.process().start(2, |n: u8| n + 1)?.join()?, 3);
///     Ok(())
/// }
/// ```
pub fn locale() -> Result<CaptureGuard, Error> {
    try_capture("locale", get, set)
}

/// What cannot be told is an error where it would have been needed.
fn get() -> Result<Vec<u8>, String> {
    alone("the locale cannot be read", platform::current)
}

fn set(
    wanted: Result<Vec<u8>, String>,
) -> Result<Undo<impl FnMut() -> Result<(), String>>, String> {
    let wanted =
        wanted.map_err(|text| format!("in the process that submitted the task, {text}"))?;
    let before = get()?;
    change(&wanted)?;
    Ok(Undo(move || change(&before)))
}

fn change(wanted: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(wanted);
    alone("the locale cannot be changed", |witness| {
        if platform::current(witness) == wanted || platform::change(wanted, witness) {
            Ok(())
        } else {
            Err(format!("this process cannot have the locale `{text}`"))
        }
    })?
}
