//! The current directory.

use std::path::PathBuf;

use super::Undo;
use crate::capture::{CaptureGuard, try_capture};
use crate::error::Error;
use crate::launch::message::Bytes;

/// Tasks find the current directory of this process at the moment when they are submitted. When they have
/// changed it, that is undone.
///
/// Costs two system calls for each task, and as many as that takes where it has to be changed. In a worker on
/// Inline the directory is that of all threads of this process.
///
/// A task for whose directory that is not possible fails with [`ErrorKind::Capture`](crate::ErrorKind::Capture):
/// it was removed, or cannot be entered.
///
/// # Errors
///
/// As [`capture`](fn@crate::capture); its name is `directory`.
///
/// # Examples
///
/// See the [module](super).
pub fn directory() -> Result<CaptureGuard, Error> {
    try_capture("directory", get, set)
}

/// What cannot be told is an error where it would have been needed.
fn get() -> Result<Bytes, String> {
    let directory = std::env::current_dir();
    let directory =
        directory.map_err(|error| format!("the current directory is unknown: {error}"))?;
    Ok(Bytes::of_path(&directory))
}

fn set(wanted: Result<Bytes, String>) -> Result<Undo<impl FnMut() -> Result<(), String>>, String> {
    let wanted =
        wanted.map_err(|text| format!("in the process that submitted the task, {text}"))?;
    let before = get()?.into_path();
    enter(wanted.into_path())?;
    Ok(Undo(move || enter(before.clone())))
}

fn enter(path: PathBuf) -> Result<(), String> {
    if std::env::current_dir().is_ok_and(|current| current == path) {
        return Ok(());
    }
    std::env::set_current_dir(&path)
        .map_err(|error| format!("`{}` cannot be entered: {error}", path.display()))
}
