//! Chosen variables of the environment.

use std::ffi::OsString;

use offspring_platform::environment::{self as platform, Change};

use super::{Undo, alone};
use crate::capture::{CaptureGuard, try_capture};
use crate::error::{Error, ErrorKind};
use crate::launch::message::Bytes;

/// Variables and their values; `None` for those that are not set.
type Values = Vec<(Bytes, Option<Bytes>)>;

/// Tasks find these variables as they are in this process at the moment when they are submitted: with the same
/// values, or not set.
///
/// The environment may only be changed while a process has one thread. So a task fails with
/// [`ErrorKind::Capture`] when a variable would have to be changed, before or after it, and something in the
/// child has started a thread and left it running. Nothing is done, and no condition holds, where all
/// values are right already. On Inline they always are, unless a task changes them.
///
/// # Errors
///
/// As [`capture`](fn@crate::capture); its name is `environment` and the names of the variables. And
/// [`ErrorKind::Invalid`] when one of those cannot be the name of a variable.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, captures};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let pool = Context::Spawn.pool().workers(1).env("TZ", "UTC").build()?;
///     let _guard = captures::environment(["HOME", "TZ"])?;
///     let found = pool.submit((), |_: &mut (), ()| std::env::var("TZ").ok())?.join()?;
///     assert_eq!(found, std::env::var("TZ").ok(), "as here, and not as the worker was started");
///     Ok(())
/// }
/// ```
pub fn environment<N: Into<OsString>>(
    names: impl IntoIterator<Item = N>,
) -> Result<CaptureGuard, Error> {
    let names: Vec<OsString> = names.into_iter().map(Into::into).collect();
    if let Some(name) = names.iter().find(|name| !platform::is_name(name)) {
        return Err(Error::new(ErrorKind::Invalid, "register a capture")
            .detail(format!("{name:?} cannot be the name of an environment variable")));
    }
    let words: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
    let title = format!("environment {}", words.join(" "));
    try_capture(&title, move || current(names.iter().cloned()), set)
}

fn current(names: impl Iterator<Item = OsString>) -> Values {
    let value = |name: OsString| {
        let value = std::env::var_os(&name).map(Bytes::of_text);
        (Bytes::of_text(name), value)
    };
    names.map(value).collect()
}

fn set(wanted: Values) -> Result<Undo<impl FnMut() -> Result<(), String>>, String> {
    let names = wanted.iter().map(|(name, _)| name.clone().into_text());
    let before = current(names);
    change(&wanted)?;
    Ok(Undo(move || change(&before)))
}

fn change(wanted: &Values) -> Result<(), String> {
    let mut changes = Vec::new();
    for (name, value) in wanted {
        let (name, value) = (name.clone().into_text(), value.clone().map(Bytes::into_text));
        if std::env::var_os(&name) != value {
            changes.push(match value {
                Some(value) => Change::Set(name, value),
                None => Change::Remove(name),
            });
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    alone("the environment cannot be changed", |witness| platform::apply(&changes, witness))
}
