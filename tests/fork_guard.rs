//! No fork beside a second thread, ever; and no refusal without one.
//!
//! That nothing forked is seen in three ways: by the error, by a counter in shared memory that the
//! child's function would raise, and by a handler that the C library runs in the parent of each fork.

mod harness;

#[cfg(target_os = "linux")]
#[path = "fork_guard/environments.rs"]
mod environments;
#[path = "fork_guard/evidence.rs"]
mod evidence;
#[cfg(target_os = "linux")]
#[path = "fork_guard/exiting.rs"]
mod exiting;
#[cfg(target_os = "linux")]
#[path = "fork_guard/queued.rs"]
mod queued;
#[path = "fork_guard/signals.rs"]
mod signals;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use evidence::Evidence;
use harness::Outcome;
use offspring::{Context, Error, ErrorKind};

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    harness::programs::set(&[
        ("guarded", environments::guarded),
        ("starved", queued::starved),
        ("sender", queued::sender),
    ]);
    harness::main(&[
        cases![on &[Context::Fork] =>
            beside_threads_that_come_and_go,
            alone,
            as_soon_as_the_other_thread_was_joined,
            as_soon_as_a_scope_has_ended,
            a_borrow_from_the_stack_of_another_thread,
            from_a_thread_that_is_not_the_main_one,
            every_way_to_fork,
        ],
        cases![on &[Context::Spawn, Context::ForkServer] => others_work_beside_threads],
        #[cfg(target_os = "linux")]
        environments::CASES,
        #[cfg(target_os = "linux")]
        exiting::CASES,
        signals::ON_ALL,
        signals::ON_PROCESSES,
        #[cfg(target_os = "linux")]
        queued::CASES,
    ])
}

/// How often a fork is attempted. 10,000 for the full run.
fn rounds() -> u32 {
    let text = std::env::var("OFFSPRING_FORK_ROUNDS").unwrap_or_else(|_| "2000".into());
    text.parse().expect("OFFSPRING_FORK_ROUNDS is a number")
}

fn count_child((): ()) {
    evidence::count_child();
}

/// Tries one fork; joins it if there was one.
fn attempt() -> Result<(), Error> {
    Context::Fork.process().start((), count_child)?.join()
}

/// Asserts that it was refused for its threads, with a message that helps.
#[track_caller]
pub(crate) fn assert_refused(attempt: Result<(), Error>) {
    let error = attempt.expect_err("a fork beside a second thread");
    let ErrorKind::Multithreaded { threads } = error.kind() else {
        panic!("refused for another reason: {error}");
    };
    let text = error.to_string();
    assert_eq!(error.context(), Some(Context::Fork), "{text}");
    assert_eq!(error.phase(), offspring::Phase::NotStarted, "{text}");
    assert!(text.contains("forkserver") && text.contains("spawn"), "no advice: {text}");
    if let Some(count) = threads {
        assert!(count > 1, "{text}");
        assert!(text.contains(&format!("{count} threads are running")), "{text}");
    }
}

