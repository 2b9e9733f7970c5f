//! The proof that this process has one thread.
//!
//! `unshare(CLONE_THREAD)` does nothing in a process with one thread and fails with EINVAL in any
//! other (unshare(2)); it needs no `/proc`. Where a seccomp filter forbids it, the link count of
//! `/proc/self/task` tells (two, plus one for each thread), else field 20 of `/proc/self/stat`.
//! Listing the directory was seen to miss threads.
//!
//! With one thread there is nobody to start a second between the check and the fork, except a signal
//! handler; so signals have to be blocked before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::unix::signal::Blocked;
pub use crate::unix::threads::NotSingleThreaded;

/// Proof that the process had one thread when it was made, with all signals blocked.
#[derive(Debug)]
pub struct SingleThreaded(());

/// A thread that was just joined may still be counted for some microseconds, because the kernel wakes
/// the joiner before it takes the thread off its list. So a refusal is only final after this many
/// tries, with pauses that add up to 15 ms.
const TRIES: u32 = 12;

/// On a busy machine such a thread may wait much longer for a processor, at low priority for seconds.
/// The kernel tells that it exits, and nothing can keep it then: so many tries, about 10 s in all.
const TRIES_WHILE_EXITING: u32 = 2000;

/// `std::thread::scope` returns when its closures have, before their threads exit. One that is about to, and gets no
/// processor meanwhile, has no time to do anything else: so many tries, about a second in all.
const TRIES_WHILE_STARVED: u32 = 200;

impl SingleThreaded {
    /// Checks.
    ///
    /// # Errors
    ///
    /// When there is a second thread, or the system does not say.
    pub fn check(_blocked: &Blocked) -> Result<Self, NotSingleThreaded> {
        let mut answer = Self::check_once();
        let mut times = BTreeMap::new();
        for attempt in 1..TRIES_WHILE_EXITING {
            if !matches!(answer, Err(NotSingleThreaded::Threads(_))) {
                break;
            }
            if attempt >= TRIES {
                let may_starve = attempt < TRIES_WHILE_STARVED;
                if !others_are_exiting(&mut times, may_starve) {
                    break;
                }
            }
            std::thread::sleep(Duration::from_micros(5 << attempt.min(10)));
            answer = Self::check_once();
        }
        answer
    }

    fn check_once() -> Result<Self, NotSingleThreaded> {
        // SAFETY: no memory is involved. In a process with one thread the call does nothing.
        if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
            return Ok(Self(()));
        }
        let refused = io::Error::last_os_error().raw_os_error();
        let counted = count();
        match (refused, counted) {
            (Some(libc::EINVAL), count) => {
                Err(NotSingleThreaded::Threads(count.filter(|count| *count > 1)))
            }
            (_, Some(1)) => Ok(Self(())),
            (_, Some(count)) => Err(NotSingleThreaded::Threads(Some(count))),
            (_, None) => Err(NotSingleThreaded::Unknown),
        }
    }
}

/// Whether all other threads have begun to exit, or if they may starve, have got no processor since the last look, of
/// which `times` tells how much time each had had. Only a hint whether waiting helps: that they are gone is for the check
/// to say.
fn others_are_exiting(times: &mut BTreeMap<OsString, String>, may_starve: bool) -> bool {
    /// In field 9 of `/proc/self/task/<id>/stat`, proc(5), from <linux/sched.h>: `PF_EXITING`. It is set
    /// before the joiner is woken.
    const EXITING: u32 = 4;
    let own = nix::unistd::gettid().as_raw().to_string();
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return false };
    threads.filter_map(Result::ok).filter(|thread| *thread.file_name() != *own).all(|thread| {
        // Unreadable: it is gone.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { return true };
        let Some((_, fields)) = stat.rsplit_once(')') else { return false };
        // From field 3 on, the state. A first thread that ended before the others stays, as a zombie.
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next();
        let flags = fields.nth(5).and_then(|flags| flags.parse::<u32>().ok());
        if state != Some("Z") && flags.is_some_and(|flags| flags & EXITING != 0) {
            return true;
        }
        if !may_starve || state != Some("R") {
            return false;
        }
        // The first field: how long it has run, in nanoseconds.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("schedstat")) else {
            return false;
        };
        let time = stat.split(' ').next().unwrap_or_default().to_owned();
        let before = times.insert(thread.file_name(), time.clone());
        // Seen for the first time, it gets another look.
        before.is_none_or(|before| before == time)
    })
}

/// The number of threads, if the system says.
#[must_use]
pub fn count() -> Option<usize> {
    let by_links = std::fs::metadata("/proc/self/task")
        .ok()
        .and_then(|directory| directory.nlink().checked_sub(2))
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| *count > 0);
    by_links.or_else(|| {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name, field 2, is in parentheses and may contain anything; field 20 is the 18th after.
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(17)?.parse().ok()
    })
}
