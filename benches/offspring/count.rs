//! System calls for each task, counted and not timed: by strace, which sees what each is for and makes it slow, and by
//! perf, which sees less and slows nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use offspring::Context;

use crate::feeding::{in_order, there_and_back, work};
use crate::plan::Plan;
use crate::table::{Printer, Table};
use crate::{Outcome, workers};

const COUNTED: &str = "--counted";
/// Nothing has this name: whoever looks for it marks a place in strace's report.
const MARK: &str = "/offspring-counts-from-here-to-here";
/// The calls of falling asleep and of waking others, as perf names them. It does not see which descriptors are read and
/// written; strace does.
const SLEEPS: [&str; 4] = ["futex", POLL, "read", "write"];
/// Not all processors have the older call.
const POLL: &str = if cfg!(target_arch = "x86_64") { "poll" } else { "ppoll" };

/// What a copy of this program does while it is counted.
pub(crate) struct Job {
    one_in_flight: bool,
    tasks: u64,
}

impl Job {
    /// `None` in every other run.
    pub(crate) fn from_arguments() -> Outcome<Option<Self>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [COUNTED, kind, tasks] => {
                Ok(Some(Self { one_in_flight: kind == "one", tasks: tasks.parse()? }))
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn run(&self) -> Outcome<()> {
        let pool = workers::warm(Context::Spawn, 2)?;
        let mark = || assert!(fs::metadata(MARK).is_err(), "nothing has this name");
        mark();
        if self.one_in_flight {
            for number in 0..self.tasks {
                assert_eq!(there_and_back(&pool, number)?, work(number));
            }
        } else {
            in_order(&pool, self.tasks)?;
        }
        mark();
        workers::shut_down(pool)?;
        Ok(())
    }
}

pub(crate) fn measure(plan: &Plan, printer: &Printer) -> Outcome<()> {
    if plan.measures_all() {
        // Every system call stops twice for strace, so this is slow, and nothing else may run beside it.
        printer.note("System calls for each task: skipped; `--only syscalls` counts them.");
        return Ok(());
    }
    let head = [
        "what",
        "system calls for each task",
        "of them not to sleep or wake",
        "the most frequent",
        "target",
    ];
    let title = "System calls in all processes together (Spawn, 2 workers)";
    let mut table = Table::new(title, &head);
    let (strace, perf) = (is_there("strace", "-V"), is_there("perf", "--version"));
    for (name, what, traced, counted) in [
        (
            "many",
            "many in flight, one task = one item",
            1_000_000,
            plan.pick(2_000_000, 20_000_000),
        ),
        ("one", "one in flight", 10_000, plan.pick(50_000, 500_000)),
    ] {
        if !plan.includes(&format!("syscalls/{name}")) {
            continue;
        }
        plan.wants(&format!("syscalls/{name}"));
        if perf {
            match at_full_speed(name, counted)? {
                Some(count) => table.row(count.row(&format!("{what}, at full speed (perf)"))),
                None => printer.note(&format!("syscalls/{name}: perf may not count here")),
            }
        } else {
            printer.note(&format!("syscalls/{name}: without perf, which is not installed"));
        }
        if strace {
            table.row(under_strace(name, traced)?.row(&format!("{what}, under strace")));
        } else {
            printer.note(&format!("syscalls/{name}: without strace, which is not installed"));
        }
    }
    printer.print(&table);
    Ok(())
}

fn is_there(program: &str, version: &str) -> bool {
    let status = Command::new(program).arg(version).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

struct Count {
    tasks: u64,
    all: u64,
    /// Those that have nothing to do with sleep.
    others: u64,
    frequent: String,
}

/// Fewer calls than this for each task belong to no task: some memory is asked for while a pool warms up.
const NONE: f64 = 0.001;

impl Count {
    fn of(tasks: u64, calls: &BTreeMap<String, u64>, others: u64) -> Self {
        let each = |calls: u64| calls as f64 / tasks as f64;
        let mut most: Vec<(&String, &u64)> = calls.iter().collect();
        most.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
        let frequent: Vec<String> = most
            .iter()
            .take(4)
            .map(|(name, calls)| format!("{name} {:.4}", each(**calls)))
            .collect();
        Self { tasks, all: calls.values().sum(), others, frequent: frequent.join(", ") }
    }

    fn row(self, what: &str) -> Vec<String> {
        let each = |calls: u64| calls as f64 / self.tasks as f64;
        let verdict = if each(self.others) < NONE { "met" } else { "missed" };
        vec![
            format!("{what}, {} tasks", self.tasks),
            format!("{:.4}", each(self.all)),
            format!("{:.4} ({} in all)", each(self.others), self.others),
            self.frequent,
            format!("0 (< {NONE}) but for sleep: {verdict}"),
        ]
    }
}

/// A copy of this program, counted by another program, whose report comes back.
fn counted(
    by: &str,
    options: &[&str],
    kind: &str,
    tasks: u64,
) -> Outcome<(ExitStatus, std::io::Result<String>)> {
    let report: PathBuf =
        std::env::temp_dir().join(format!("offspring-{by}-{}", std::process::id()));
    let status = Command::new(by)
        .args(options)
        .arg("-o")
        .args([Path::new(&report), Path::new("--"), &std::env::current_exe()?])
        .args([COUNTED, kind, &tasks.to_string()])
        .stderr(Stdio::null())
        .status();
    let text = fs::read_to_string(&report);
    // Whatever happened, nothing of it stays.
    let _ = fs::remove_file(&report);
    Ok((status?, text))
}

/// What strace sees between the two marks.
fn under_strace(kind: &str, tasks: u64) -> Outcome<Count> {
    // With the kind of each descriptor (-y).
    let (status, report) = counted("strace", &["-f", "-y", "-s", "64"], kind, tasks)?;
    if !status.success() {
        return Err(format!("strace ended with {status}").into());
    }
    let report = report?;
    let window = report.split(MARK).nth(1).ok_or("strace has not seen both marks")?;
    let (mut calls, mut others) = (BTreeMap::new(), 0);
    // The first and the last line are the rest of one mark, and the beginning of the other.
    let lines = window.lines().skip(1);
    for line in lines.take(window.lines().count().saturating_sub(2)) {
        // A process, and what it calls; or the end of a call that was counted when it began, or a signal.
        let call = line.split_once(' ').map(|(_, call)| call.trim_start()).unwrap_or_default();
        let Some((name, arguments)) = call.split_once('(') else { continue };
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            continue;
        }
        *calls.entry(name.to_owned()).or_default() += 1;
        let first = arguments.split(',').next().unwrap_or_default();
        let rings = ["read", "write"].contains(&name) && first.contains("[eventfd]");
        if !rings && !["futex", "poll", "ppoll"].contains(&name) {
            others += 1;
        }
    }
    Ok(Count::of(tasks, &calls, others))
}

/// What perf counts in a run of many tasks and not in one of a few. `None` where it may not.
fn at_full_speed(kind: &str, tasks: u64) -> Outcome<Option<Count>> {
    let few = tasks / 10;
    let (Some(less), Some(more)) = (by_perf(kind, few)?, by_perf(kind, tasks)?) else {
        return Ok(None);
    };
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in more {
        // Start and end of the pool are in both, and not quite the same each time.
        let before = less.get(&name).copied().unwrap_or(0);
        calls.insert(name, count.saturating_sub(before));
    }
    let all = calls.remove(ALL).ok_or("perf counts all")?;
    let others = all.saturating_sub(calls.values().sum());
    calls.insert("others".to_owned(), others);
    Ok(Some(Count::of(tasks - few, &calls, others)))
}

/// What perf calls all system calls.
const ALL: &str = "raw_syscalls:sys_enter";

fn by_perf(kind: &str, tasks: u64) -> Outcome<Option<BTreeMap<String, u64>>> {
    let each = SLEEPS.map(|name| format!("syscalls:sys_enter_{name}"));
    let events = format!("{ALL},{}", each.join(","));
    let (status, report) = counted("perf", &["stat", "-x", ";", "-e", &events], kind, tasks)?;
    let Ok(report) = report else { return Ok(None) };
    if !status.success() {
        return Ok(None);
    }
    // A number, its unit, its event, and what else there is to know.
    let counts: BTreeMap<String, u64> = report
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(';');
            let count = fields.next()?.parse().ok()?;
            let event = fields.nth(1)?;
            let name = event.strip_prefix("syscalls:sys_enter_").unwrap_or(event);
            Some((name.to_owned(), count))
        })
        .collect();
    Ok((counts.len() == SLEEPS.len() + 1).then_some(counts))
}
