//! How much memory this process has, and whether the system ended one because there was no more.

use nix::sys::resource::{UsageWho, getrusage};

use crate::os::leaf::RESIDENT_UNIT;

/// How many bytes of this process were in memory at most; the present number takes a call into Mach on
/// macOS.
#[must_use]
pub fn resident() -> Option<u64> {
    let most = u64::try_from(getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss()).ok()?;
    most.checked_mul(RESIDENT_UNIT)
}

/// Says that the room of `buffer` will be filled. The system has no use for that.
#[allow(clippy::ptr_arg, reason = "on Linux the room behind its bytes is what matters")]
pub fn will_fill(_buffer: &mut Vec<u8>) {}

/// The system does not tell whom it ended because memory ran out.
#[must_use]
pub fn out_of_memory_kills() -> Option<u64> {
    None
}

/// How many bytes can be had before the system ends processes: that takes calls into Mach, and macOS makes
/// more room by swapping to files that it makes as it needs them.
#[must_use]
pub fn room() -> Option<u64> {
    None
}
