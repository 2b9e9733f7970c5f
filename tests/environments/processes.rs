//! As many processes as a cgroup allows, from one on: a pool works, or says that it has too few.
//!
//! `OFFSPRING_PLACE_ROUNDS` says how often.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use offspring::{Context, ErrorKind, Pool};

use super::everyday::{CONTEXT, TOLD};
use crate::harness::programs::{self, Program};
use crate::harness::{self, Case, Outcome, PROCESSES, eventually};
use crate::torture;

pub(crate) const PROGRAM: Program = ("crew", crew);
pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    a_group_of_few_processes,
    a_group_that_shrinks_below_a_pool,
];

const WORKERS: &str = "CREW_WORKERS";
/// The group that the program is in, if it shall make it smaller when its pool is ready.
const SHRINKS: &str = "CREW_SHRINKS";

/// A cgroup that counts processes; nobody is in it.
struct Group(PathBuf);

impl Group {
    /// `None`, and a word about it, for users who cannot make one.
    fn new_or_say() -> Option<Self> {
        let made = Self::make();
        let say =
            |error: &_| harness::not_tested(format_args!("no cgroup for processes ({error})"));
        made.inspect_err(say).ok()
    }

    fn make() -> std::io::Result<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup")?;
        let line = |wanted: &str| {
            groups.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                let found = controllers.split(',').any(|one| one == wanted);
                found.then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let parent = match line("pids") {
            Some(path) => Path::new("/sys/fs/cgroup/pids").join(path),
            None => Path::new("/sys/fs/cgroup").join(line("").unwrap_or_default()),
        };
        let group = Self(parent.join(format!("offspring-test-{}", std::process::id())));
        std::fs::create_dir(&group.0)?;
        // Where nobody counts, the file is missing.
        allow(&group.0, "max")?;
        Ok(group)
    }

    /// Whether nobody is in it: also none that has ended and was not collected.
    fn is_empty(&self) -> bool {
        std::fs::read_to_string(self.0.join("pids.current")).is_ok_and(|count| count.trim() == "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn allow(group: &Path, processes: impl ToString) -> std::io::Result<()> {
    std::fs::write(group.join("pids.max"), processes.to_string())
}

/// Errors of a system that has no process to give.
fn check(error: offspring::Error) -> Result<(), Box<dyn Error>> {
    match error.kind() {
        ErrorKind::System | ErrorKind::Start => Err(error.into()),
        _ => panic!("no error of that kind was expected: {error:?}"),
    }
}

/// Program: one pool, its tasks, its end.
fn crew() -> ExitCode {
    // SAFETY: this program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    let context = std::env::var(CONTEXT).expect("the case names a context");
    let workers = torture::scale(WORKERS, 1);
    match works(context.parse().expect("a context"), workers as usize) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With its causes.
            println!("{error:?}");
            ExitCode::from(TOLD)
        }
    }
}

fn works(context: Context, workers: usize) -> Result<(), Box<dyn Error>> {
    let limit = Duration::from_secs(20);
    let build = || context.pool().workers(workers).start_timeout(limit).restart_budget(2).build();
    let pool = match build() {
        Ok(pool) => pool,
        Err(error) => return check(error),
    };
    tasks(&pool)?;
    if let Some(group) = std::env::var_os(SHRINKS) {
        let group = Path::new(&group);
        allow(group, 1)?;
        for _ in 0..workers {
            // The pool gives up when no worker could be started some times, and then refuses tasks.
            match pool.submit((), abort) {
                Ok(task) => drop(task.join().expect_err("it aborts, or nobody runs it")),
                Err(error) => println!("refused: {error}"),
            }
        }
        // No worker is left, and none can be started.
        let error = tasks(&pool).expect_err("no worker is left");
        println!("with no process left: {error:?}");
        drop(pool);
        // What was true of that pool is not true of the next.
        allow(group, "max")?;
        let pool = build()?;
        tasks(&pool)?;
        pool.shutdown()?;
        return Ok(());
    }
    pool.shutdown()?;
    Ok(())
}

fn abort(_: &mut (), (): ()) {
    std::process::abort();
}

fn tasks(pool: &Pool<()>) -> Result<(), Box<dyn Error>> {
    let mut results = pool.map(0..100u64, |(), n| n * 3);
    for n in 0..100 {
        match results.next().expect("as many outcomes as inputs") {
            Ok(result) => assert_eq!(result, n * 3, "the result of a task"),
            Err(error) => return check(error.into()),
        }
    }
    Ok(())
}

/// Runs the program in the group. Whether its pool worked; else it said what was missing.
fn run(
    context: Context,
    group: &Group,
    workers: u64,
    shrinks: bool,
) -> Result<bool, Box<dyn Error>> {
    let program = programs::command("crew");
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$1/cgroup.procs\" && exec \"$0\""]);
    command.arg(program.get_program()).arg(&group.0);
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env(CONTEXT, context.to_string()).env(WORKERS, workers.to_string());
    if shrinks {
        command.env(SHRINKS, &group.0);
    }
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    let seen = format!("{}\n--- said\n{said}\n--- errors\n{errors}", output.status);
    println!("{workers} workers: {seen}");
    eventually("nobody is left in the group", || group.is_empty());
    match output.status.code() {
        Some(0) => Ok(true),
        Some(code) if code == i32::from(TOLD) => {
            let wanted = "Resource temporarily unavailable";
            assert!(said.contains(wanted), "it does not say {wanted:?}: {seen}");
            Ok(false)
        }
        _ => panic!("neither worked nor said why: {seen}"),
    }
}

/// From one process on, to more than are needed.
fn a_group_of_few_processes(context: Context) -> Outcome {
    let Some(group) = Group::new_or_say() else { return Ok(()) };
    for round in 0..torture::scale("OFFSPRING_PLACE_ROUNDS", 1) {
        let workers = 2 + round % 4;
        let mut worked = Vec::new();
        // Itself, a supervisor or template, its spare, and the workers.
        let enough = workers + 5;
        // In the portable way there is a thread in each of them, which counts as a process.
        let enough = if cfg!(offspring_force_portable) { 2 * enough } else { enough };
        for limit in (1..=workers + 5).chain([enough]) {
            allow(&group.0, limit)?;
            if run(context, &group, workers, false)? {
                worked.push(limit);
            }
        }
        torture::report(format_args!(
            "pool of {workers} on {context}: worked where {worked:?} processes were allowed, of 1 to {} and {enough}",
            workers + 5
        ));
        assert!(!worked.contains(&1), "nothing can be started there: {worked:?}");
        assert!(worked.contains(&enough), "there is room for all: {worked:?}");
    }
    Ok(())
}

fn a_group_that_shrinks_below_a_pool(context: Context) -> Outcome {
    let Some(group) = Group::new_or_say() else { return Ok(()) };
    for round in 0..torture::scale("OFFSPRING_PLACE_ROUNDS", 1) {
        allow(&group.0, "max")?;
        assert!(run(context, &group, 1 + round % 4, true)?, "round {round}");
    }
    Ok(())
}
