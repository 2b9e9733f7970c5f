//! What is copied, what is encoded, what is dropped, and what is printed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use offspring::{Context, ErrorKind, fork};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::{Case, Outcome, programs};
use crate::tools;

pub(crate) const CASES: &[Case] = crate::cases![on &[Context::Fork] =>
    nothing_but_results_is_encoded,
    nothing_captured_is_dropped_in_a_child,
    replacements_are_copies_of_the_same_moment,
    items_may_be_dropped_before_their_results_come,
    an_inherited_map_is_of_no_use_and_no_harm,
    what_is_printed_is_printed_once,
];

static ENCODED: AtomicU64 = AtomicU64::new(0);
static DECODED: AtomicU64 = AtomicU64::new(0);

/// Which process made it, and how many were encoded there, itself included.
#[derive(Debug)]
struct Counted {
    pid: u32,
    nth: u64,
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nth = ENCODED.fetch_add(1, Ordering::Relaxed) + 1;
        (self.pid, nth).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        let (pid, nth) = Deserialize::deserialize(deserializer)?;
        Ok(Self { pid, nth })
    }
}

/// Captures and items are of a type that could be encoded, and is not.
fn nothing_but_results_is_encoded(_: Context) -> Outcome {
    let make = |_: usize| Counted { pid: 0, nth: 0 };
    let captured = make(0);
    let items: Vec<_> = (0..1000).map(make).collect();
    let mut seen = BTreeMap::<u32, BTreeSet<u64>>::new();
    for result in fork::workers(2)
        .map(&items, |item| Counted { pid: std::process::id() + item.pid + captured.pid, nth: 0 })?
    {
        let Counted { pid, nth } = result?;
        assert!(seen.entry(pid).or_default().insert(nth), "{pid} counted {nth} twice");
    }
    for (pid, counts) in &seen {
        assert!(counts.iter().copied().eq(1..=counts.len() as u64), "{pid}: {counts:?}");
    }
    assert_eq!(seen.values().map(BTreeSet::len).sum::<usize>(), 1000);
    assert!(!seen.contains_key(&std::process::id()));

    let one = fork::start(|| Counted { pid: captured.pid + items[7].pid, nth: 0 })?.join()?;
    assert_eq!((one.pid, one.nth), (0, 1));
    assert_eq!(ENCODED.load(Ordering::Relaxed), 0, "nothing was encoded here");
    assert_eq!(DECODED.load(Ordering::Relaxed), 1001, "each result was decoded once");
    Ok(())
}

/// Leaves a line, with the process, when it is dropped.
struct Noisy {
    log: PathBuf,
    name: &'static str,
}

impl Noisy {
    /// Takes the whole, so that closures capture the whole and not a field.
    fn length(&self) -> usize {
        self.name.len()
    }
}

