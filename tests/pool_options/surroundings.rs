//! What workers find around them (name, environment, directory, streams, processors), and what a
//! builder says about settings that cannot be.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use offspring::{Context, ErrorKind, Stdio};

use crate::harness::Outcome;
#[cfg(target_os = "linux")]
use crate::harness::scarcity::Group;
use crate::{Death, Scratch};

/// Replaces each worker, so that what holds for the first also has to hold for those that follow.
fn replace_all<S: 'static, X>(pool: &offspring::Pool<S, X>) -> Outcome {
    for result in pool.broadcast((), |_, ()| Death::Kill.die())? {
        let result: Result<(), _> = result;
        assert_eq!(result.expect_err("it died").kind(), ErrorKind::Died);
    }
    pool.ready(Duration::from_secs(60))?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn names(context: Context) -> Outcome {
    for (name, expected) in [
        (None, "offspring:w"),
        (Some("short"), "short:w"),
        (Some(""), ":w"),
        (Some("as long as it takes"), "as long as it t"),
    ] {
        let builder = context.pool().workers(2);
        let builder = match name {
            Some(name) => builder.name(name),
            None => builder,
        };
        let comm = |()| std::fs::read_to_string("/proc/self/comm").expect("the system has names");
        let pool = builder.init((), comm).build()?;
        for _ in 0..2 {
            let results = pool.broadcast((), |at_start, ()| {
                let now = std::fs::read_to_string("/proc/self/comm").expect("it has names");
                (at_start.clone(), now)
            })?;
            for (index, result) in results.into_iter().enumerate() {
                let (at_start, now) = result?;
                let full = match expected.ends_with(":w") {
                    true => format!("{expected}{index}\n"),
                    false => format!("{expected}\n"),
                };
                assert_eq!((at_start, now), (full.clone(), full));
            }
            replace_all(&pool)?;
        }
    }
    Ok(())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "the case has one thread")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn environment(context: Context) -> Outcome {
    // SAFETY: this process has one thread.
    unsafe { std::env::set_var("OFFSPRING_TEST_INHERITED", "from above") };
    // SAFETY: as before.
    unsafe { std::env::set_var("OFFSPRING_TEST_UNWANTED", "from above") };
    let pool = context
        .pool()
        .workers(2)
        .env("OFFSPRING_TEST_NEW", "a=b c\u{e9}")
        .env("OFFSPRING_TEST_EMPTY", "")
        .env_remove("OFFSPRING_TEST_UNWANTED")
        .env_remove("OFFSPRING_TEST_NEVER_SET")
        .env("OFFSPRING_TEST_TWICE", "1")
        .env("OFFSPRING_TEST_TWICE", "2")
        .env("OFFSPRING_TEST_GONE", "1")
        .env_remove("OFFSPRING_TEST_GONE")
        .env_remove("OFFSPRING_TEST_BACK")
        .env("OFFSPRING_TEST_BACK", "1")
        .build()?;
    for round in 0..2 {
        for result in pool.broadcast((), |(), ()| {
            ["INHERITED", "NEW", "EMPTY", "UNWANTED", "NEVER_SET", "TWICE", "GONE", "BACK"]
                .map(|name| variable(&format!("OFFSPRING_TEST_{name}")))
        })? {
            let expected = [
                Some("from above"),
                Some("a=b c\u{e9}"),
                Some(""),
                None,
                None,
                Some("2"),
                None,
                Some("1"),
            ];
            assert_eq!(result?.each_ref().map(Option::as_deref), expected, "round {round}");
        }
        replace_all(&pool)?;
    }
    assert_eq!(variable("OFFSPRING_TEST_NEW"), None, "this process is not touched");
    assert_eq!(variable("OFFSPRING_TEST_UNWANTED").as_deref(), Some("from above"));
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn environment_that_cannot_be(context: Context) -> Outcome {
    for (name, value) in [("", "x"), ("a=b", "x"), ("a\0b", "x"), ("a", "x\0y")] {
        let error = context.pool().workers(1).env(name, value).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}={value:?}: {error}");
    }
    let error = context.pool().workers(1).env_remove("a=b").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

const THREADS: [&str; 6] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];

