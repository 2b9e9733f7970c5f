//! Name, environment, directory, limits, and the deadline of a start.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use offspring::{Context, ErrorKind, Phase};

use super::stage::start_waiting;
use crate::cases;
use crate::harness::{Case, Outcome, PROCESSES, leaks, programs, sleep_for_ever};

pub(crate) const ON_ALL: &[Case] = cases![names, changes_after_the_template_started];
pub(crate) const ON_PROCESSES: &[Case] = cases![on PROCESSES =>
    names_in_ps,
    environment_is_the_parents,
    environment_changes,
    environment_cleared,
    impossible_environment,
    directory,
    directory_after_a_move,
    missing_directory,
    // Elsewhere a directory that was removed cannot be asked which it was.
    #[cfg(target_os = "linux")]
    removed_directory,
    memory_limit_is_reported,
    memory_limit_ends_the_child,
    memory_limit_below_any_use,
];
pub(crate) const BY_EXEC: &[Case] =
    cases![on &[Context::Spawn, Context::ForkServer] => start_timeout, stopped_after_hello];

type Variables = BTreeMap<OsString, OsString>;

fn variables((): ()) -> Variables {
    std::env::vars_os().collect()
}

fn named_function(n: u8) -> u8 {
    n
}

fn names(context: Context) -> Outcome {
    let child =
        context.process().name("a name that is longer than ps has room for").start((), drop)?;
    assert_eq!(child.name(), "a name that is longer than ps has room for");
    child.join()?;
    let child = context.process().start(1, named_function)?;
    assert!(child.name().ends_with("settings::named_function"), "{}", child.name());
    let debug = format!("{child:?}");
    assert!(debug.contains(&child.id().to_string()), "{debug}");
    assert!(debug.contains("named_function"), "{debug}");
    child.join()?;
    Ok(())
}

fn names_in_ps(context: Context) -> Outcome {
    for (name, seen) in [
        ("short", &b"short"[..]),
        ("exactly fifteen", b"exactly fifteen"),
        ("a name that is longer", b"a name that is "),
        ("", b""),
        ("before\0after", b"beforeafter"),
    ] {
        let comm = |()| std::fs::read("/proc/self/comm").expect("the system has names");
        let told = context.process().name(name).start((), comm)?.join()?;
        assert_eq!(told.strip_suffix(b"\n"), Some(seen), "{name:?}");
    }
    // And from outside, as soon as `start` has returned.
    let (child, mut line) = start_waiting(context)?;
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", child.id()))?;
    assert!(child.name().starts_with(comm.trim_end()), "{comm:?} for {}", child.name());
    line.say();
    child.join()?;
    Ok(())
}

fn environment_is_the_parents(context: Context) -> Outcome {
    assert_eq!(context.process().start((), variables)?.join()?, variables(()));
    Ok(())
}

fn environment_changes(context: Context) -> Outcome {
    let odd = OsStr::from_bytes(b"\xff\xfe=not a text");
    let builder = context
        .process()
        .env("A", "first")
        .env("A", "second")
        .env("GONE", "soon")
        .env_remove("GONE")
        .env_remove("NEVER_WAS")
        .env_remove("TMPDIR")
        .env("EMPTY", "")
        .env("ODD", odd)
        .env("BACK", "1")
        .env_remove("BACK")
        .env("BACK", "2");
    let mut wanted = variables(());
    wanted.remove(OsStr::new("TMPDIR")).expect("the harness sets it");
    wanted
        .extend([("A", "second"), ("EMPTY", ""), ("BACK", "2")].map(|(n, v)| (n.into(), v.into())));
    wanted.insert("ODD".into(), odd.into());
    assert_eq!(builder.start((), variables)?.join()?, wanted);
    Ok(())
}

fn environment_cleared(context: Context) -> Outcome {
    let builder = context.process().env("BEFORE", "1").env_clear();
    assert_eq!(builder.start((), variables)?.join()?, Variables::new());
    let builder = builder.env("AFTER", "2");
    let wanted = Variables::from([("AFTER".into(), "2".into())]);
    assert_eq!(builder.start((), variables)?.join()?, wanted);
    Ok(())
}

