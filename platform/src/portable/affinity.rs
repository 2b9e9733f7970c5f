//! On which processor a process runs: left to the system, which on macOS decides that alone.

use std::io;

/// Does nothing, and says so by false: there are only hints, for the threads of one process.
///
/// # Errors
///
/// None on this system.
pub fn pin(_index: usize) -> io::Result<bool> {
    Ok(false)
}