impl Drop for Noisy {
    fn drop(&mut self) {
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        let line = format!("{} {}\n", std::process::id(), self.name);
        file.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// What was dropped since the last time, all of it in this process.
#[track_caller]
fn dropped(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let _ = std::fs::remove_file(log);
    let own = std::process::id().to_string();
    let names = text.lines().map(|line| {
        let (pid, name) = line.split_once(' ').unwrap();
        assert_eq!(pid, own, "`{name}` was dropped in another process");
        name.to_owned()
    });
    names.collect()
}

#[expect(clippy::exit, reason = "a child that exits drops nothing either")]
fn nothing_captured_is_dropped_in_a_child(_: Context) -> Outcome {
    let log = tools::temporary("drops");
    let noisy = |name| Noisy { log: log.clone(), name };

    let moved = noisy("moved");
    let process = fork::start(move || moved.length())?;
    assert_eq!(dropped(&log), ["moved"], "it is dropped when `start` returns");
    assert_eq!(process.join()?, 5);
    let borrowed = noisy("borrowed");
    fork::start(|| borrowed.length())?.join()?;
    let panicked = fork::start(|| assert!(borrowed.length() == 0, "on purpose"))?.join();
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Panicked);
    let exited =
        fork::start(|| -> u8 { std::process::exit(i32::from(borrowed.length() == 0)) })?.join();
    assert_eq!(exited.unwrap_err().kind(), ErrorKind::Died);
    assert_eq!(dropped(&log), [""; 0]);

    let moved = noisy("moved");
    let items: Vec<_> = (0..50).map(|_| noisy("item")).collect();
    let results = fork::workers(2).map(&items, move |item| {
        assert!(!std::ptr::eq(item, &raw const moved), "that they are one");
        item.length() + moved.length()
    })?;
    assert_eq!(dropped(&log), ["moved"]);
    assert_eq!(results.map(Result::unwrap).sum::<usize>(), 50 * 9);
    let results =
        fork::workers(2).map(&items, |item| panic!("{} {}", item.length(), borrowed.length()))?;
    let failed = results.filter(|result: &Result<(), _>| result.is_err()).count();
    assert_eq!((failed, dropped(&log)), (50, vec![]));
    let mut early = fork::workers(2).map(&items, |item| item.length())?;
    assert_eq!(early.next().unwrap()?, 4);
    drop(early);
    assert_eq!(dropped(&log), [""; 0]);
    // What a child makes, it drops.
    let inner = log.with_extension("inner");
    let made = fork::start(|| drop(Noisy { log: inner.clone(), name: "made" }))?;
    let pid = made.id();
    made.join()?;
    assert_eq!(std::fs::read_to_string(&inner)?, format!("{pid} made\n"));
    std::fs::remove_file(&inner)?;
    drop((items, borrowed));
    assert_eq!(dropped(&log).len(), 51);
    Ok(())
}

fn replacements_are_copies_of_the_same_moment(_: Context) -> Outcome {
    let value = Cell::new(1u64);
    let items: Vec<Cell<u64>> = (0..100).map(Cell::new).collect();
    let results = fork::workers(1).map(&items, |item| {
        if item.get() == 10 {
            std::process::abort();
        }
        value.set(value.get() + 1);
        (value.get(), item.get(), offspring::worker().unwrap().generation())
    })?;
    // This is later: nobody sees it.
    value.set(1000);
    items.iter().for_each(|item| item.set(5000));
    let mut last = 0;
    for (n, result) in (0u64..).zip(results) {
        match result {
            Ok(seen) => {
                // One worker after the other counts its own tasks.
                let expected = if n < 10 { (n + 2, n, 0) } else { (n - 9, n, 1) };
                assert_eq!(seen, expected);
                last = n;
            }
            Err(error) => assert_eq!((n, error.kind()), (10, ErrorKind::Died), "{error}"),
        }
    }
    assert_eq!(last, 99);
    Ok(())
}

fn items_may_be_dropped_before_their_results_come(_: Context) -> Outcome {
    let results = {
        let items: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
        let prefix = "<".to_owned();
        fork::workers(2).map(&items, |item| prefix.clone() + item)?
    };
    // Memory that was theirs is used again.
    let others: Vec<String> = (0..20_000).map(|n| format!("other {n}")).collect();
    for (n, result) in results.enumerate() {
        assert_eq!(result?, format!("<{n}"));
    }
    assert_eq!(others.len(), 20_000);
    Ok(())
}

fn an_inherited_map_is_of_no_use_and_no_harm(_: Context) -> Outcome {
    let items: Vec<u32> = (0..100).collect();
    let results = RefCell::new(fork::workers(2).map(&items, |n| n * 2)?);
    assert_eq!(results.borrow_mut().next().unwrap()?, 0);
    let seen = fork::start(|| {
        let mut results = results.borrow_mut();
        let kinds = results.by_ref().map(|result| result.map_err(|error| error.kind()).err());
        // Those that had arrived at the fork are here as well.
        kinds.flatten().map(|kind| assert_eq!(kind, ErrorKind::Closed)).count()
    })?;
    assert!(seen.join()? <= 99);
    let rest = results.into_inner().collect::<Result<Vec<_>, _>>()?;
    assert!(rest.iter().copied().eq((1..100).map(|n| n * 2)), "{rest:?}");
    Ok(())
}

/// A program that prints before, in and after closures, whole lines and parts of lines.
pub(crate) fn printing() -> ExitCode {
    // SAFETY: this program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    let items: Vec<u32> = (0..20).collect();
    print!("[before]");
    let results = fork::workers(2).map(&items, |item| {
        println!("[line {item}]");
        print!("[part {item}]");
    });
    assert!(results.unwrap().all(|result| result.is_ok()));
    print!("[between]");
    fork::start(|| print!("[child]")).and_then(offspring::Process::join).unwrap();
    print!("[after]");
    ExitCode::SUCCESS
}

fn what_is_printed_is_printed_once(_: Context) -> Outcome {
    let ended = tools::run(&mut programs::command("printing"));
    let text = ended.expect_success("printing");
    let mut found: Vec<&str> = text.split_inclusive(']').map(str::trim).collect();
    found.retain(|part| !part.is_empty());
    assert_eq!(found.first(), Some(&"[before]"), "{text}");
    assert_eq!(found[found.len() - 3..], ["[between]", "[child]", "[after]"], "{text}");
    let mut expected: Vec<String> =
        ["[before]", "[between]", "[child]", "[after]"].map(str::to_owned).to_vec();
    expected.extend((0..20).flat_map(|n| [format!("[line {n}]"), format!("[part {n}]")]));
    expected.sort();
    found.sort_unstable();
    assert_eq!(found, expected, "{text}");
    Ok(())
}
