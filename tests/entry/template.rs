//! A fork server's template that is killed or stopped.

use std::process::ExitCode;
use std::time::Duration;

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use offspring::Exit;
use offspring::{Context, ErrorKind, Process};

use crate::cases;
use crate::harness::leaks::{Snapshot, children_of, descendants_of, is_alive};
use crate::harness::programs::command;
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use crate::harness::props::{Scratch, wait_for};
use crate::harness::{Case, Outcome, eventually, sleep_for_ever};
use crate::tools::{run, send_signal};

pub(crate) const CASES: &[Case] = cases![on &[Context::ForkServer] =>
    template_killed,
    template_stopped_and_continued,
    template_stopped_too_long,
    // Nothing in the kernel continues it elsewhere.
    #[cfg(not(offspring_force_portable))]
    template_left_stopped,
    // Elsewhere only the template knows when a child has ended.
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    children_that_end_while_it_is_stopped,
    a_child_is_ready,
    a_ready_child_is_killed,
    a_ready_child_gets_signals_of_the_group,
    a_ready_child_learns_what_changed,
];

fn add_one() -> Result<u8, offspring::Error> {
    Context::ForkServer.process().start(1u8, |n| n + 1).and_then(Process::join)
}

/// What a child does that is to be ended.
fn sleep((): ()) {
    sleep_for_ever()
}

/// The template: the only child of this process.
fn template() -> u32 {
    let children = children_of(std::process::id());
    assert_eq!(children.len(), 1, "one template: {children:?}");
    children.into_iter().next().expect("one")
}

/// Program: kills the template while it has children.
pub(crate) fn killed() -> ExitCode {
    offspring::init();
    assert_eq!(add_one().expect("it starts"), 2);
    let (first, before) = (template(), Snapshot::take());
    for round in 0..5 {
        let old = template();
        let children: Vec<Process<()>> = (0..3)
            .map(|_| Context::ForkServer.process().start((), sleep))
            .collect::<Result<_, _>>()
            .expect("they start");
        let pids: Vec<u32> = children.iter().map(Process::id).collect();
        send_signal(old, libc::SIGKILL);
        for child in children {
            let error = child.join().expect_err("its template is gone");
            assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        }
        for pid in pids {
            eventually("the child is gone", || !is_alive(pid));
        }
        assert_eq!(add_one().expect("a new template starts"), 2, "round {round}");
        assert_ne!(template(), old, "the template is a new one");
    }
    // Nothing but the number of the template is different.
    let after = format!("{:?}", Snapshot::take()).replace(&template().to_string(), "");
    let before = format!("{before:?}").replace(&first.to_string(), "");
    let count = |text: &str| text.matches(" -> ").count();
    assert_eq!(count(&after), count(&before), "descriptors before {before}, after {after}");
    ExitCode::SUCCESS
}

fn template_killed(_: Context) -> Outcome {
    run(&mut command("template_killed")).expect_success("template_killed");
    Ok(())
}

/// Stops a process, and waits until it is.
fn stop(pid: u32) {
    send_signal(pid, libc::SIGSTOP);
    eventually("it is stopped", || state(&format!("/proc/{pid}/stat")) == Some('T'));
}

