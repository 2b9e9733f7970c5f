//! On which processor a process runs, and whether there is only one.

use std::io;

use crate::unix::checked;

/// Keeps this process on one of the processors that it may use: that with the number `index` among them,
/// counted round and round. False where the system has no such thing.
///
/// # Errors
///
/// What `sched_setaffinity(2)` reports.
pub fn pin(index: usize) -> io::Result<bool> {
    let allowed = allowed()?;
    let size = size_of_val(&allowed);
    let all = 0..libc::CPU_SETSIZE.unsigned_abs() as usize;
    // SAFETY: every number is below the size of the set.
    let ours: Vec<usize> = all.filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &allowed) }).collect();
    let Some(chosen) = ours.get(index % ours.len().max(1)) else { return Ok(false) };
    // SAFETY: all zeroes is a valid, empty set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a member of the other set, so below its size.
    unsafe { libc::CPU_SET(*chosen, &mut one) };
    // SAFETY: `one` has that size.
    checked(unsafe { libc::sched_setaffinity(0, size, &raw const one) })?;
    Ok(true)
}

/// Whether this process may run on one processor only. Asks the kernel alone: what
/// `std::thread::available_parallelism` reads of cgroups takes as long as a small fork, and a share of the time
/// does not keep two processes from running side by side.
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
    // Refused where there are more than a set has room for.
    // SAFETY: `allowed` is a set of the system's size.
    allowed().is_ok_and(|allowed| unsafe { libc::CPU_COUNT(&allowed) } < 2)
}

/// The processors that this thread may run on.
fn allowed() -> io::Result<libc::cpu_set_t> {
    // SAFETY: all zeroes is a valid, empty set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let size = size_of_val(&allowed);
    // SAFETY: `allowed` has that size. 0 is this thread.
    checked(unsafe { libc::sched_getaffinity(0, size, &raw mut allowed) })?;
    Ok(allowed)
}
