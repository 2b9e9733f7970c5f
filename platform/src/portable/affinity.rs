//! On which processor a process runs: left to the system, which on macOS decides that alone; and whether there is only one.

use std::io;
use std::num::NonZero;

/// Does nothing, and says so by false: there are only hints, for the threads of one process.
///
/// # Errors
///
/// None on this system.
pub fn pin(_index: usize) -> io::Result<bool> {
    Ok(false)
}

/// Whether this process may run on one processor only, as far as std can tell.
///
/// # Examples
///
/// ```
/// # use offspring_platform::affinity;
/// if affinity::pin(0)? {
///     assert!(affinity::is_single());
/// }
/// # std::io::Result::Ok(())
/// ```
#[must_use]
pub fn is_single() -> bool {
    std::thread::available_parallelism().map_or(1, NonZero::get) < 2
}
