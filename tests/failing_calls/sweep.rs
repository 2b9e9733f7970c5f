//! Lets one call after the other fail, and looks at what becomes of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use offspring::Context;

use super::held::Held;
use super::page::{Fault, PATH, Page};
use super::scenes::{GaveUp, SCENES, Told};
use crate::harness::preload::{self, Guarded};
use crate::harness::{self, Case, Outcome, PROCESSES, programs};
use crate::torture::{self, Random};

const CASES: &[Case] = crate::cases![on PROCESSES =>
    process_and_owner, process_and_children, process_and_theirs, pool_and_owner, pool_and_children,
    pool_and_theirs, tasks_and_owner, tasks_and_children, tasks_and_theirs, objects_and_owner,
    objects_and_children, objects_and_theirs,
];

const PROGRAMS: &[programs::Program] = &[("sweep", sweep)];
const CONTEXT: &str = "SWEEP_CONTEXT";
const SCENE: &str = "SWEEP_SCENE";
const DISTANCE: &str = "SWEEP_DISTANCE";

/// Each with whether all later calls of the function fail too: a filter or an old kernel stays.
const ERRORS: [(i32, bool); 8] = [
    (libc::EMFILE, false),
    (libc::ENOMEM, false),
    (libc::EAGAIN, false),
    (libc::EINTR, false),
    (libc::ENOSYS, false),
    (libc::EPERM, false),
    (libc::ENOSYS, true),
    (libc::EPERM, true),
];

pub(crate) fn main() -> ExitCode {
    programs::set(PROGRAMS);
    harness::main(&[CASES])
}

macro_rules! case {
    ($name:ident, $scene:literal, $distance:literal) => {
        fn $name(context: Context) -> Outcome {
            run_sweep(context, $scene, $distance)
        }
    };
}
case!(process_and_owner, "process", 0);
case!(process_and_children, "process", 1);
case!(process_and_theirs, "process", 2);
case!(pool_and_owner, "pool", 0);
case!(pool_and_children, "pool", 1);
case!(pool_and_theirs, "pool", 2);
case!(tasks_and_owner, "tasks", 0);
case!(tasks_and_children, "tasks", 1);
case!(tasks_and_theirs, "tasks", 2);
case!(objects_and_owner, "objects", 0);
case!(objects_and_children, "objects", 1);
case!(objects_and_theirs, "objects", 2);

/// How long nothing may be done before it counts as a deadlock.
const STUCK: Duration = Duration::from_secs(100);

/// Runs the program with the library, and says where it is when it does not go on.
fn run_sweep(context: Context, scene: &str, distance: u64) -> Outcome {
    let library = preload::compile("failing_call");
    let path = std::env::temp_dir().join("page");
    let page = Page::open(&path);
    let mut command: Command = programs::command("sweep");
    preload::put_before(&mut command, &library);
    command.env(PATH, &path).stdin(Stdio::null());
    command.env(CONTEXT, context.to_string()).env(SCENE, scene);
    command.env(DISTANCE, distance.to_string());
    let mut program = Guarded(command.spawn()?);
    let (mut done, mut since) = (page.done(), Instant::now());
    let status = loop {
        if let Some(status) = program.0.try_wait()? {
            break status;
        }
        if page.done() != done {
            (done, since) = (page.done(), Instant::now());
        }
        let stuck = since.elapsed() > STUCK;
        assert!(!stuck, "stuck after {done} failures; the last was in {:?}", page.failed());
        std::thread::sleep(Duration::from_millis(2));
    };
    for file in [path, library] {
        std::fs::remove_file(file)?;
    }
    assert!(status.success(), "the program ended with {status}");
    Ok(())
}

