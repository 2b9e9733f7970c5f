//! One processor for this process and all that it starts meanwhile.

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
    // SAFETY: all zeroes is a valid, empty set.
    let mut all: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` has that size. 0 is this thread, which is the only one.
    let got = unsafe { libc::sched_getaffinity(0, size_of_val(&all), &raw mut all) };
    if got == -1 {
        return Err(std::io::Error::last_os_error().into());
    }
    let numbers = 0..libc::CPU_SETSIZE.unsigned_abs() as usize;
    // The last, for the first is the one that most devices interrupt.
    // SAFETY: every number is below the size of the set.
    let last = numbers.rev().find(|number| unsafe { libc::CPU_ISSET(*number, &all) });
    let last = last.ok_or("a process may use some processor")?;
    // SAFETY: all zeroes is a valid, empty set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a member of the other set, so below its size.
    unsafe { libc::CPU_SET(last, &mut one) };
    set(&one)?;
    Ok(Some(Kept { all }))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_one() -> Outcome<Option<Kept>> {
    Ok(None)
}

impl Kept {
    /// This process may use all of its processors again. What it has started may not.
    pub(crate) fn release(self) -> Outcome<()> {
        #[cfg(target_os = "linux")]
        set(&self.all)?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn set(processors: &libc::cpu_set_t) -> Outcome<()> {
    // SAFETY: the set has that size.
    match unsafe { libc::sched_setaffinity(0, size_of_val(processors), processors) } {
        -1 => Err(std::io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}
