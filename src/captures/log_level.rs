//! The maximum level of the `log` crate.

use log::LevelFilter;

use super::Undo;
use crate::capture::{CaptureGuard, capture};
use crate::error::Error;

/// Tasks find the [maximum level](log::max_level) of the `log` crate that this process has at the moment when they
/// are submitted. When they have changed it, that is undone. Needs the feature `log`.
///
/// It says only what is recorded: where records go is up to the logger that the child has. With
/// [`logging::init`](crate::logging::init) children have this process's level anyway: then this is for the exact
/// moment, and what is above the level that counts here now is not recorded.
///
/// # Errors
///
/// As [`capture`](fn@crate::capture); its name is `log level`.
///
/// # Examples
///
/// ```
/// # fn main() -> offspring::Result<()> {
/// let guard = offspring::captures::log_level()?;
/// assert_eq!(guard.name(), "log level");
/// # Ok(())
/// # }
/// ```
pub fn log_level() -> Result<CaptureGuard, Error> {
    capture("log level", || log::max_level() as usize, set)
}

fn set(wanted: usize) -> Undo<impl FnMut() -> Result<(), String>> {
    let before = log::max_level();
    let wanted = LevelFilter::iter().find(|level| *level as usize == wanted);
    log::set_max_level(wanted.unwrap_or(before));
    Undo(move || {
        log::set_max_level(before);
        Ok(())
    })
}