#[expect(clippy::disallowed_methods, reason = "the case has one thread")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn inner_threads(context: Context) -> Outcome {
    for name in THREADS {
        // SAFETY: this process has one thread.
        unsafe { std::env::remove_var(name) };
    }
    // SAFETY: as before.
    unsafe { std::env::set_var("OMP_NUM_THREADS", "7") };
    // Without it, nothing is set. With it, all that nobody has set, here or there, whatever comes first.
    for (wanted, expected) in [
        (None, [Some("7"), None, None, None, None, Some("3")]),
        (Some(2), [Some("7"), Some("2"), None, Some("2"), Some("2"), Some("3")]),
    ] {
        let mut builder = context.pool().workers(2).env("RAYON_NUM_THREADS", "3");
        if let Some(count) = wanted {
            builder = builder.inner_threads(count);
        }
        let pool = builder.env_remove("MKL_NUM_THREADS").build()?;
        for result in pool.broadcast((), |(), ()| THREADS.map(variable))? {
            assert_eq!(result?.each_ref().map(Option::as_deref), expected, "{wanted:?}");
        }
        pool.shutdown()?;
    }
    Ok(())
}

#[offspring::test]
fn inner_threads_leave_this_process_alone(context: Context) -> Outcome {
    let before = THREADS.map(variable);
    let pool = context.pool().workers(1).inner_threads(3).build()?;
    assert_eq!(pool.map(0..5u64, |(), n| n).filter(Result::is_ok).count(), 5);
    pool.shutdown()?;
    assert_eq!(THREADS.map(variable), before);
    Ok(())
}

