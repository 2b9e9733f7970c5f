//! Descriptors of the parent's that have nothing to do with its children, and those of siblings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::OnceLock;

use offspring::{Context, ErrorKind, Process};

use crate::cases;
use crate::harness::leaks::{descriptors, descriptors_of, is_alive};
use crate::harness::programs::command;
use crate::harness::{self, Case, Outcome, sleep_for_ever};
use crate::tools::{context_argument, run, send_signal, temporary};

pub(crate) const CASES: &[Case] = cases![on harness::PROCESSES =>
    one_of_sixteen_killed,
    no_descriptor_of_a_sibling,
    high_numbers,
];

pub(crate) const CASES_BY_EXEC: &[Case] = cases![on &[Context::Spawn, Context::ForkServer] =>
    no_descriptor_of_the_parent,
];

pub(crate) const CASES_BY_FORK: &[Case] = cases![on &[Context::Fork] =>
    inherited_files_keep_working,
    files_of_a_pool_keep_working,
];

/// Opens `count` descriptors without close-on-exec, from `first` on.
pub(crate) fn open_strangers(count: usize, first: i32) -> Vec<OwnedFd> {
    let file = File::open("/dev/zero").expect("it is there");
    (0..count)
        .map(|_| {
            // SAFETY: the descriptor is open.
            let raw = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD, first) };
            assert!(raw >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: just made for us.
            unsafe { OwnedFd::from_raw_fd(raw) }
        })
        .collect()
}

/// Raises the soft limit of descriptors, and returns it.
pub(crate) fn raise_limit(wanted: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: there is room for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: the limit is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    limit.rlim_cur
}

/// Besides the standard three, a child has its channel and its lifeline.
pub(crate) fn check_own_descriptors(who: &str, found: &BTreeSet<String>) {
    let mut rest = Vec::new();
    for one in found {
        let (number, target) = one.split_once(" -> ").expect("a number and a target");
        if !["0", "1", "2"].contains(&number) {
            rest.push(target);
        }
    }
    rest.sort_unstable();
    assert_eq!(found.len() - rest.len(), 3, "{who}: standard descriptors: {found:?}");
    // A worker wakes its owner by a bell.
    let rest = match rest.as_slice() {
        [bell, rest @ ..] if who.starts_with("worker") && bell.contains("eventfd") => rest,
        [rest @ .., bell] if who.starts_with("worker") && bell.starts_with("socket:") => rest,
        rest => rest,
    };
    let expected = matches!(*rest, [lifeline, channel]
        if lifeline.starts_with("pipe:") && channel.starts_with("socket:"));
    assert!(expected, "{who}: besides a channel, a lifeline and a bell: {found:?}");
}

/// Program: opens many descriptors, and then starts children, whose descriptors it looks at.
pub(crate) fn full_of_strangers() -> ExitCode {
    offspring::init();
    let context = context_argument(1);
    let most = raise_limit(4096);
    let mut strangers = open_strangers(300, 3);
    strangers.extend(open_strangers(100, 600));
    if most > 2200 {
        strangers.extend(open_strangers(100, 2000));
    }
    // A number just above those that are handed over, and a pipe that looks like a lifeline.
    let before = descriptors();
    assert!(before.len() >= 403, "{} are open", before.len());
    for n in 0..3 {
        let child = context.process().start((), |()| descriptors()).expect("it starts");
        check_own_descriptors(&format!("process {n}"), &child.join().expect("it answers"));
        let pool = context.pool().workers(2).init((), |()| descriptors()).build();
        let pool = pool.expect("it starts");
        for result in pool.map(0..4u8, |first, _| (first.clone(), descriptors())) {
            let (first, second) = result.expect("it runs");
            check_own_descriptors("worker at first", &first);
            check_own_descriptors("worker in a task", &second);
        }
    }
    drop(strangers);
    ExitCode::SUCCESS
}

fn no_descriptor_of_the_parent(context: Context) -> Outcome {
    run(command("full_of_strangers").arg(context.to_string())).expect_success("strangers");
    Ok(())
}

static FILE: OnceLock<File> = OnceLock::new();

fn inherited_file() -> &'static File {
    FILE.get().expect("it was inherited")
}

/// Opens a file that children inherit.
fn open_file() -> Result<(), Box<dyn std::error::Error>> {
    let path = temporary("inherited file");
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    // Many, so that a child that closed numbers it does not own would hit one.
    FILE.set(file).map_err(|_| "it is set once".into())
}

