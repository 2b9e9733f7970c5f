//! What the numbers depend on: machine, system, versions, moment, command.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::plan::Plan;
use crate::program::Programs;

const LOCK: &str = include_str!("../../Cargo.lock");
const REQUIREMENTS: &str = include_str!("../../requirements.txt");
const CRATES: [&str; 6] = ["procspawn", "crossmist", "ipc-channel", "zygote", "rayon", "offspring"];

/// What a command prints, on one line.
fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    name.unwrap_or("unknown processor").trim().to_owned()
}

/// The version that the lock file has of a crate; the last, since a peer may need an older one of another.
fn version(name: &str) -> &str {
    let entry = LOCK.rsplit("[[package]]").find(|entry| {
        entry.lines().any(|line| line.strip_prefix("name = ") == Some(&format!("\"{name}\"")))
    });
    let line =
        entry.and_then(|entry| entry.lines().find_map(|line| line.strip_prefix("version = ")));
    line.map_or("unknown", |version| version.trim_matches('"'))
}

pub fn description(plan: &Plan, programs: &Programs) -> String {
    let crates: Vec<String> =
        CRATES.iter().map(|name| format!("{name} {}", version(name))).collect();
    let python = programs.python.as_ref().map_or_else(
        || "no Python (left out: there is no virtual environment)".to_owned(),
        |python| {
            let pinned = REQUIREMENTS.lines().filter(|line| line.contains("=="));
            let pinned: Vec<String> = pinned.map(|line| line.replace("==", " ")).collect();
            format!("{} with {}", said(python, &["--version"]), pinned.join(", "))
        },
    );
    let folder = env!("CARGO_MANIFEST_DIR");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        format!("`bash benches/peers/run {}`", arguments.join(" ")),
        format!(
            "{} form, commit {}, {}",
            if plan.quick { "quick" } else { "full" },
            said(Path::new("git"), &["-C", folder, "describe", "--always", "--dirty"]),
            said(Path::new("date"), &["-u", "+%Y-%m-%d %H:%M UTC"]),
        ),
        format!(
            "{cores} cores ({}), {} {}",
            processor(),
            std::env::consts::OS,
            std::env::consts::ARCH
        ),
        format!("kernel {}", read("/proc/sys/kernel/osrelease").split('-').next().unwrap_or_default()),
        format!("huge pages: {}", read("/sys/kernel/mm/transparent_hugepage/enabled")),
        format!("load at the start: {}", read("/proc/loadavg")),
        said(Path::new("rustc"), &["--version"]),
        crates.join(", "),
        python,
    ]
    .map(|line| format!("* {line}"))
    .join("\n")
}
