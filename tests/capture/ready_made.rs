//! The captures that come with the crate.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use offspring::{Context, ErrorKind, Reuse, captures};
use offspring_platform::lifeline;

use crate::harness::Outcome;

/// A directory of the case's own, by the name that the system gives it.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path.canonicalize().unwrap()
}

fn here() -> PathBuf {
    std::env::current_dir().unwrap()
}

#[offspring::test]
fn the_directory(context: Context) -> Outcome {
    let before = here();
    let pool = context.pool().workers(1).build()?;
    let guard = captures::directory()?;
    for name in ["one", "two"] {
        std::env::set_current_dir(directory(name))?;
        let found = pool.submit((), |_: &mut (), ()| {
            let found = here();
            std::env::set_current_dir("/").unwrap();
            found
        });
        assert_eq!(found?.join()?, directory(name));
        assert_eq!(here(), directory(name), "here it stays");
        assert_eq!(context.process().start((), |()| here())?.join()?, directory(name));
    }
    drop(guard);
    let found = pool.submit((), |_: &mut (), ()| here())?.join()?;
    let own = if context == Context::Inline { directory("two") } else { before.clone() };
    assert_eq!(found, own);
    std::env::set_current_dir(before)?;
    for name in ["one", "two"] {
        std::fs::remove_dir(directory(name))?;
    }
    Ok(())
}

/// AC48.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_directory_that_is_gone(context: Context) -> Outcome {
    let before = here();
    let pool = context.pool().workers(1).build()?;
    let guard = captures::directory()?;
    let gone = directory("gone");
    std::env::set_current_dir(&gone)?;
    std::fs::remove_dir(&gone)?;
    let error = pool.submit((), |_: &mut (), ()| ())?.join().unwrap_err();
    assert_eq!((error.kind(), error.capture()), (ErrorKind::Capture, Some("directory")));
    assert!(error.to_string().contains("the current directory is unknown"), "{error}");
    std::env::set_current_dir(&before)?;
    let found = pool.submit((), |_: &mut (), ()| here())?.join()?;
    assert_eq!(found, before);
    drop(guard);
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What the tests of the harness do not allow: it is one thread here.
fn set_variable(name: &str, value: Option<&str>) {
    #[expect(clippy::disallowed_methods, reason = "a case has a process with one thread")]
    match value {
        // SAFETY: a case runs alone in a process with one thread.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(name) },
    }
}

#[offspring::test]
fn variables_of_the_environment(context: Context) -> Outcome {
    set_variable("CAPTURE_A", Some("a"));
    set_variable("CAPTURE_B", None);
    let pool = context.pool().workers(1).build()?;
    let all = || ["CAPTURE_A", "CAPTURE_B", "CAPTURE_C"].map(variable);
    let text = |words: [&str; 3]| words.map(|word| Some(word.to_owned()).filter(|w| !w.is_empty()));
    let usual = pool.submit((), move |_: &mut (), ()| all())?.join()?;
    assert_eq!(usual, text(["a", "", ""]));
    let guard = captures::environment(["CAPTURE_A", "CAPTURE_B"])?;
    set_variable("CAPTURE_A", None);
    set_variable("CAPTURE_B", Some("b"));
    set_variable("CAPTURE_C", Some("c"));
    let found = pool.submit((), move |_: &mut (), ()| {
        let found = all();
        set_variable("CAPTURE_A", Some("changed"));
        found
    });
    let third = if context == Context::Inline { "c" } else { "" };
    assert_eq!(found?.join()?, text(["", "b", third]));
    assert_eq!(all(), text(["", "b", "c"]), "here nothing has changed");
    drop(guard);
    let found = pool.submit((), move |_: &mut (), ()| all())?.join()?;
    let expected = if context == Context::Inline { text(["", "b", "c"]) } else { usual };
    assert_eq!(found, expected);
    Ok(())
}