/// The program in which calls fail.
fn sweep() -> ExitCode {
    // SAFETY: the scenes own no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let text = |name: &str| std::env::var(name).expect("the case says what to do");
    let context: Context = text(CONTEXT).parse().expect("a context");
    let distance = text(DISTANCE).parse().expect("a distance");
    let path = text(PATH);
    let mut sweep = Sweep {
        context,
        scene: text(SCENE),
        page: Page::open(path.as_ref()),
        outcomes: BTreeMap::new(),
        slowest: (Duration::ZERO, String::new()),
        problems: Vec::new(),
    };
    match torture::scale("OFFSPRING_CALL_ROUNDS", 16) {
        0 => sweep.all(distance),
        rounds => sweep.some(distance, rounds),
    }
    sweep.report(distance);
    if sweep.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Sweep {
    context: Context,
    scene: String,
    page: Page,
    /// How often it ended how, when which function failed.
    outcomes: BTreeMap<(&'static str, String), u64>,
    slowest: (Duration, String),
    problems: Vec<String>,
}

impl Sweep {
    /// One call after the other, until there is no further one.
    fn all(&mut self, distance: u64) {
        for (error, lasting) in ERRORS {
            let mut nth = 1;
            while self.one(Fault { distance, error, nth, lasting }) {
                nth += 1;
            }
        }
    }

    /// So many calls.
    fn some(&mut self, distance: u64, rounds: u64) {
        let mut random = Random::new();
        let counts = ERRORS.map(|(error, lasting)| {
            self.one(Fault { distance, error, nth: u64::MAX, lasting });
            self.page.counted()
        });
        for _ in 0..rounds {
            let place = random.below(ERRORS.len() as u64) as usize;
            let (error, lasting) = ERRORS[place];
            let nth = 1 + random.below(counts[place].max(1));
            self.one(Fault { distance, error, nth, lasting });
        }
    }

    /// Whether there was such a call.
    fn one(&mut self, fault: Fault) -> bool {
        // The template that lives as long as the program, and what is loaded on first use.
        self.warm_up("before");
        let before = Held::now();
        let start = Instant::now();
        let told = self.play(fault);
        let time = start.elapsed();
        let failed = self.page.failed();
        let label = match &failed {
            Some(name) => {
                let lasting = if fault.lasting { " from then on" } else { "" };
                format!("{name}, call {} with error {}{lasting}", fault.nth, fault.error)
            }
            None => "nothing failed".into(),
        };
        self.page.progress();
        let (outcome, text) = match &told {
            Err(_) => ("panic", String::new()),
            Ok(Ok(())) => ("done", String::new()),
            Ok(Err(error)) if error.is::<GaveUp>() => ("gave up", error.to_string()),
            Ok(Err(error)) => ("error", error.to_string()),
        };
        if outcome == "panic" || (failed.is_none() && outcome != "done") {
            self.problem(&label, format_args!("{outcome} {text}"));
        }
        self.warm_up(&label);
        if let Err(more) = before.more_now() {
            self.problem(
                &label,
                format_args!("left behind: {more}; it ended with {outcome} {text}"),
            );
        }
        if std::env::var_os("OFFSPRING_CALL_TRACE").is_some() {
            println!("{label}: {time:.1?}: {outcome} {text}");
        }
        let Some(name) = failed else { return false };
        if time > self.slowest.0 {
            self.slowest = (time, label);
        }
        *self.outcomes.entry((outcome, name)).or_default() += 1;
        true
    }

    fn problem(&mut self, label: &str, what: impl std::fmt::Display) {
        let text = format!("{} on {}: {label}: {what}", self.scene, self.context);
        eprintln!("PROBLEM {text}");
        self.problems.push(text);
        assert!(self.problems.len() < 20, "enough");
    }

    fn play(&self, fault: Fault) -> std::thread::Result<Told> {
        let (_, scene) = SCENES.iter().find(|(name, _)| *name == self.scene).expect("a scene");
        self.page.arm(fault);
        let told = catch_unwind(AssertUnwindSafe(|| scene(self.context, self.page)));
        self.page.disarm();
        told
    }

    /// A start that must succeed, whatever happened before.
    fn warm_up(&mut self, after: &str) {
        let child = self.context.process().start(20u64, |n| n + 1);
        let answer = child.and_then(offspring::Process::join);
        if !matches!(answer, Ok(21)) {
            self.problem(after, format_args!("the next start: {answer:?}"));
        }
    }

    fn report(&self, distance: u64) {
        let sum = |wanted: &str| -> u64 {
            let found = self.outcomes.iter().filter(|((outcome, _), _)| *outcome == wanted);
            found.map(|(_, count)| count).sum()
        };
        let gave_up = self.outcomes.iter().filter(|((outcome, _), _)| *outcome == "gave up");
        let gave_up: Vec<_> = gave_up.map(|((_, name), count)| format!("{name} {count}")).collect();
        torture::report(format_args!(
            "failing calls: {} on {}, at distance {distance}: {} failed; {} times all was done, {} times an error, \
             {} times the pool gave up ({}); slowest {:.1?} ({})",
            self.scene,
            self.context,
            self.outcomes.values().sum::<u64>(),
            sum("done"),
            sum("error"),
            sum("gave up"),
            gave_up.join(", "),
            self.slowest.0,
            self.slowest.1,
        ));
    }
}
