//! Which processors processes may use: one for this process and all that it starts meanwhile, or one for this process
//! and another for some others.

use crate::Outcome;

/// The processors that this process may use else.
#[must_use = "this process stays on one processor until `release`"]
pub(crate) struct Kept {
    #[cfg(target_os = "linux")]
    all: libc::cpu_set_t,
}

/// Keeps this process on one processor. `None` where the system has no such call.
#[cfg(target_os = "linux")]
pub(crate) fn keep_one() -> Outcome<Option<Kept>> {
    let all = allowed()?;
    // The last, for the first is the one that most devices interrupt.
    let last = members(&all).next_back().ok_or("a process may use some processor")?;
    keep(0, last)?;
    Ok(Some(Kept { all }))
}

/// Keeps this process on one processor and the others on another. `None` where there is but one, or no such call.
#[cfg(target_os = "linux")]
pub(crate) fn keep_apart(others: &[u32]) -> Outcome<Option<Kept>> {
    let all = allowed()?;
    let mut last = members(&all).rev();
    let (Some(theirs), Some(ours)) = (last.next(), last.next()) else { return Ok(None) };
    for process in others {
        keep(libc::pid_t::try_from(*process)?, theirs)?;
    }
    keep(0, ours)?;
    Ok(Some(Kept { all }))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_one() -> Outcome<Option<Kept>> {
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_apart(_: &[u32]) -> Outcome<Option<Kept>> {
    Ok(None)
}

impl Kept {
    /// This process may use all of its processors again. What it has started, and the others, may not.
    pub(crate) fn release(self) -> Outcome<()> {
        #[cfg(target_os = "linux")]
        set(0, &self.all)?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn none() -> libc::cpu_set_t {
    // SAFETY: all zeroes is a valid, empty set.
    unsafe { std::mem::zeroed() }
}

/// What this process may use.
#[cfg(target_os = "linux")]
fn allowed() -> Outcome<libc::cpu_set_t> {
    let mut all = none();
    // SAFETY: `all` has that size. 0 is this thread, which is the only one.
    match unsafe { libc::sched_getaffinity(0, size_of_val(&all), &raw mut all) } {
        -1 => Err(std::io::Error::last_os_error().into()),
        _ => Ok(all),
    }
}

#[cfg(target_os = "linux")]
fn members(set: &libc::cpu_set_t) -> impl DoubleEndedIterator<Item = usize> + '_ {
    let numbers = 0..libc::CPU_SETSIZE.unsigned_abs() as usize;
    // SAFETY: every number is below the size of the set.
    numbers.filter(|number| unsafe { libc::CPU_ISSET(*number, set) })
}

/// Keeps a process on one processor, of those that this one may use; 0 is this process.
#[cfg(target_os = "linux")]
fn keep(process: libc::pid_t, processor: usize) -> Outcome<()> {
    let mut one = none();
    // SAFETY: a member of another set, so below its size.
    unsafe { libc::CPU_SET(processor, &mut one) };
    set(process, &one)
}

#[cfg(target_os = "linux")]
fn set(process: libc::pid_t, processors: &libc::cpu_set_t) -> Outcome<()> {
    // SAFETY: the set has that size.
    match unsafe { libc::sched_setaffinity(process, size_of_val(processors), processors) } {
        -1 => Err(std::io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}
