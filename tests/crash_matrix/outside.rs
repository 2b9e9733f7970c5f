//! The points at which none of the user's code runs: between tasks, and while large values travel. There
//! somebody else does it.

use std::sync::atomic::{AtomicI32, Ordering};

use offspring::{Context, Pool};
use serde::{Serialize, Serializer};

use crate::expect;
use crate::fuse::{LEFT, Way};
use crate::harness::{eventually, leaks};
use crate::scene::{Flag, scene};
use crate::torture::{self, state_of};

type Ran = Result<(), Box<dyn std::error::Error>>;

const LARGE: usize = 8 << 20;

/// Runs all cells. Returns how many those are.
pub(crate) fn run(context: Context, way: Way) -> Result<u64, Box<dyn std::error::Error>> {
    let pool = context.pool().workers(1).init(way, prepare).build()?;
    between_tasks(&pool, way)?;
    while_a_result_is_sent(&pool, way)?;
    while_an_argument_is_received(&pool, way)?;
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), 3);
    Ok(3)
}

/// The status of a worker that leaves when it is told to.
static STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: a handler may call it.
    unsafe { libc::_exit(STATUS.load(Ordering::Relaxed)) };
}

/// In a worker: nothing of std's or ours shall stand in the way.
fn prepare(way: Way) -> u32 {
    torture::default_action(libc::SIGSEGV);
    STATUS.store(expect::end(way).unwrap_or(LEFT), Ordering::Relaxed);
    let handler = leave as extern "C" fn(libc::c_int);
    // SAFETY: the handler does only what a handler may do.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    std::process::id()
}

/// Ends a worker from outside, and waits until it has ended.
fn strike(pid: u32, way: Way) {
    match way {
        Way::Kill => torture::signal(pid, libc::SIGKILL),
        Way::Abort => torture::signal(pid, libc::SIGABRT),
        Way::Crash => torture::signal(pid, libc::SIGSEGV),
        Way::Stop => {
            torture::signal(pid, libc::SIGSTOP);
            eventually("it stops", || state_of(pid) == Some('T'));
            torture::signal(pid, libc::SIGKILL);
        }
        _ => torture::signal(pid, libc::SIGUSR1),
    }
    eventually("it ends", || !leaks::is_alive(pid));
}

fn works(pool: &Pool<u32>) -> Result<u32, Box<dyn std::error::Error>> {
    let mut worker = 0;
    for (n, result) in pool.map(0..20usize, |own, n| (*own, n)).enumerate() {
        let (own, answer) = result?;
        assert_eq!(answer, n);
        worker = own;
    }
    Ok(worker)
}

/// No task was there to die: none does.
fn between_tasks(pool: &Pool<u32>, way: Way) -> Ran {
    println!("between tasks");
    let worker = works(pool)?;
    eventually("it has nothing to do", || state_of(worker) == Some('S'));
    strike(worker, way);
    assert_ne!(works(pool)?, worker, "another took its place");
    Ok(())
}

/// A large result that tells when it is encoded.
struct Parcel(String);

impl Serialize for Parcel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let done = self.0.serialize(serializer);
        if offspring::worker().is_some() {
            scene().raise(Flag::Encoded, 1);
        }
        done
    }
}

impl<'de> serde::Deserialize<'de> for Parcel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Nobody reads it: this process does so only when it asks for the result.
fn while_a_result_is_sent(pool: &Pool<u32>, way: Way) -> Ran {
    println!("while a result is sent");
    scene().forget(0);
    let mut results = pool.map(0..4u64, |own, index| {
        if index == 1 {
            eventually("the one before is taken", || scene().get(Flag::Go) == 1);
            return (*own, Parcel("r".repeat(LARGE)));
        }
        (*own, Parcel(String::new()))
    });
    let (worker, _) = results.next().expect("the first has an outcome")?;
    scene().raise(Flag::Go, 1);
    eventually("the result is encoded", || scene().get(Flag::Encoded) == 1);
    eventually("its worker waits", || sleeps_in(worker, is_socket_call));
    strike(worker, way);
    let error = results.next().expect("an outcome").err().expect("it was not sent as a whole");
    expect::task(&error, 1, way);
    assert!(results.by_ref().map(Result::unwrap).all(|(own, _)| own != worker));
    drop(results);
    works(pool)?;
    Ok(())
}

/// Nobody writes the rest of it.
fn while_an_argument_is_received(pool: &Pool<u32>, way: Way) -> Ran {
    println!("while an argument is received");
    scene().forget(4);
    let lengths = [8, LARGE, 8, 8];
    let orders = (0u64..).zip(lengths).map(|(index, length)| (index, "a".repeat(length)));
    let mut results = pool.map(orders, |own, (index, text): (u64, String)| {
        scene().has_effect(index);
        (*own, text.len())
    });
    let (worker, _) = results.next().expect("the first has an outcome")?;
    // It has got a part: that counts as begun, or one that is too large would be sent for ever.
    eventually("its worker waits", || sleeps_in(worker, is_socket_call));
    strike(worker, way);
    let error = results.next().expect("an outcome").err().expect("it did not arrive as a whole");
    expect::task(&error, 1, way);
    for (index, result) in (2..).zip(results.by_ref()) {
        let (own, length) = result?;
        assert_ne!(own, worker);
        assert_eq!((length, scene().effects(index)), (8, 1));
    }
    assert_eq!(scene().effects(1), 0, "none of its code ran");
    drop(results);
    works(pool)?;
    Ok(())
}

fn is_socket_call(number: i64) -> bool {
    // Whoever waits for words in memory is in none of these.
    let calls = [libc::SYS_ppoll, libc::SYS_sendmsg, libc::SYS_recvmsg, libc::SYS_recvfrom];
    calls.contains(&number) || is_old_poll(number)
}

#[cfg(target_arch = "x86_64")]
fn is_old_poll(number: i64) -> bool {
    [libc::SYS_poll, libc::SYS_read, libc::SYS_write].contains(&number)
}

#[cfg(not(target_arch = "x86_64"))]
fn is_old_poll(number: i64) -> bool {
    [libc::SYS_read, libc::SYS_write].contains(&number)
}

/// Whether a process sleeps in such a system call.
fn sleeps_in(pid: u32, wanted: fn(i64) -> bool) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = call.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    number.is_some_and(wanted) && state_of(pid) == Some('S')
}