fn impossible_environment(context: Context) -> Outcome {
    for (name, value) in [("", "1"), ("A=B", "1"), ("=A", "1"), ("A\0B", "1"), ("A", "1\x002")] {
        let error = context.process().env(name, value).start((), variables).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}={value:?}: {error}");
        assert_eq!(error.phase(), Phase::NotStarted);
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    let error = context.process().env_remove("A=B").start((), variables).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

fn here((): ()) -> PathBuf {
    std::env::current_dir().expect("there is a directory")
}

fn directory(context: Context) -> Outcome {
    assert_eq!(context.process().start((), here)?.join()?, here(()));
    let made = std::env::temp_dir().canonicalize()?.join("directory with a space");
    std::fs::create_dir(&made)?;
    assert_eq!(context.process().current_dir(&made).start((), here)?.join()?, made);
    assert_ne!(here(()), made, "the parent stays where it is");
    // Relative to where the parent is.
    let tests = context.process().current_dir("tests").start((), here)?.join()?;
    assert_eq!(tests, here(()).join("tests"));
    std::fs::remove_dir(made)?;
    Ok(())
}

/// Relative to where the parent is when it starts the child, not to where it was when the template started.
fn directory_after_a_move(context: Context) -> Outcome {
    let root = std::env::temp_dir().canonicalize()?;
    for place in ["one/inner", "two/inner"] {
        std::fs::create_dir_all(root.join(place))?;
    }
    std::env::set_current_dir(root.join("one"))?;
    context.process().start((), here)?.join()?;
    std::env::set_current_dir(root.join("two"))?;
    let found = context.process().current_dir("inner").start((), here)?.join()?;
    assert_eq!(found, root.join("two/inner"));
    let pool = context.pool().workers(1).current_dir("inner").build()?;
    std::env::set_current_dir(root.join("one"))?;
    assert_eq!(pool.submit((), |(), ()| here(()))?.join()?, root.join("two/inner"));
    drop(pool);
    std::env::set_current_dir(&root)?;
    for place in ["one", "two"] {
        std::fs::remove_dir_all(root.join(place))?;
    }
    Ok(())
}

fn missing_directory(context: Context) -> Outcome {
    let missing = std::env::temp_dir().join("is-not-there");
    for missing in [missing, "/dev/null".into()] {
        let error = context.process().current_dir(&missing).start((), here).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Start, "{error}");
        assert_eq!(error.phase(), Phase::NotStarted, "{error}");
        assert_eq!(error.context(), Some(context), "{error}");
        let text = error.to_string();
        assert!(text.contains("directory"), "{text}");
        assert!(text.contains(missing.to_str().ok_or("a text")?), "{text}");
        assert_eq!(leaks::children_of(std::process::id()).len(), template_count(context));
    }
    Ok(())
}

/// Who works in it works in no other: what has no path has none in the child.
#[cfg(target_os = "linux")]
fn removed_directory(context: Context) -> Outcome {
    use std::os::unix::fs::MetadataExt;

    let place = |()| {
        let which = std::fs::metadata(".").map(|found| (found.dev(), found.ino()));
        let path = std::env::current_dir().map_err(|error| error.raw_os_error());
        (which.map_err(|error| error.raw_os_error()), path, std::fs::write("file", "text").is_ok())
    };
    let before = here(());
    let gone = std::env::temp_dir().canonicalize()?.join("gone");
    std::fs::create_dir(&gone)?;
    std::env::set_current_dir(&gone)?;
    std::fs::remove_dir(&gone)?;
    let own = place(());
    assert_eq!((&own.1, own.2), (&Err(Some(libc::ENOENT)), false), "it has been removed");
    for _ in 0..2 {
        assert_eq!(context.process().start((), place)?.join()?, own);
    }
    let error = context.process().current_dir("tests").start((), here).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Start, "{error}");
    assert!(error.to_string().contains("`tests`"), "{error}");
    // A path of its own leads there.
    assert_eq!(context.process().current_dir(&before).start((), here)?.join()?, before);
    std::env::set_current_dir(&before)?;
    assert_eq!(context.process().start((), here)?.join()?, before);
    Ok(())
}

/// The fork server's template lives on.
fn template_count(context: Context) -> usize {
    usize::from(context == Context::ForkServer)
}

const GIB: u64 = 1 << 30;

fn memory_limit_is_reported(context: Context) -> Outcome {
    let builder = context.process().memory_limit(GIB);
    let (small, large) = builder
        .start((), |()| {
            let fits = |bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
            (fits(1 << 20), fits(2 << 30))
        })?
        .join()?;
    assert!(small, "1 MiB fits");
    assert!(!large, "2 GiB do not fit");
    Ok(())
}

fn memory_limit_ends_the_child(context: Context) -> Outcome {
    let child = context
        .process()
        .memory_limit(GIB)
        .start(2usize << 30, |bytes| std::hint::black_box(vec![1u8; bytes]).len())?;
    let error = child.join().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error}");
    assert_eq!(error.signal(), Some(libc::SIGABRT), "{error}");
    Ok(())
}

