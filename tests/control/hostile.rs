//! Parents in which other code collects children, or has the system collect them.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use offspring::{Context, ErrorKind, Exit};

use super::endings::collect;
use super::settings::run_program;
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES, leaks, sleep_for_ever};

pub(crate) const ON_ALL: &[Case] = cases![on PROCESSES =>
    endings_are_ignored,
    endings_are_ignored_from_the_start,
];
pub(crate) const BESIDE_THREADS: &[Case] =
    cases![on &[Context::Spawn, Context::ForkServer] => another_thread_collects_all];

pub(crate) fn sigchld(disposition: libc::sighandler_t) {
    // SAFETY: "ignore" and "default" run nothing.
    let before = unsafe { libc::signal(libc::SIGCHLD, disposition) };
    assert_ne!(before, libc::SIG_ERR);
}

/// Everything works, but for the status of children: that may be lost.
fn use_all(context: Context) -> Outcome {
    for n in 0..20 {
        let mut child = context.process().start(n, |n| n + 1)?;
        let forever = Duration::from_secs(3600);
        assert_eq!(child.join_timeout(forever)?, Some(n + 1));
        let exit = child.exit_status();
        assert!(matches!(exit, Some(Exit::Code(0) | Exit::Unknown)), "{exit:?}");
        assert!(!child.is_alive());
    }
    let child = context.process().start((), |()| -> () { panic!("heard") })?;
    let error = child.join().unwrap_err();
    assert_eq!(error.panic().map(offspring::Panic::message), Some("heard"), "{error}");

    let child = context.process().start((), |()| -> () { sleep_for_ever() })?;
    child.kill()?;
    let error = child.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    let exit = error.exit();
    assert!(
        matches!(exit, Some(Exit::Unknown | Exit::Signal { signal: libc::SIGKILL, .. })),
        "{error}"
    );

    let mut child = context.process().start((), |()| -> () { sleep_for_ever() })?;
    let exit = child.stop(Duration::from_secs(3600))?;
    assert!(matches!(exit, Exit::Unknown | Exit::Signal { signal: libc::SIGTERM, .. }), "{exit:?}");
    drop(context.process().start((), |()| -> () { sleep_for_ever() })?);
    context.process().start((), |()| ())?.detach();

    let group = context.process().start_group(0..4, |n| n * 2)?;
    assert_eq!(group.join()?, [0, 2, 4, 6]);

    let pool = context.pool().workers(2).build()?;
    let task = |_: &mut (), n: u32| if n == 7 { std::process::abort() } else { n + 1 };
    for (n, outcome) in (0..20).zip(pool.map(0..20, task)) {
        match outcome {
            Ok(answer) => assert_eq!((answer, n != 7), (n + 1, true)),
            Err(error) => assert_eq!((error.kind(), n), (ErrorKind::Died, 7), "{error}"),
        }
    }
    pool.shutdown()?;
    drop(context.pool().workers(2).build()?);
    Ok(())
}

fn endings_are_ignored(context: Context) -> Outcome {
    let before = leaks::descriptors();
    sigchld(libc::SIG_IGN);
    let outcome = use_all(context);
    sigchld(libc::SIG_DFL);
    collect(context, &before);
    outcome
}

/// Here the fork server's template, too, is started while endings are ignored.
pub(crate) fn program_that_ignores_endings() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    sigchld(libc::SIG_IGN);
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    match use_all(context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn endings_are_ignored_from_the_start(context: Context) -> Outcome {
    run_program("ignores-endings-of-children", context)
}

/// A thread that collects every child of the process, whosever it is.
pub(crate) struct Thief {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Thief {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut stolen = 0;
            while !told.load(Ordering::Relaxed) {
                // SAFETY: nobody asks for the status.
                let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
                if pid > 0 {
                    stolen += 1;
                } else {
                    std::thread::yield_now();
                }
            }
            stolen
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let stolen = thread.join().expect("the thread does not panic");
            println!("{stolen} children were collected by the other thread");
        }
    }
}

fn another_thread_collects_all(context: Context) -> Outcome {
    let before = leaks::descriptors();
    let thief = Thief::start();
    let outcome = use_all(context);
    collect(context, &before);
    drop(thief);
    outcome
}
