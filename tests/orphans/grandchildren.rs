//! What children start themselves, by other means than offspring: plain commands and daemons.
//!
//! Where a supervisor is the parent (pools, and ForkServer processes) it adopts them on Linux, and ends
//! them with the child. A Fork or Spawn process is a child of its owner, which cannot adopt anything
//! without being asked; there, what the child started lives on, and the user has to end it.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use offspring::Context;

use super::warden;
#[cfg(not(offspring_force_portable))]
use super::warden::Warden;
use crate::cases;
use crate::harness::leaks::{descriptors_of, is_alive};
use crate::harness::{self, Case, Outcome, PROCESSES};

pub(crate) const CASES: &[Case] = cases![on PROCESSES =>
    // Only a system on which a process can adopt what its children left behind finds it.
    #[cfg(not(offspring_force_portable))]
    a_killed_worker_takes_what_it_started_along,
    #[cfg(not(offspring_force_portable))]
    a_dropped_pool_takes_all_along,
    #[cfg(not(offspring_force_portable))]
    a_pool_that_was_shut_down_takes_all_along,
    #[cfg(not(offspring_force_portable))]
    a_killed_owner_takes_all_along,
    a_killed_process,
    a_process_that_returned,
];

/// A command with a child, and a daemon with a child: forked twice, in a session of its own. Prints
/// their numbers.
const SCRIPT: &str = r#"
    sleep 1000 >/dev/null & echo $!
    (setsid sh -c 'echo $$; sleep 1000 >/dev/null & echo $!; exec >/dev/null; wait' &)
    echo $$; exec >/dev/null; wait
"#;

/// Runs the script, and returns the numbers of its four processes.
pub(crate) fn breed() -> Vec<u32> {
    #[expect(clippy::zombie_processes, reason = "somebody else has to end it: that is tested")]
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut text = String::new();
    shell.stdout.take().expect("a pipe").read_to_string(&mut text).expect("the shell prints");
    let pids: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(pids.len(), 4, "the script prints four numbers: {text:?}");
    pids
}

fn alive(pids: &[u32]) -> Vec<u32> {
    pids.iter().copied().filter(|pid| is_alive(*pid)).collect()
}

#[cfg(not(offspring_force_portable))]
fn a_killed_worker_takes_what_it_started_along(context: Context) -> Outcome {
    let pool = context.pool().workers(1).build()?;
    for _ in 0..10 {
        let task = pool.map([()], |(), ()| (std::process::id(), breed())).next();
        let (worker, pids) = task.expect("one outcome")?;
        assert_eq!(alive(&pids), pids, "they live as long as their worker");
        warden::signal(worker, libc::SIGKILL);
        harness::eventually("what the worker started is gone", || alive(&pids).is_empty());
        let next = pool.map([()], |(), ()| std::process::id()).next();
        assert_ne!(next.expect("one outcome")?, worker);
    }
    pool.shutdown()?;
    Ok(())
}

#[cfg(not(offspring_force_portable))]
fn a_dropped_pool_takes_all_along(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let pids: Vec<Vec<u32>> =
        pool.map([(); 4], |(), ()| breed()).collect::<Result<_, _>>().map_err(Box::new)?;
    let pids = pids.concat();
    assert_eq!(alive(&pids), pids, "they live as long as their pool");
    drop(pool);
    assert_eq!(alive(&pids), [], "left when the pool was gone");
    Ok(())
}

#[cfg(not(offspring_force_portable))]
fn a_pool_that_was_shut_down_takes_all_along(context: Context) -> Outcome {
    let pool = context.pool().workers(2).build()?;
    let pids: Vec<Vec<u32>> =
        pool.map([(); 4], |(), ()| breed()).collect::<Result<_, _>>().map_err(Box::new)?;
    pool.shutdown()?;
    assert_eq!(alive(&pids.concat()), [], "left when the pool was gone");
    Ok(())
}

#[cfg(not(offspring_force_portable))]
/// The owner's pool breeds, and on ForkServer its process does too.
fn a_killed_owner_takes_all_along(context: Context) -> Outcome {
    let mut warden = Warden::new("a_killed_owner_takes_all_along", context);
    for _ in 0..super::deaths::rounds().div_ceil(2) {
        let mut owner = warden.start_owner("breeds");
        owner.read_until_bred();
        owner.kill_at(warden.random.below(std::time::Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

/// Ends what a Fork or Spawn process left, after a look at it.
fn check_what_is_left(context: Context, pids: &[u32]) {
    if context == Context::ForkServer && !cfg!(offspring_force_portable) {
        harness::eventually("what the process started is gone", || alive(pids).is_empty());
        return;
    }
    // It lives on. At least it holds nothing of ours.
    for pid in alive(pids) {
        let held = descriptors_of(pid);
        assert!(held.iter().all(|one| !one.contains("socket:")), "{pid} holds {held:?}");
    }
    for pid in pids {
        warden::signal(*pid, libc::SIGKILL);
    }
    harness::eventually("the rest is gone", || alive(pids).is_empty());
}

/// Writes the numbers into a file.
fn breed_and_stay(path: PathBuf) {
    let line: Vec<String> = breed().iter().map(u32::to_string).collect();
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, line.join(" ")).expect("a file can be written");
    std::fs::rename(unfinished, path).expect("and renamed");
    harness::sleep_for_ever();
}

fn a_killed_process(context: Context) -> Outcome {
    let path = std::env::temp_dir().join("bred");
    let child = context.process().start(path.clone(), breed_and_stay)?;
    harness::eventually("the child has bred", || path.exists());
    let text = std::fs::read_to_string(&path)?;
    std::fs::remove_file(path)?;
    let pids: Vec<u32> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    child.kill()?;
    let error = child.join().expect_err("it was killed");
    assert_eq!(error.signal(), Some(libc::SIGKILL), "{error}");
    check_what_is_left(context, &pids);
    Ok(())
}

fn a_process_that_returned(context: Context) -> Outcome {
    let pids = context.process().start((), |()| breed())?.join()?;
    check_what_is_left(context, &pids);
    Ok(())
}