fn directory() -> PathBuf {
    std::env::current_dir().expect("there is one")
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_directory(context: Context) -> Outcome {
    let here = directory();
    let wanted = std::fs::canonicalize(std::env::temp_dir())?;
    let pool = context
        .pool()
        .workers(2)
        .current_dir(std::env::temp_dir())
        .init((), |()| directory())
        .build()?;
    for _ in 0..2 {
        for result in pool.broadcast((), |at_start, ()| (at_start.clone(), directory()))? {
            assert_eq!(result?, (wanted.clone(), wanted.clone()));
        }
        replace_all(&pool)?;
    }
    assert_eq!(directory(), here);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_directory_that_is_missing(context: Context) -> Outcome {
    let missing = std::env::temp_dir().join("missing");
    let outcome = context.pool().workers(2).current_dir(missing).build();
    let error = match outcome {
        Err(error) => error,
        Ok(pool) => {
            let errors: Vec<_> = pool.map(0..10u64, |(), n| n).filter_map(Result::err).collect();
            assert_eq!(errors.len(), 10);
            pool.shutdown().unwrap_err()
        }
    };
    assert_eq!((error.kind(), error.context()), (ErrorKind::Start, Some(context)), "{error}");
    assert!(error.to_string().contains("directory"), "{error}");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn the_directory_of_this_process(context: Context) -> Outcome {
    let before = directory();
    let pool = context.pool().workers(1).build()?;
    let ask = || pool.submit((), |(), ()| directory())?.join().map_err(offspring::Error::from);
    assert_eq!(ask()?, before);
    std::env::set_current_dir(std::env::temp_dir())?;
    assert_eq!(ask()?, before, "a worker that is there stays where it is");
    replace_all(&pool)?;
    assert_eq!(ask()?, before, "and so is one that takes its place");
    let there = std::fs::canonicalize(std::env::temp_dir())?;
    let other = context.pool().workers(1).build()?;
    let of_other = other.submit((), |(), ()| directory())?.join()?;
    std::env::set_current_dir(&before)?;
    assert_eq!(of_other, there);
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn output(context: Context) -> Outcome {
    let (out, err) = (Scratch::new("out"), Scratch::new("err"));
    let append = |path: PathBuf| std::fs::File::options().create(true).append(true).open(path);
    let pool = context
        .pool()
        .workers(2)
        .stdout(append(out.path())?)
        .stderr(append(err.path())?)
        .init((), |()| println!("init"))
        .exit(|()| eprintln!("exit"))
        .build()?;
    pool.ready(Duration::from_secs(60))?;
    for result in pool.map(0..20u64, |(), n| {
        println!("out {n}");
        // In one piece, which `eprintln!` is not.
        std::io::stderr().write_all(format!("err {n}\n").as_bytes()).expect("it is written");
    }) {
        result?;
    }
    pool.recycle();
    pool.ready(Duration::from_secs(60))?;
    let report = pool.shutdown()?;
    let workers = usize::try_from(report.replaced() + 2)?;
    for (lines, name, around) in [(out.lines(), "out", "init"), (err.lines(), "err", "exit")] {
        for n in 0..20 {
            let wanted = format!("{name} {n}");
            let found = lines.iter().filter(|line| **line == wanted).count();
            assert_eq!(found, 1, "{wanted:?} in {lines:?}");
        }
        assert_eq!(lines.iter().filter(|line| *line == around).count(), workers, "{lines:?}");
        assert_eq!(lines.len(), 20 + workers, "nothing else: {lines:?}");
    }
    let pool = context.pool().workers(1).stdout(Stdio::null()).stderr(Stdio::null()).build()?;
    pool.submit((), |(), ()| println!("nobody may see this"))?.join()?;
    Ok(())
}

/// The processors that this process may use.
#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
fn processors() -> Vec<usize> {
    // SAFETY: all zeroes is a valid set of processors.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is as large as is said.
    let told = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(told, 0);
    let many = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: no number is as large as the size of the set.
    (0..many).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn one_processor_each(context: Context) -> Outcome {
    let ours = processors();
    for pin in [true, false] {
        let pool = context.pool().workers(3).pin_cpus(pin).init((), |()| processors()).build()?;
        for _ in 0..2 {
            let results = pool.broadcast((), |at_start, ()| (at_start.clone(), processors()))?;
            for (index, result) in results.into_iter().enumerate() {
                let (at_start, now) = result?;
                assert_eq!(at_start, now);
                let expected = if pin { vec![ours[index % ours.len()]] } else { ours.clone() };
                assert_eq!(now, expected, "worker {index}, pinned {pin}, we have {ours:?}");
            }
            replace_all(&pool)?;
        }
    }
    assert_eq!(processors(), ours, "this process is not touched");
    Ok(())
}

#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn two_hundred_workers_that_are_ready(context: Context) -> Outcome {
    let pool = context.pool().workers(200).init(2u64, |two| two).build()?;
    pool.ready(Duration::from_secs(200))?;
    let indexes = pool
        .broadcast((), |two, ()| (*two, offspring::worker().expect("this is a worker").index()))?;
    assert_eq!(indexes.len(), 200);
    for (index, result) in indexes.into_iter().enumerate() {
        assert_eq!(result?, (2, index));
    }
    assert_eq!(pool.shutdown()?.abnormal_exits(), []);
    Ok(())
}

/// The mask for new files, and the largest core file.
fn rights() -> (libc::mode_t, libc::rlim_t) {
    // SAFETY: no memory is involved.
    let mask = unsafe { libc::umask(0) };
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    (mask, core_limit().rlim_cur)
}

fn core_limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the result.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) }, 0);
    limit
}