fn contents() -> std::io::Result<String> {
    let (mut file, mut text) = (inherited_file(), String::new());
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn inherited_files_keep_working(context: Context) -> Outcome {
    let files = open_strangers(100, 3);
    open_file()?;
    inherited_file().write_all(b"parent;")?;
    let children: Vec<Process<u64>> = (0..4)
        .map(|n: u8| {
            context.process().start(n, |n| {
                let mut file = inherited_file();
                file.write_all(&[b'0' + n]).expect("the file is open");
                file.stream_position().expect("the file is open")
            })
        })
        .collect::<Result<_, _>>()?;
    for child in children {
        assert!(child.join()? > 7, "offsets are shared");
    }
    assert_eq!(inherited_file().stream_position()?, 11, "offsets are shared");
    inherited_file().write_all(b";parent")?;
    let text = contents()?;
    let mut digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    digits.sort_unstable();
    assert_eq!(digits, ['0', '1', '2', '3'], "{text}");
    assert!(text.starts_with("parent;") && text.ends_with(";parent"), "{text}");
    drop(files);
    close_file();
    Ok(())
}

/// The leak check looks at descriptors, and a static is never dropped.
fn close_file() {
    // SAFETY: nobody uses the file after this.
    unsafe { libc::close(inherited_file().as_raw_fd()) };
}

fn files_of_a_pool_keep_working(context: Context) -> Outcome {
    open_file()?;
    let pool = context.pool().workers(2).build()?;
    for result in pool.map(0..10u8, |(), n| {
        let mut file = inherited_file();
        file.write_all(&[b'0' + n]).map_err(|error| error.to_string())
    }) {
        result??;
    }
    let mut digits: Vec<char> = contents()?.chars().collect();
    digits.sort_unstable();
    assert_eq!(digits.iter().collect::<String>(), "0123456789");
    drop(pool);
    close_file();
    Ok(())
}

pub(crate) fn sleep((): ()) {
    sleep_for_ever()
}

/// The pipes and sockets that a process has.
fn channels(process: impl std::fmt::Display) -> BTreeSet<String> {
    let all = descriptors_of(process);
    let targets = all.iter().filter_map(|one| one.split_once(" -> ").map(|(_, target)| target));
    let channels =
        targets.filter(|target| target.starts_with("pipe:") || target.starts_with("socket:"));
    channels.map(str::to_owned).collect()
}

fn no_descriptor_of_a_sibling(context: Context) -> Outcome {
    let before = channels("self");
    let children: Vec<Process<()>> =
        (0..9).map(|_| context.process().start((), sleep)).collect::<Result<_, _>>()?;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    // The first by fork server was there, and had its channel, before we looked.
    for child in &children[1..] {
        let found = channels(child.id());
        assert!(!found.is_empty(), "child {} is to be seen", child.id());
        let own: Vec<&String> = found.difference(&before).collect();
        assert_eq!(own.len(), 2, "a channel and a lifeline: {own:?}");
        for one in own {
            assert!(seen.insert(one.clone()), "{one} is a sibling's");
        }
    }
    drop(children);

    // Workers of a pool, two of them side by side.
    let pools = [context.pool().workers(4).build()?, context.pool().workers(4).build()?];
    let mut pids = BTreeSet::new();
    for pool in &pools {
        for result in pool.map(0..64u8, |(), _| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            std::process::id()
        }) {
            pids.insert(result?);
        }
    }
    let mut holders: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for pid in pids.iter().filter(|pid| is_alive(**pid)) {
        for one in channels(pid).difference(&before) {
            holders.entry(one.clone()).or_default().push(*pid);
        }
    }
    assert!(!holders.is_empty());
    // The bell of a pool is one object that all of its workers have: no socket where there is eventfd.
    let is_bell = |one: &str| cfg!(offspring_force_portable) && one.starts_with("socket:");
    holders.retain(|_, pids| pids.len() > 1);
    let bells = holders.keys().filter(|one| is_bell(one)).count();
    assert!(
        holders.len() == bells && bells <= pools.len(),
        "they belong to several workers: {holders:?}"
    );
    Ok(())
}

fn one_of_sixteen_killed(context: Context) -> Outcome {
    let mut children: Vec<Process<()>> =
        (0..16).map(|_| context.process().start((), sleep)).collect::<Result<_, _>>()?;
    for index in [7, 0, 13] {
        let child = children.remove(index);
        send_signal(child.id(), libc::SIGKILL);
        let error = child.join().expect_err("it was killed");
        assert_eq!(error.kind(), ErrorKind::Died, "{error}");
        assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
        for child in &mut children {
            assert!(child.is_alive(), "the others live: {:?}", child.exit_status());
        }
    }
    Ok(())
}

fn high_numbers(context: Context) -> Outcome {
    let most = raise_limit(4096);
    let count = usize::try_from(most)?.saturating_sub(200).min(2000);
    let strangers = open_strangers(count, 3);
    for n in 0..3u32 {
        assert_eq!(context.process().start(n, |n| n + 1)?.join()?, n + 1);
    }
    let table = offspring::SharedSlice::from_iter(0..100u64)?;
    let pool = context.pool().workers(2).init(table, |table| table).build()?;
    for (n, result) in (0..).zip(pool.map(0..100usize, |table, n| table[n])) {
        assert_eq!(result?, n);
    }
    pool.shutdown()?;
    drop(strangers);
    Ok(())
}