/// Not even the child's own start fits: that is an error too, and no hang.
fn memory_limit_below_any_use(context: Context) -> Outcome {
    let child = context.process().memory_limit(1).start((), |()| vec![1u8; 64 << 20]);
    let error = child.and_then(offspring::Process::join).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Start | ErrorKind::Died), "{error}");
    assert!(error.exit().is_some(), "{error}");
    Ok(())
}

/// A program that never gets to `init` in its children.
pub(crate) fn late_program() -> ExitCode {
    if std::env::var_os("OFFSPRING_CHILD").is_some() {
        sleep_for_ever();
    }
    offspring::init();
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    let builder = context.process().start_timeout(Duration::from_millis(100));
    let error = builder.start((), |()| ()).expect_err("the child never says hello");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(error.phase(), Phase::NotStarted, "{error}");
    assert_eq!(error.context(), Some(context), "{error}");
    assert!(error.to_string().contains("hello"), "{error}");
    assert!(error.to_string().contains("init"), "{error}");
    let left = leaks::children_of(std::process::id());
    assert!(left.is_empty(), "the child is gone: {left:?}");
    ExitCode::SUCCESS
}

/// Runs a program that is told a context, and succeeds.
pub(crate) fn run_program(name: &str, context: Context) -> Outcome {
    let status = programs::command(name).env("OFFSPRING_CONTEXT", context.to_string()).status()?;
    assert!(status.success(), "{name}: {status}");
    Ok(())
}

fn start_timeout(context: Context) -> Outcome {
    run_program("late", context)
}

/// Stops this process as soon as it takes this signal, which is blocked in a child until it has said hello.
fn stop_at(signal: i32) {
    extern "C" fn stop(_: i32) {
        // SAFETY: no memory is involved, and a handler may call it.
        unsafe { libc::raise(libc::SIGSTOP) };
    }
    let handler = stop as *const () as libc::sighandler_t;
    // SAFETY: the handler calls `raise` alone.
    unsafe { libc::signal(signal, handler) };
    // SAFETY: no memory is involved.
    unsafe { libc::raise(signal) };
}

/// A program whose children stop right after they said hello, and never take large arguments.
pub(crate) fn stopping_program() -> ExitCode {
    if std::env::var_os("OFFSPRING_CHILD").is_some() {
        // What comes from terminals is blocked in a child that was executed. The template stays deaf to it.
        stop_at(libc::SIGTSTP);
    }
    offspring::init();
    offspring::after_fork("stop", || stop_at(libc::SIGUSR1)).expect("it is the program's");
    let context = Context::from_env_or(Context::Spawn).expect("the case names a context");
    let builder = context.process().start_timeout(Duration::from_secs(10));
    let large = vec![7u8; 64 << 20];
    let error = builder.start(large, |bytes: Vec<u8>| bytes.len()).expect_err("nobody takes them");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert_eq!(error.phase(), Phase::NotStarted, "{error}");
    assert!(error.to_string().contains("nothing of its arguments"), "{error}");
    let pid = error.pid().expect("there was a child");
    assert!(super::stage::is_gone(pid), "{error}");
    ExitCode::SUCCESS
}

fn stopped_after_hello(context: Context) -> Outcome {
    run_program("stops-after-hello", context)
}

#[expect(clippy::disallowed_methods, reason = "the case has one thread")]
fn set(name: &str, value: Option<&str>) {
    match value {
        // SAFETY: the case has one thread.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(name) },
    }
}

/// The harness started the fork server's template before the case began.
fn changes_after_the_template_started(context: Context) -> Outcome {
    let before = here(());
    let elsewhere = std::env::temp_dir().canonicalize()?.join("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    set("ADDED", Some("1"));
    set("RUST_BACKTRACE", Some("full"));
    set("PATH", None);
    std::env::set_current_dir(&elsewhere)?;
    let both = |()| (variables(()), here(()));
    assert_eq!(context.process().start((), both)?.join()?, (variables(()), elsewhere.clone()));

    // And again: what was added goes, what was removed comes back.
    set("ADDED", None);
    set("PATH", Some("/bin"));
    std::env::set_current_dir(&before)?;
    let (seen, place) = context.process().start((), both)?.join()?;
    assert_eq!((&seen, &place), (&variables(()), &before));
    assert!(!seen.contains_key(OsStr::new("ADDED")), "{seen:?}");
    assert_eq!(seen.get(OsStr::new("PATH")).map(OsString::as_os_str), Some(OsStr::new("/bin")));
    std::fs::remove_dir(elsewhere)?;
    Ok(())
}