fn state(path: &str) -> Option<char> {
    let stat = std::fs::read_to_string(path).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Program: the template is stopped, and continued when somebody waits for it.
pub(crate) fn stopped() -> ExitCode {
    offspring::init();
    assert_eq!(add_one().expect("it starts"), 2);
    let pid = template();
    for _ in 0..3 {
        stop(pid);
        let own = std::process::id();
        let thread = std::thread::spawn(move || {
            // The main thread sleeps: it waits for the template.
            for _ in 0..3 {
                let stat = format!("/proc/self/task/{own}/stat");
                eventually("the main thread waits", || state(&stat) == Some('S'));
            }
            send_signal(pid, libc::SIGCONT);
        });
        assert_eq!(add_one().expect("it only takes longer"), 2);
        thread.join().expect("no panic");
        assert_eq!(template(), pid, "the template is the same");
    }
    ExitCode::SUCCESS
}

fn template_stopped_and_continued(_: Context) -> Outcome {
    run(&mut command("template_stopped")).expect_success("template_stopped");
    Ok(())
}

/// Program: the template is stopped for longer than a start may take.
pub(crate) fn stopped_too_long() -> ExitCode {
    offspring::init();
    assert_eq!(add_one().expect("it starts"), 2);
    let pid = template();
    let before = Snapshot::take();
    // It sleeps when it has told so: a child is there a moment before.
    let stat = format!("/proc/{pid}/stat");
    eventually("one child is ready, and known to be", || {
        !children_of(pid).is_empty() && state(&stat) == Some('S')
    });
    stop(pid);
    let early = Context::ForkServer.process().start(1u8, |n| n + 1).expect("one child is ready");
    for _ in 0..3 {
        let builder = Context::ForkServer.process().start_timeout(Duration::from_millis(20));
        let error = builder.start((), |()| ()).expect_err("nobody answers");
        let typed = matches!(error.kind(), ErrorKind::Start | ErrorKind::TimedOut);
        assert!(typed, "{error}");
    }
    // Nor is there room for so many requests. (Linux: some 280.)
    for _ in 0..400 {
        let builder = Context::ForkServer.process().start_timeout(Duration::from_millis(2));
        builder.start((), |()| ()).expect_err("nobody answers");
    }
    send_signal(pid, libc::SIGCONT);
    assert_eq!(early.join().expect("its end is reported late"), 2);
    assert_eq!(add_one().expect("it starts"), 2);
    // What it started late for nobody is gone again.
    eventually("no child is left", || descendants_of(std::process::id()).len() == 1);
    before.compare().expect("nothing is left");
    ExitCode::SUCCESS
}

fn template_stopped_too_long(_: Context) -> Outcome {
    run(&mut command("template_stopped_too_long")).expect_success("template_stopped_too_long");
    Ok(())
}

/// Program: ends while its template is stopped, with a child.
pub(crate) fn left_stopped() -> ExitCode {
    offspring::init();
    let child = Context::ForkServer.process().start((), sleep);
    child.expect("it starts").detach();
    stop(template());
    ExitCode::SUCCESS
}

#[cfg(not(offspring_force_portable))]
fn template_left_stopped(_: Context) -> Outcome {
    // That nothing survives is checked for every case.
    run(&mut command("template_left_stopped")).expect_success("template_left_stopped");
    Ok(())
}

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn children_that_end_while_it_is_stopped(context: Context) -> Outcome {
    let go = Scratch::new("go");
    let answers = context.process().start(go.path(), |go| {
        wait_for(&go);
        7u8
    })?;
    #[expect(clippy::exit, reason = "it is about that")]
    let exits = context.process().start(go.path(), |go| -> () {
        wait_for(&go);
        std::process::exit(3)
    })?;
    let mut killed = context.process().start((), sleep)?;
    let mut stopped = context.process().start((), sleep)?;
    let template = template();
    stop(template);
    go.open();
    assert_eq!(answers.join()?, 7);
    let error = exits.join().unwrap_err();
    assert_eq!((error.kind(), error.exit()), (ErrorKind::Died, Some(Exit::Code(3))), "{error}");
    assert!(killed.is_alive());
    killed.kill()?;
    let error = killed.join().unwrap_err();
    assert_eq!((error.kind(), error.signal()), (ErrorKind::Died, Some(libc::SIGKILL)), "{error}");
    let exit = stopped.stop(Duration::from_secs(3600))?;
    assert!(matches!(exit, Exit::Signal { signal: libc::SIGTERM, .. }), "{exit}");
    send_signal(template, libc::SIGCONT);
    assert_eq!(add_one()?, 2);
    Ok(())
}

/// The child that the template keeps ready.
fn ready() -> u32 {
    eventually("one child is ready", || children_of(template()).len() == 1);
    children_of(template()).into_iter().next().expect("one")
}

fn a_child_is_ready(context: Context) -> Outcome {
    assert_eq!(add_one()?, 2);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let expected = ready();
        let child = context.process().start((), |()| std::process::id())?;
        assert_eq!(child.id(), expected, "it is the one that was ready");
        assert_eq!(child.join()?, expected);
        assert!(seen.insert(expected), "each runs one function");
        eventually("another one is ready", || !children_of(template()).contains(&expected));
    }
    Ok(())
}

fn a_ready_child_is_killed(context: Context) -> Outcome {
    assert_eq!(add_one()?, 2);
    for _ in 0..5 {
        let pid = ready();
        send_signal(pid, libc::SIGKILL);
        eventually("it is gone", || !is_alive(pid) && !children_of(template()).contains(&pid));
        let child = context.process().start((), |()| std::process::id())?;
        assert_ne!(child.id(), pid);
        child.join()?;
    }
    Ok(())
}

/// They were sent to the program, not to who it will be.
fn a_ready_child_gets_signals_of_the_group(context: Context) -> Outcome {
    assert_eq!(add_one()?, 2);
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGTERM, libc::SIGHUP] {
        let pid = ready();
        send_signal(pid, signal);
        let child = context.process().start((), |()| std::process::id())?;
        assert_eq!(child.id(), pid, "signal {signal}");
        assert_eq!(child.join()?, pid, "signal {signal}");
    }
    Ok(())
}

fn a_ready_child_learns_what_changed(context: Context) -> Outcome {
    assert_eq!(add_one()?, 2);
    let pid = ready();
    #[expect(clippy::disallowed_methods, reason = "this is what the template cannot know of")]
    // SAFETY: this process has one thread.
    unsafe {
        std::env::set_var("CHANGED_SINCE", "yes")
    };
    let before = std::env::current_dir()?;
    std::env::set_current_dir("/")?;
    let child = context
        .process()
        .start((), |()| (std::env::var("CHANGED_SINCE").ok(), std::env::current_dir().ok()))?;
    assert_eq!(child.id(), pid);
    assert_eq!(child.join()?, (Some("yes".to_owned()), Some("/".into())));
    std::env::set_current_dir(before)?;
    Ok(())
}
