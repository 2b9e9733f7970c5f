//! The options of the attribute, and what a test's process is like.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use offspring::{Context, ErrorKind};

#[offspring::test(contexts(Fork, Spawn), timeout = "30s")]
fn two_contexts(context: Context) {
    assert!(matches!(context, Context::Fork | Context::Spawn));
}

#[offspring::test(contexts(unsafe(fork), fork_server))]
fn spelled_otherwise(context: Context) {
    let child = context.process().start((), |()| std::process::id()).unwrap();
    assert_ne!(child.join().unwrap(), std::process::id());
}

#[offspring::test(contexts(Spawn))]
#[should_panic(expected = "as expected")]
fn panics(_: Context) {
    panic!("this is as expected");
}

#[offspring::test(contexts(Inline), should_panic)]
fn panics_too(_: Context) {
    panic!("anyhow");
}

#[offspring::test(contexts(Inline), ignore = "not today")]
fn ignored(_: Context) {
    panic!("it ran all the same");
}

#[offspring::test(contexts(Inline))]
#[ignore = "not today either"]
fn ignored_below(_: Context) {
    panic!("it ran all the same");
}

#[offspring::test(contexts(Inline), leak_check = false)]
fn keeps_a_file(_: Context) {
    std::fs::write(std::env::temp_dir().join("kept"), "text").unwrap();
    std::mem::forget(std::fs::File::open("/dev/null").unwrap());
}

/// The same name, at the same time, on every context.
#[offspring::test]
fn files_do_not_meet(context: Context) -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join("file");
    std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let own = context.process().start((), |()| std::env::temp_dir())?.join()?;
    assert_eq!(Some(own.as_path()), path.parent(), "that of its children is the same");
    std::fs::remove_file(&path)?;
    Ok(())
}

/// Nobody misses it afterwards.
#[offspring::test(contexts(Inline))]
fn removes_its_directory(_: Context) {
    std::fs::remove_dir(std::env::temp_dir()).unwrap();
}

/// Only this test can have changed it.
static COUNT: AtomicU32 = AtomicU32::new(0);

#[offspring::test]
fn statics_are_fresh(_: Context) {
    assert_eq!(COUNT.fetch_add(1, Ordering::Relaxed), 0);
}

/// What one context does with a static, and another does not.
#[offspring::test]
fn statics_in_children(context: Context) -> offspring::Result<()> {
    COUNT.store(7, Ordering::Relaxed);
    let seen = context.process().start((), |()| COUNT.load(Ordering::Relaxed))?.join()?;
    assert_eq!(seen, if context.inherits_memory() { 7 } else { 0 });
    Ok(())
}

/// As in `main`: a write to nobody is an error, and no death.
#[offspring::test]
fn a_broken_pipe_is_an_error(_: Context) {
    let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    child.wait().unwrap();
    let error = pipe.write_all(b"nobody reads this").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

/// The test program itself, as a program like any other, does not take part.
#[offspring::test(contexts(Spawn))]
fn the_test_program_is_a_program(_: Context) {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert!(list.contains("the_test_program_is_a_program::spawn: test"), "{list}");
}

/// What other constructors of the program do has been done, once, wherever the linker has put them.
#[cfg(target_os = "linux")]
static REGISTERED: AtomicU32 = AtomicU32::new(0);

#[cfg(target_os = "linux")]
mod registers {
    use super::{Ordering, REGISTERED};

    extern "C" fn register() {
        REGISTERED.fetch_add(1, Ordering::Relaxed);
    }

    #[used]
    #[link_section = ".init_array.00200"]
    static EARLY: extern "C" fn() = register;
    #[used]
    #[link_section = ".init_array"]
    static LATE: extern "C" fn() = register;
}

#[cfg(target_os = "linux")]
#[offspring::test]
fn other_constructors_have_run(context: Context) -> offspring::Result<()> {
    assert_eq!(REGISTERED.load(Ordering::Relaxed), 2);
    let seen = context.process().start((), |()| REGISTERED.load(Ordering::Relaxed))?.join()?;
    assert_eq!(seen, 2);
    Ok(())
}

/// Behind all others of this file.
#[cfg(target_os = "linux")]
mod registers_last {
    use super::{AtomicU32, Ordering};

    pub(super) static LAST: AtomicU32 = AtomicU32::new(0);

    extern "C" fn register() {
        LAST.fetch_add(1, Ordering::Relaxed);
    }

    #[used]
    #[link_section = ".init_array"]
    static LAST_ENTRY: extern "C" fn() = register;
}

#[cfg(target_os = "linux")]
#[offspring::test]
fn the_last_constructor_has_run(_: Context) {
    assert_eq!(registers_last::LAST.load(Ordering::Relaxed), 1);
}

/// In the test program itself. Once more by `tests/user.rs`, with notes that were written for others.
#[cfg(target_os = "linux")]
#[test]
fn constructors_run_once() {
    assert_eq!(REGISTERED.load(Ordering::Relaxed), 2);
    assert_eq!(registers_last::LAST.load(Ordering::Relaxed), 1);
}

#[offspring::test]
fn a_thread_forbids_fork() {
    std::thread::scope(|scope| {
        let (wait, waiting) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || waiting.recv());
        let refused = Context::Fork.process().start((), |()| ()).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Multithreaded { .. }), "{refused}");
        drop(wait);
    });
}

/// Nobody has promised that it may be forked.
#[offspring::test(contexts(Spawn, ForkServer, Inline))]
fn no_promise_without_fork(context: Context) -> offspring::Result<()> {
    fn refused() -> bool {
        let start = Context::Fork.process().start((), |()| ());
        matches!(start.unwrap_err().kind(), ErrorKind::ForkNotAllowed)
    }
    assert!(refused(), "in the process of the test");
    assert!(context.process().start((), |()| refused())?.join()?, "in its children");
    Ok(())
}

/// Fork inside of another context, by the promise that is seen in the attribute.
#[offspring::test(contexts(unsafe(Fork), Spawn, ForkServer, Inline))]
fn one_promise_for_all_contexts(context: Context) -> offspring::Result<()> {
    fn is_promised() -> bool {
        match Context::Fork.process().start(20, |n: u32| n + 1) {
            Ok(child) => child.join().unwrap() == 21,
            // Where a child has a thread of ours, which forbids it. The promise is asked for before.
            Err(refused) => matches!(refused.kind(), ErrorKind::Multithreaded { .. }),
        }
    }
    let child = Context::Fork.process().start(20, |n: u32| n + 1)?;
    assert_eq!(child.join()?, 21, "in the process of the test");
    assert!(context.process().start((), |()| is_promised())?.join()?, "in its children");
    Ok(())
}

/// For the test below.
#[offspring::test(contexts(Inline), ignore = "it has no end", timeout = "1s")]
fn waits_for_nobody(_: Context) {
    loop {
        std::thread::park();
    }
}

/// Also where its own alarm ends the process of a test, and not the kernel with the test program.
#[test]
fn a_multiplied_limit_holds_for_both_sides() {
    let start = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "waits_for_nobody::inline"])
        .env("OFFSPRING_TEST_TIMEOUT_FACTOR", "3")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("waits_for_nobody::inline failed: "), "{said}");
    assert!(start.elapsed() >= Duration::from_secs(3), "{said}");
}