#[offspring::test]
fn names_that_cannot_be(_: Context) -> Outcome {
    for name in ["", "A=B", "A\0"] {
        let error = captures::environment(["OK", name]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    Ok(())
}

/// AC48.
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn no_change_of_the_environment_beside_threads(context: Context) -> Outcome {
    let pool = context.pool().workers(1).init((), |()| ()).build()?;
    let guard = captures::environment(["CAPTURE_A"])?;
    pool.submit((), |_: &mut (), ()| {
        std::thread::spawn(crate::harness::sleep_for_ever);
    })?
    .join()?;
    pool.submit((), |_: &mut (), ()| ())?.join()?;
    set_variable("CAPTURE_A", Some("other"));
    let error = pool.submit((), |_: &mut (), ()| ())?.join().unwrap_err();
    assert_eq!(
        (error.kind(), error.capture()),
        (ErrorKind::Capture, Some("environment CAPTURE_A"))
    );
    assert!(error.to_string().contains("other threads"), "{error}");
    pool.recycle();
    let found = pool.submit((), |_: &mut (), ()| variable("CAPTURE_A"))?.join()?;
    assert_eq!(found.as_deref(), Some("other"));
    drop(guard);
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test]
fn the_locale(context: Context) -> Outcome {
    fn set(name: &std::ffi::CStr) {
        // SAFETY: the text ends with zero, and this process has one thread.
        let set = unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) };
        assert!(!set.is_null(), "this system has no locale {name:?}");
    }
    fn found() -> String {
        // SAFETY: only asks, in a process with one thread.
        let name = unsafe { libc::setlocale(libc::LC_ALL, std::ptr::null()) };
        // SAFETY: `setlocale` returned it, and it is not changed while it is copied.
        unsafe { std::ffi::CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }
    let pool = context.pool().workers(1).build()?;
    let usual = pool.submit((), |_: &mut (), ()| found())?.join()?;
    let guard = captures::locale()?;
    set(c"C.UTF-8");
    assert_eq!(pool.submit((), |_: &mut (), ()| found())?.join()?, found());
    assert_eq!(context.process().start((), |()| found())?.join()?, found());
    assert_ne!(found(), usual);
    drop(guard);
    if context == Context::Inline {
        set(c"C");
    }
    assert_eq!(pool.submit((), |_: &mut (), ()| found())?.join()?, usual);
    Ok(())
}

#[cfg(feature = "log")]
#[offspring::test]
fn the_level_of_log(context: Context) -> Outcome {
    let level = || log::max_level().to_string();
    let pool = context.pool().workers(1).build()?;
    let guard = captures::log_level()?;
    for wanted in [log::LevelFilter::Trace, log::LevelFilter::Warn] {
        log::set_max_level(wanted);
        assert_eq!(pool.submit((), move |_: &mut (), ()| level())?.join()?, wanted.to_string());
    }
    drop(guard);
    log::set_max_level(log::LevelFilter::Off);
    assert_eq!(pool.submit((), move |_: &mut (), ()| level())?.join()?, "OFF");
    Ok(())
}

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

#[offspring::test]
fn each_task_its_own_seed(context: Context) -> Outcome {
    let base = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1));
    let wanted = base.clone();
    let get = move || wanted.load(std::sync::atomic::Ordering::Relaxed);
    let _guard = captures::seed(get, |seed| SEED.set(seed))?;
    for reuse in [Reuse::Keep, Reuse::PerTask] {
        let draw = || -> Result<Vec<u64>, offspring::Error> {
            let pool = context.pool().workers(3).reuse(reuse).build()?;
            let seeds = pool.map(0..12, |_: &mut (), _: i32| SEED.get()).round_robin();
            Ok(seeds.collect::<Result<_, _>>()?)
        };
        base.store(1, std::sync::atomic::Ordering::Relaxed);
        let first = draw()?;
        if context != Context::Inline || reuse == Reuse::Keep {
            let different: BTreeSet<_> = first.iter().collect();
            assert_eq!(different.len(), first.len(), "{reuse:?}: {first:?}");
        }
        // Which fresh worker gets which task depends on who is up first.
        if reuse == Reuse::Keep || !lifeline::IS_A_THREAD {
            assert_eq!(draw()?, first, "{reuse:?}: the same seed");
        }
        base.store(2, std::sync::atomic::Ordering::Relaxed);
        let other = draw()?;
        assert!(other.iter().all(|seed| !first.contains(seed)), "{reuse:?}: another seed");
    }
    Ok(())
}