/// Workers have what this process has when their pool is built, also where a template of the fork server is older.
#[expect(clippy::disallowed_methods, reason = "the case has one thread")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn what_changed_since_the_template_was_started(context: Context) -> Outcome {
    let seen = |()| (rights(), directory(), variable("CHANGED"));
    let place = std::env::temp_dir().canonicalize()?;
    let mut limit = core_limit();
    for round in 0..3u8 {
        // There is a template from here on; and in the second round, it is not as this process is.
        assert_eq!(Context::ForkServer.process().start(1, |n| n + 1)?.join()?, 2);
        if round > 0 {
            // SAFETY: no memory is involved.
            unsafe { libc::umask(0o037) };
            limit.rlim_cur = limit.rlim_max.min(4096 * libc::rlim_t::from(round));
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }, 0);
            std::env::set_current_dir(&place)?;
            // SAFETY: the case has one thread.
            unsafe { std::env::set_var("CHANGED", round.to_string()) };
        }
        let pool = context.pool().workers(2).init((), seen).build()?;
        for result in pool.broadcast((), |first, ()| first.clone())? {
            assert_eq!(result?, seen(()), "round {round}");
        }
        pool.shutdown()?;
    }
    Ok(())
}

#[offspring::test(contexts(Spawn, ForkServer))]
fn no_time_to_start(context: Context) -> Outcome {
    let late = || -> Option<offspring::Error> {
        let outcome = context.pool().workers(1).start_timeout(Duration::from_nanos(1)).build();
        let pool = match outcome {
            Err(error) => return Some(error),
            Ok(pool) => pool,
        };
        let task = pool.submit((), |(), ()| ());
        task.and_then(|task| task.join().map_err(Into::into)).err()
    };
    // Whoever was there before anybody looked is not late.
    let error = (0..100).find_map(|_| late()).expect("one of them is late");
    assert_eq!((error.kind(), error.context()), (ErrorKind::TimedOut, Some(context)), "{error}");
    Ok(())
}

#[offspring::test]
fn settings_that_cannot_be(context: Context) -> Outcome {
    let pool = || context.pool();
    for (what, builder) in [
        ("worker", pool().workers(0)),
        ("in flight", pool().workers(1).in_flight(0)),
        ("task for each worker", pool().workers(1).tasks_per_worker(0)),
        ("thread in each worker", pool().workers(1).inner_threads(0)),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.kind(), error.context()), (ErrorKind::Invalid, Some(context)));
        assert!(error.to_string().contains(what), "{error}");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the case has one thread")]
#[offspring::test]
fn the_number_of_workers_by_environment(context: Context) -> Outcome {
    let workers = |text: Option<&str>| {
        match text {
            // SAFETY: this process has one thread.
            Some(text) => unsafe { std::env::set_var("OFFSPRING_WORKERS", text) },
            // SAFETY: as before.
            None => unsafe { std::env::remove_var("OFFSPRING_WORKERS") },
        }
        context.pool().build().map(|pool| pool.workers())
    };
    let expect = |count| if context.is_isolated() { count } else { 1 };
    assert_eq!(workers(Some("3"))?, expect(3));
    assert_eq!(workers(Some(" 2 "))?, expect(2));
    let own = context.pool().workers(1).build()?.workers();
    assert_eq!(own, 1, "what the program says counts more");
    for text in ["0", "-1", "many", "", "1.5", "99999999999999999999"] {
        let error = workers(Some(text)).unwrap_err();
        assert_eq!(
            (error.kind(), error.context()),
            (ErrorKind::Invalid, Some(context)),
            "{text:?}"
        );
        assert!(error.to_string().contains("OFFSPRING_WORKERS"), "{error}");
    }
    let processors = std::thread::available_parallelism()?.get();
    assert_eq!(workers(None)?, expect(processors));
    Ok(())
}

/// AC122.
#[cfg(target_os = "linux")]
#[offspring::test(contexts(Fork, Spawn, ForkServer))]
fn a_quota_of_processors_counts(context: Context) -> Outcome {
    let Some(group) = Group::with_processors_or_say(1) else { return Ok(()) };
    let pool = context.pool().build()?;
    assert_eq!(pool.workers(), 1, "the group may use one processor");
    // Those in workers have that one between them, too.
    let task = pool.submit(context, |(), context: Context| {
        let pool = crate::harness::in_a_child(context).pool().build();
        pool.map(|pool| pool.workers()).map_err(|error| error.to_string())
    });
    assert_eq!(task?.join()?, Ok(1));
    pool.shutdown()?;
    drop(group);
    Ok(())
}