fn beside_threads_that_come_and_go(_: Context) -> Outcome {
    static STOP: AtomicBool = AtomicBool::new(false);
    let evidence = Evidence::begin();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let churn = thread::spawn(move || {
        while !STOP.load(Ordering::Relaxed) {
            thread::spawn(|| ()).join().expect("an empty thread ends");
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..rounds() {
        assert_refused(attempt());
    }
    STOP.store(true, Ordering::Relaxed);
    churn.join().expect("the thread ends");
    assert!(made.load(Ordering::Relaxed) > 0, "no thread came and went");
    evidence.assert_none();
    // And it was no refusal for good.
    attempt()?;
    evidence.assert_forks(1);
    Ok(())
}

/// With one thread, the count cannot be wrong; one refusal is granted to whatever the system does.
fn alone(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    let mut refused = Vec::new();
    for round in 0..rounds() {
        if let Err(error) = attempt() {
            refused.push(format!("round {round}: {error}"));
        }
    }
    evidence::report(&format!("alone: {} refused of {}", refused.len(), rounds()));
    assert!(refused.len() <= 1, "refused {} times: {refused:#?}", refused.len());
    evidence.assert_forks(u64::from(rounds()) - refused.len() as u64);
    Ok(())
}

fn as_soon_as_the_other_thread_was_joined(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    let cycles = rounds().div_ceil(2).min(1000);
    for cycle in 0..cycles {
        let (release, wait) = mpsc::channel::<()>();
        let idle = thread::spawn(move || wait.recv());
        assert_refused(attempt());
        drop(release);
        idle.join().expect("the thread ends").expect_err("the other end was dropped");
        attempt().unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
    }
    evidence::report(&format!("join cycles: {cycles}"));
    evidence.assert_forks(u64::from(cycles));
    Ok(())
}

/// The end of a scope waits for the closures of its threads, not for the threads.
fn as_soon_as_a_scope_has_ended(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    let cycles = rounds().div_ceil(2).min(1000);
    for cycle in 0..cycles {
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for n in 0..4 {
                let sum = &sum;
                scope.spawn(move || sum.fetch_add(n, Ordering::Relaxed));
            }
        });
        assert_eq!(sum.into_inner(), 6);
        attempt().unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
    }
    evidence.assert_forks(u64::from(cycles));
    Ok(())
}

/// Safe code that would be a use after free if the fork were made: glibc gives the stacks of all other
/// threads to the child's new threads.
///
/// A thread lends an array on its stack to a second, which forks; the child starts a thread, whose
/// stack is that of the lender, and then looks at the array.
fn a_borrow_from_the_stack_of_another_thread(_: Context) -> Outcome {
    /// The array, for the child's function, which captures nothing.
    static LENT: Mutex<&[AtomicUsize]> = Mutex::new(&[]);
    const MARK: usize = 0x5A;

    fn look((): ()) -> (usize, usize) {
        let lent = *LENT.lock().expect("nobody panics with it");
        let intact = || lent.iter().filter(|one| one.load(Ordering::Relaxed) == MARK).count();
        let before = intact();
        let writer = thread::spawn(|| {
            let mut stack = [0u8; 1 << 20];
            stack.fill(0xFF);
            std::hint::black_box(&stack);
        });
        writer.join().expect("the thread ends");
        (before, intact())
    }

    let evidence = Evidence::begin();
    for round in 0..20 {
        let outcome = thread::scope(|scope| {
            let lender = scope.spawn(|| {
                let array = [const { AtomicUsize::new(MARK) }; 512];
                let (first, length) = (array.as_ptr(), array.len());
                // SAFETY: the scope below ends before `array` does, and nobody in this process looks
                // into `LENT` after that. It stands for a borrow that a scoped closure captures.
                let lent = unsafe { std::slice::from_raw_parts(first, length) };
                *LENT.lock().expect("nobody panics with it") = lent;
                thread::scope(|inner| {
                    inner.spawn(|| Context::Fork.process().start((), look)?.join()).join()
                })
            });
            lender.join().expect("the lender ends").expect("the borrower ends")
        });
        match outcome {
            Ok((before, after)) => {
                panic!("round {round}: forked; intact were {before} and then {after} of 512")
            }
            Err(error) => assert_refused(Err(error)),
        }
    }
    evidence.assert_none();
    Ok(())
}

fn from_a_thread_that_is_not_the_main_one(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    let error = thread::spawn(attempt).join().expect("the thread ends");
    assert!(matches!(
        error.as_ref().map_err(Error::kind),
        Err(ErrorKind::Multithreaded { threads: Some(2) })
    ));
    assert_refused(error);
    evidence.assert_none();
    attempt()?;
    Ok(())
}

/// Idle threads that wait for work, as the pools of threads of other crates have.
struct Threads {
    hands: Vec<thread::JoinHandle<()>>,
    work: Option<mpsc::Sender<fn() -> u32>>,
}

impl Threads {
    fn start(count: usize) -> Self {
        let (work, queue) = mpsc::channel::<fn() -> u32>();
        let queue = Arc::new(Mutex::new(queue));
        let (ready, wait) = mpsc::channel();
        let hand = |_| {
            let (queue, ready) = (queue.clone(), ready.clone());
            thread::spawn(move || {
                ready.send(()).expect("somebody waits");
                loop {
                    let next = queue.lock().expect("nobody panics with it").recv();
                    let Ok(work) = next else { break };
                    std::hint::black_box(work());
                }
            })
        };
        let hands: Vec<_> = (0..count).map(hand).collect();
        for _ in &hands {
            wait.recv().expect("each thread comes up");
        }
        Self { hands, work: Some(work) }
    }

    fn stop(mut self) {
        self.work = None;
        for hand in self.hands {
            hand.join().expect("the thread ends");
        }
    }
}

fn abort((): &mut (), (): ()) {
    std::process::abort();
}

/// Processes, groups and pools: each has the same gate.
fn every_way_to_fork(_: Context) -> Outcome {
    let evidence = Evidence::begin();
    let threads = Threads::start(4);
    let error = attempt().expect_err("five threads");
    assert_eq!(error.kind(), ErrorKind::Multithreaded { threads: Some(5) });
    assert!(error.to_string().contains("5 threads are running"), "{error}");
    assert_refused(Err(error));
    assert_refused(Context::Fork.pool().workers(2).build().map(drop));
    assert_refused(Context::Fork.pool().workers(1).init(1, |n: u32| n).build().map(drop));
    assert_refused(Context::Fork.process().start_group([(); 3], count_child).map(drop));
    evidence.assert_none();
    threads.stop();

    attempt()?;
    let pool = Context::Fork.pool().workers(2).build()?;
    // A pool that was built before is not bothered by threads: its supervisor has none.
    let threads = Threads::start(2);
    let results: Result<Vec<_>, _> = pool.map(0..10, |(), n: u32| n * n).collect();
    assert_eq!(results?, (0..10).map(|n| n * n).collect::<Vec<_>>());
    let killed = pool.map([()], abort).next().expect("one outcome");
    assert_eq!(killed.expect_err("it aborts").kind(), ErrorKind::Died);
    let results: Result<Vec<_>, _> = pool.map(0..10, |(), n: u32| n + 1).collect();
    assert_eq!(results?, (1..11).collect::<Vec<_>>());
    assert_eq!(pool.shutdown()?.replaced(), 1);
    threads.stop();
    Ok(())
}

fn others_work_beside_threads(context: Context) -> Outcome {
    static STOP: AtomicBool = AtomicBool::new(false);
    let threads = Threads::start(4);
    let churn = thread::spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            thread::spawn(|| ()).join().expect("an empty thread ends");
        }
    });
    for n in 0..rounds().div_ceil(100) {
        assert_eq!(context.process().start(n, |n: u32| n + 1)?.join()?, n + 1);
    }
    let from_thread = thread::spawn(move || {
        let pool = context.pool().workers(2).build()?;
        pool.map(0..100, |(), n: u32| n).sum::<Result<u32, _>>().map_err(Error::from)
    });
    assert_eq!(from_thread.join().expect("the thread ends")?, 4950);
    STOP.store(true, Ordering::Relaxed);
    churn.join().expect("the thread ends");
    threads.stop();
    Ok(())
}
