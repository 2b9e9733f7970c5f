//! The points at which none of the user's code runs: while a worker comes up, between tasks, while large
//! values travel, and when a result was sent that nobody has read. There somebody else does it.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, Pool};
use serde::{Serialize, Serializer};

use crate::expect;
use crate::fuse::{LEFT, Way};
use crate::harness::props::state_of;
use crate::harness::{eventually, leaks};
use crate::scene::{Flag, scene};
use crate::torture::{self, Random};

type Ran = Result<(), Box<dyn std::error::Error>>;

/// More than is on its way between two processes.
const LARGE: [usize; 2] = [1 << 20, 8 << 20];
/// Through the ring of frames; through that for bulk, which holds that.
const SMALL: [usize; 3] = [0, 16 << 10, 64 << 10];
/// A worker is struck in this time after it was started.
const COMES_UP: Duration = Duration::from_millis(6);

/// Runs all cells. Returns how many those are.
pub(crate) fn run(
    context: Context,
    way: Way,
    random: &mut Random,
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut cells = 0;
    let pool = context.pool().workers(1).init(way, prepare).build()?;
    between_tasks(&pool, way)?;
    cells += 1;
    let (mut submitted, mut too_late) = (0, 0);
    for size in LARGE {
        while_a_result_is_sent(&pool, way, size)?;
        too_late += while_an_argument_is_received(&pool, way, size, &mut submitted)?;
        cells += 2;
    }
    for size in SMALL {
        after_its_result(&pool, way, size)?;
        cells += 1;
    }
    let report = pool.shutdown()?;
    assert_eq!(report.replaced(), cells + too_late);
    // Before its initialiser it cannot be told to exit.
    if matches!(way, Way::Kill | Way::Abort | Way::Crash | Way::Stop) {
        for _ in 0..3 {
            while_it_comes_up(context, way, random.time_below(COMES_UP))?;
            cells += 1;
        }
    }
    Ok(cells)
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
        // Where std has a handler, that steps aside at the first, and only the second kills.
        Way::Crash => eventually("it crashes", || {
            torture::signal(pid, libc::SIGSEGV);
            !leaks::is_alive(pid)
        }),
        Way::Stop => {
            torture::signal(pid, libc::SIGSTOP);
            eventually("it stops", || matches!(state_of(pid), Some('T' | 'Z') | None));
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

/// Nobody notices, whatever it was doing.
fn while_it_comes_up(context: Context, way: Way, delay: Duration) -> Ran {
    println!("{delay:?} after it was started");
    let before = leaks::possible_supervisors();
    let pool = context.pool().workers(1).init(way, prepare).build()?;
    let mut new = leaks::possible_supervisors().into_iter().filter(|child| !before.contains(child));
    let supervisor = new.next().expect("a pool has a supervisor");
    let worker = loop {
        if let Some(first) = leaks::children_of(supervisor).first() {
            break *first;
        }
        std::thread::yield_now();
    };
    let found = Instant::now();
    while found.elapsed() < delay {
        std::hint::spin_loop();
    }
    strike(worker, way);
    assert_ne!(works(&pool)?, worker, "another took its place");
    let report = pool.shutdown()?;
    assert_eq!((report.tasks(), report.replaced()), (20, 1));
    let exits: Vec<_> = report.abnormal_exits().iter().copied().map(expect::number_of).collect();
    assert_eq!(exits, Vec::from_iter(expect::end(way)), "{report:?}");
    Ok(())
}

/// Nobody has read it, and it counts.
fn after_its_result(pool: &Pool<u32>, way: Way, size: usize) -> Ran {
    println!("after its result, {size} bytes");
    scene().forget(2);
    let mut results = pool.map([(0u64, size), (1, size)], |own, (index, size)| {
        if index == 1 {
            eventually("the one before is taken", || scene().get(Flag::Go) == 1);
        }
        scene().has_effect(index);
        (*own, "r".repeat(size))
    });
    let (worker, _) = results.next().expect("the first has an outcome")?;
    scene().raise(Flag::Go, 1);
    let waits = || scene().effects(1) == 1 && sleeps_in(worker, |call| call == libc::SYS_futex);
    eventually("its worker has nothing left to do", waits);
    strike(worker, way);
    let (own, text) = results.next().expect("an outcome")?;
    assert_eq!((own, text), (worker, "r".repeat(size)));
    assert!(results.next().is_none() && scene().effects(1) == 1);
    drop(results);
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
fn while_a_result_is_sent(pool: &Pool<u32>, way: Way, size: usize) -> Ran {
    println!("while a result is sent, {size} bytes");
    scene().forget(0);
    let mut results =
        pool.map((0..4).map(|index| (index, size)), |own, (index, size): (u64, _)| {
            if index == 1 {
                eventually("the one before is taken", || scene().get(Flag::Go) == 1);
                return (*own, Parcel("r".repeat(size)));
            }
            (*own, Parcel(String::new()))
        });
    let (worker, _) = results.next().expect("the first has an outcome")?;
    scene().raise(Flag::Go, 1);
    eventually("the result is encoded", || scene().get(Flag::Encoded) == 1);
    eventually("its worker waits", || sleeps_in(worker, |call| call == libc::SYS_futex));
    strike(worker, way);
    let error = results.next().expect("an outcome").err().expect("it was not sent as a whole");
    expect::task(&error, 1, way);
    assert!(results.by_ref().map(Result::unwrap).all(|(own, _)| own != worker));
    drop(results);
    works(pool)?;
    Ok(())
}

/// Nobody writes the rest of it. `submitted` counts the tasks of this pool. Returns how many workers were struck when
/// they had got all of it.
fn while_an_argument_is_received(
    pool: &Pool<u32>,
    way: Way,
    size: usize,
    submitted: &mut u64,
) -> Result<u64, Box<dyn std::error::Error>> {
    let mut too_late = 0;
    // A worker that reads as fast as this process writes gets all of it at once.
    let sizes = std::iter::successors(Some(size), |size| Some(2 * size)).take(6);
    for size in sizes {
        let first = *submitted;
        *submitted += 4;
        match strike_while_receiving(pool, way, size, first)? {
            Struck::InTime => return Ok(too_late),
            Struck::TooLate => too_late += 1,
            Struck::NoOne => {}
        }
    }
    Err("its worker received all of it, each time".into())
}

/// What became of an attempt to strike a worker while it receives an argument.
enum Struck {
    InTime,
    /// It got the rest between the last look and the blow.
    TooLate,
    /// It had received all of it before.
    NoOne,
}

fn strike_while_receiving(
    pool: &Pool<u32>,
    way: Way,
    size: usize,
    first: u64,
) -> Result<Struck, Box<dyn std::error::Error>> {
    println!("while an argument is received, {size} bytes");
    scene().forget(4);
    let submit = |index: u64, length| {
        pool.submit((index, "a".repeat(length)), |own, (index, text): (u64, String)| {
            scene().has_effect(index);
            (*own, text.len())
        })
    };
    let (worker, _) = submit(0, 8)?.join()?;
    let task = submit(1, size)?;
    let others = [submit(2, 8)?, submit(3, 8)?];
    // It has got a part: that counts as begun, or one that is too large would be sent for ever.
    eventually("it has begun", || task.pid().is_some() || scene().effects(1) == 1);
    if scene().effects(1) == 1 {
        task.join()?;
        others.into_iter().try_for_each(|task| task.join().map(drop))?;
        return Ok(Struck::NoOne);
    }
    strike(worker, way);
    if scene().effects(1) == 1 {
        // Its result may have left before it died.
        match task.join() {
            Ok(answer) => assert_eq!(answer, (worker, size)),
            Err(error) => expect::task(&error, first + 1, way),
        }
        others.into_iter().try_for_each(|task| task.join().map(drop))?;
        works(pool)?;
        return Ok(Struck::TooLate);
    }
    expect::task(&task.join().expect_err("it did not arrive as a whole"), first + 1, way);
    for (index, task) in (2..).zip(others) {
        let (own, length) = task.join()?;
        assert_ne!(own, worker);
        assert_eq!((length, scene().effects(index)), (8, 1));
    }
    assert_eq!(scene().effects(1), 0, "none of its code ran");
    works(pool)?;
    Ok(Struck::InTime)
}

/// Whether a process sleeps in such a system call.
fn sleeps_in(pid: u32, wanted: fn(i64) -> bool) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = call.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    number.is_some_and(wanted) && state_of(pid) == Some('S')
}
