//! Daemons of workers: each in a session of its own, and the child of a process that has ended, so that neither a
//! process group nor a parent leads to it. Each starts the next one, three deep.
//!
//! The worker, the pool or the owner is killed, and no daemon survives. `OFFSPRING_DAEMON_ROUNDS` says how often; how
//! long it took is written to the file that `OFFSPRING_TORTURE_REPORT` names, and asserted nowhere.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use offspring::Context;

use super::warden::{self, Warden};
use crate::harness::leaks::{children_of, is_alive, possible_supervisors};
use crate::harness::{Case, Outcome, PROCESSES, eventually};
use crate::{cases, torture};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    daemons_of_a_killed_worker,
    daemons_of_a_pool_that_is_ended,
    daemons_of_a_pool_whose_supervisor_is_stopped,
    daemons_of_a_killed_owner,
];

/// How many daemons one worker starts: the first one starts the second, which starts the third.
const DEPTH: usize = 3;

/// Prints its number, and starts the next daemon: a subshell, which ends, and a session.
const SCRIPT: &str = r#"
    echo $$
    if [ "$1" -gt 0 ]; then (setsid sh -c "$SCRIPT" daemon $(($1 - 1)) &); fi
    exec sleep 1000 >/dev/null
"#;

/// Starts them, and returns their numbers, and that of the shell that did it.
pub(crate) fn start() -> Vec<u32> {
    #[expect(clippy::zombie_processes, reason = "somebody else has to end it: that is tested")]
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "daemon", &DEPTH.to_string()])
        .env("SCRIPT", SCRIPT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut text = String::new();
    shell.stdout.take().expect("a pipe").read_to_string(&mut text).expect("the shells print");
    let pids: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 1 + DEPTH, "each prints its number: {text:?}");
    pids
}

fn alive(pids: &[u32]) -> Vec<u32> {
    pids.iter().copied().filter(|pid| is_alive(*pid)).collect()
}

fn rounds() -> u64 {
    torture::scale("OFFSPRING_DAEMON_ROUNDS", 5)
}

/// Ends something, and measures how long its daemons live on.
struct Watched {
    what: &'static str,
    context: Context,
    times: Vec<std::time::Duration>,
}

impl Watched {
    fn new(what: &'static str, context: Context) -> Self {
        Self { what, context, times: Vec::new() }
    }

    fn until_gone(&mut self, pids: &[u32], end: impl FnOnce()) {
        assert_eq!(alive(pids), pids, "they live as long as whoever started them");
        let start = Instant::now();
        end();
        eventually("all daemons are gone", || alive(pids).is_empty());
        self.times.push(start.elapsed());
    }

    fn report(mut self) {
        let summary = torture::summary(&mut self.times);
        torture::report(format_args!(
            "daemons on {}: {}, all gone after: {summary}",
            self.context, self.what
        ));
    }
}

fn daemons_of_a_killed_worker(context: Context) -> Outcome {
    let mut watched = Watched::new("worker killed", context);
    let pool = context.pool().workers(1).build()?;
    for _ in 0..rounds() {
        let (worker, pids) = pool.submit((), |_, ()| (std::process::id(), start()))?.join()?;
        watched.until_gone(&pids, || warden::signal(worker, libc::SIGKILL));
        assert_ne!(pool.submit((), |_, ()| std::process::id())?.join()?, worker);
    }
    pool.shutdown()?;
    watched.report();
    Ok(())
}

fn daemons_of_a_pool_that_is_ended(context: Context) -> Outcome {
    let mut watched = Watched::new("pool terminated or dropped", context);
    let before = children_of(std::process::id());
    for round in 0..rounds() {
        let pool = context.pool().workers(2).build()?;
        let pids: Vec<Vec<u32>> =
            pool.map([(); 2], |_, ()| start()).collect::<Result<_, _>>().map_err(Box::new)?;
        watched.until_gone(&pids.concat(), || match round % 2 {
            0 => pool.terminate(),
            _ => drop(pool),
        });
        assert_eq!(children_of(std::process::id()), before, "nothing is left");
    }
    watched.report();
    Ok(())
}

fn daemons_of_a_pool_whose_supervisor_is_stopped(context: Context) -> Outcome {
    let mut watched = Watched::new("pool dropped, its supervisor stopped", context);
    let before = possible_supervisors();
    for _ in 0..rounds().min(5) {
        let pool = context.pool().workers(2).build()?;
        let pids: Vec<Vec<u32>> =
            pool.map([(); 2], |_, ()| start()).collect::<Result<_, _>>().map_err(Box::new)?;
        let mut supervisors = possible_supervisors();
        supervisors.retain(|pid| !before.contains(pid));
        assert_eq!(supervisors.len(), 1, "the supervisor: {supervisors:?}");
        let supervisor = *supervisors.first().expect("it is one");
        warden::signal(supervisor, libc::SIGSTOP);
        eventually("it is stopped", || warden::is_stopped(supervisor));
        watched.until_gone(&pids.concat(), || drop(pool));
        assert_eq!(possible_supervisors(), before, "nothing is left");
    }
    watched.report();
    Ok(())
}

fn daemons_of_a_killed_owner(context: Context) -> Outcome {
    let mut warden = Warden::new("daemons_of_a_killed_owner", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("daemons");
        owner.read_until_bred();
        owner.kill_at(warden.random.below(std::time::Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}
