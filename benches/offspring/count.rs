//! System calls for each task, counted and not timed.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use offspring::Context;

use crate::feeding::{in_order, there_and_back, work};
use crate::plan::Plan;
use crate::table::{Printer, Table};
use crate::{Outcome, workers};

const COUNTED: &str = "--counted";

/// What a copy of this program does under strace.
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
        if self.one_in_flight {
            for number in 0..self.tasks {
                assert_eq!(there_and_back(&pool, number)?, work(number));
            }
        } else {
            in_order(&pool, self.tasks)?;
        }
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
    if !["many", "one"].iter().any(|name| plan.includes(&format!("syscalls/{name}"))) {
        return Ok(());
    }
    let version = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        printer.note("System calls for each task: skipped, strace is not installed.");
        return Ok(());
    }
    let head = ["what", "system calls for each task", "the most frequent", "target"];
    let mut table = Table::new("Counted by strace, in all processes (Spawn, 2 workers)", &head);
    let many = plan.pick(20_000, 200_000);
    for (name, what, tasks, most) in [
        ("many", "many in flight, one task = one item", many, Some(0.0)),
        ("one", "one in flight", 2_000, None),
    ] {
        if plan.wants(&format!("syscalls/{name}")) {
            let (all, frequent) = for_each_task(name, tasks)?;
            let target = most.map_or_else(
                || "–".to_owned(),
                // As many digits as are shown.
                |most| format!("{most}: {}", if all < most + 0.00005 { "met" } else { "missed" }),
            );
            table.row(vec![what.into(), format!("{all:.4}"), frequent, target]);
        }
    }
    printer.print(&table);
    Ok(())
}

/// The difference between a run of few and one of many tasks: start and end of the pool are in both.
fn for_each_task(kind: &str, tasks: u64) -> Outcome<(f64, String)> {
    let few = tasks / 10;
    let (less, more) = (count(kind, few)?, count(kind, tasks)?);
    let mut each: Vec<(f64, &str)> = more
        .iter()
        .map(|(name, &calls)| {
            let before = less.get(name).copied().unwrap_or(0);
            ((calls as f64 - before as f64) / (tasks - few) as f64, name.as_str())
        })
        .collect();
    let all = each.iter().map(|(calls, _)| calls).sum();
    each.sort_by(|one, other| other.0.total_cmp(&one.0));
    let frequent: Vec<String> = each
        .iter()
        .take(3)
        .filter(|(calls, _)| *calls >= 0.0001)
        .map(|(calls, name)| format!("{name} {calls:.4}"))
        .collect();
    Ok((all, frequent.join(", ")))
}

/// How often each system call was made by a copy of this program and all its children.
fn count(kind: &str, tasks: u64) -> Outcome<BTreeMap<String, u64>> {
    let report = std::env::temp_dir().join(format!("offspring-strace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&report)
        .arg(std::env::current_exe()?)
        .args([COUNTED, kind, &tasks.to_string()])
        .status()?;
    let text = fs::read_to_string(&report);
    // Whatever happened, nothing of it stays.
    let _ = fs::remove_file(&report);
    if !status.success() {
        return Err(format!("strace ended with {status}").into());
    }
    let text = text?;
    // Columns: share of time, seconds, microseconds a call, calls, perhaps errors, name.
    let calls = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = *fields.last()?;
        let calls: u64 = fields.get(3)?.parse().ok()?;
        (name != "total").then(|| (name.to_owned(), calls))
    });
    Ok(calls.collect())
}
