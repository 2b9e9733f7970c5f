//! What a start does to the signals of the parent: nothing. And what the child inherits of them:
//! nothing either. What only Linux can show of it is in `queued`.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use offspring::{Context, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES};

pub(crate) const ON_ALL: &[Case] = cases![the_mask_stays_what_it_was];
pub(crate) const ON_PROCESSES: &[Case] = cases![on PROCESSES => handlers_do_not_run_in_children];

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the place is valid for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just initialised.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised.
        assert_eq!(unsafe { libc::sigaddset(&raw mut set, *signal) }, 0, "signal {signal}");
    }
    set
}

/// Blocks these signals, and no others.
pub(crate) fn block(signals: &[i32]) {
    let set = set_of(signals);
    // SAFETY: the set is initialised; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// The signals that this thread blocks.
pub(crate) fn blocked() -> Vec<i32> {
    let mut set = set_of(&[]);
    // SAFETY: without a new set, the call only writes the old one, into a valid place.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &raw mut set) };
    // SAFETY: the set is initialised.
    let is_member = |signal: &i32| unsafe { libc::sigismember(&raw const set, *signal) } == 1;
    (1..=64).filter(is_member).collect()
}

pub(crate) fn dispose(signal: i32, action: libc::sighandler_t) {
    // SAFETY: handlers in these files only add to an atomic.
    let before = unsafe { libc::signal(signal, action) };
    assert_ne!(before, libc::SIG_ERR, "signal {signal} can be set");
}

pub(crate) static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn handler() -> libc::sighandler_t {
    count as *const () as libc::sighandler_t
}

/// Never encodes.
#[derive(Debug, Deserialize)]
struct NoWay;

impl Serialize for NoWay {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

fn the_mask_stays_what_it_was(context: Context) -> Outcome {
    #[cfg(target_os = "linux")]
    let other = libc::SIGRTMIN() + 3;
    #[cfg(not(target_os = "linux"))]
    let other = libc::SIGWINCH;
    let mut expected = vec![libc::SIGUSR1, libc::SIGTERM, other];
    expected.sort_unstable();
    for mask in [expected, Vec::new()] {
        block(&mask);
        let check = |when: &str| assert_eq!(blocked(), mask, "after {when}");
        context.process().start((), |()| ())?.join()?;
        check("a start");
        let pool = context.pool().workers(2).build()?;
        check("a pool");
        let sum: Result<u32, _> = pool.map(0..10, |(), n: u32| n).sum();
        assert_eq!(sum?, 45);
        check("a map");
        drop(pool);
        check("the end of a pool");
        let result = context.process().start(NoWay, |_: NoWay| ()).map(drop);
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::EncodeArguments));
        check("arguments that cannot be encoded");
        let refused = context.process().env("no=name", "").start((), |()| ()).map(drop);
        assert_eq!(refused.is_err(), context != Context::Inline, "{refused:?}");
        check("a setting that is refused");
        let lost = context.process().current_dir("/no/such/place").start((), |()| ()).map(drop);
        assert_eq!(lost.is_err(), context != Context::Inline, "{lost:?}");
        check("a directory that does not exist");
        if context == Context::Fork {
            let (release, wait) = std::sync::mpsc::channel::<()>();
            let other = std::thread::spawn(move || wait.recv());
            crate::assert_refused(context.process().start((), |()| ()).map(drop));
            check("a refusal beside a thread");
            crate::assert_refused(context.pool().workers(1).build().map(drop));
            check("a refusal of a pool beside a thread");
            drop(release);
            other.join().expect("the thread ends").expect_err("the other end was dropped");
        }
    }
    Ok(())
}

fn raise_user_signal((): ()) -> u64 {
    // SAFETY: no memory is involved.
    unsafe { libc::raise(libc::SIGUSR1) };
    HANDLED.load(Ordering::Relaxed)
}

fn handlers_do_not_run_in_children(context: Context) -> Outcome {
    dispose(libc::SIGUSR1, handler());
    // SAFETY: no memory is involved.
    unsafe { libc::raise(libc::SIGUSR1) };
    assert_eq!(HANDLED.load(Ordering::Relaxed), 1, "the handler works");
    let error = context.process().start((), raise_user_signal)?.join().expect_err("killed by it");
    assert_eq!(error.signal(), Some(libc::SIGUSR1), "{error}");
    let pool = context.pool().workers(1).build()?;
    let task = pool.map([()], |_, ()| raise_user_signal(())).next().expect("one outcome");
    let error = task.expect_err("killed by it");
    assert_eq!(error.signal(), Some(libc::SIGUSR1), "{error}");
    pool.shutdown()?;
    assert_eq!(HANDLED.load(Ordering::Relaxed), 1, "in the parent");
    Ok(())
}
