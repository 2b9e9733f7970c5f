//! The cases: each way in which an owner ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::process::ExitCode;
use std::time::Duration;

use offspring::{Context, Stdio};

use super::warden::Warden;
use super::{grandchildren, owner, warden};
use crate::cases;
use crate::harness::{self, Outcome, PROCESSES};

pub(crate) fn main() -> ExitCode {
    harness::programs::set(&[("owner", owner::main)]);
    harness::main(&[
        cases![on PROCESSES =>
            killed_while_starting,
            killed_while_its_children_work,
            killed_after_its_supervisors,
            // Nothing in the kernel continues them elsewhere.
            #[cfg(not(offspring_force_portable))]
            killed_while_its_supervisors_are_stopped,
            killed_with_its_process_group,
            stopped_and_then_killed,
            returns_with_forgotten_handles,
            exits_with_a_live_pool,
            aborts,
            panics_on_a_thread,
        ],
        // Fork is refused on a second thread.
        cases![on &[Context::Spawn, Context::ForkServer] =>
            children_outlive_the_thread_that_started_them,
        ],
        cases![on &[Context::ForkServer] => killed_while_its_template_makes_state],
        grandchildren::CASES,
        #[cfg(not(offspring_force_portable))]
        super::daemons::CASES,
    ])
}

/// How often an owner is killed in each case, on each context. 200 for the full run.
pub(crate) fn rounds() -> u32 {
    let text = std::env::var("OFFSPRING_ORPHAN_ROUNDS").unwrap_or_else(|_| "20".into());
    text.parse().expect("OFFSPRING_ORPHAN_ROUNDS is a number")
}

/// How long it takes about to start everything: 6 ms for each worker, and for one process beside it.
fn starting() -> Duration {
    Duration::from_millis(30).max(Duration::from_millis(6) * owner::workers() as u32)
}

/// Kills in the first 30 ms (with more workers, more), in which everything is started: at any instruction of it.
fn killed_while_starting(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_while_starting", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_begun();
        owner.kill_at(warden.random.below(starting()));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

/// Kills when every child is in its state: idle, spinning, deaf to signals, stopped, or writing.
fn killed_while_its_children_work(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_while_its_children_work", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_all_are_in_their_state();
        owner.kill_at(warden.random.below(Duration::from_millis(30)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

/// The template runs the user's code then, and sees nothing else.
fn killed_while_its_template_makes_state(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_while_its_template_makes_state", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("makes state");
        owner.read_until_state_is_made();
        owner.kill_at(warden.random.below(Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

/// Supervisors, and the template, are what else could end the children.
fn killed_after_its_supervisors(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_after_its_supervisors", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_all_are_in_their_state();
        for supervisor in owner.supervisors() {
            warden::signal(supervisor, libc::SIGKILL);
        }
        owner.kill_at(warden.random.below(Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

#[cfg(not(offspring_force_portable))]
fn killed_while_its_supervisors_are_stopped(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_while_its_supervisors_are_stopped", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_all_are_in_their_state();
        for supervisor in owner.supervisors() {
            warden::signal(supervisor, libc::SIGSTOP);
            harness::eventually("the supervisor is stopped", || warden::is_stopped(supervisor));
        }
        owner.kill_at(Duration::ZERO);
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

fn killed_with_its_process_group(context: Context) -> Outcome {
    let mut warden = Warden::new("killed_with_its_process_group", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_all_are_in_their_state();
        owner.kill_group_at(warden.random.below(Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

fn stopped_and_then_killed(context: Context) -> Outcome {
    let mut warden = Warden::new("stopped_and_then_killed", context);
    for _ in 0..rounds() {
        let mut owner = warden.start_owner("wait");
        owner.read_until_all_are_in_their_state();
        warden::signal(owner.pid, libc::SIGSTOP);
        harness::eventually("the owner is stopped", || warden::is_stopped(owner.pid));
        owner.kill_at(warden.random.below(Duration::from_millis(5)));
        warden.wait_until_all_are_gone(&owner);
    }
    warden.report();
    Ok(())
}

/// Lets the owner end by itself, and checks that it ended as expected.
fn ends_by_itself(name: &'static str, context: Context, how: &str, status: i32) -> Outcome {
    let mut warden = Warden::new(name, context);
    for _ in 0..rounds().div_ceil(10) {
        let mut owner = warden.start_owner(how);
        owner.read_until_all_are_in_their_state();
        owner.tell_to_end();
        warden.wait_until_all_are_gone(&owner);
        let ended = warden.status_of_owner.expect("the owner was collected");
        // Whether there is a core file is up to the machine.
        assert_eq!(ended & !0x80, status, "the wait status of an owner that {how}");
    }
    // A panic waits for the next result, and drops with grace; that time says nothing.
    if how != "panics" {
        warden.report();
    }
    Ok(())
}

fn returns_with_forgotten_handles(context: Context) -> Outcome {
    ends_by_itself("returns_with_forgotten_handles", context, "returns", 0)
}

fn exits_with_a_live_pool(context: Context) -> Outcome {
    ends_by_itself("exits_with_a_live_pool", context, "exits", owner::EXITS << 8)
}

fn aborts(context: Context) -> Outcome {
    ends_by_itself("aborts", context, "aborts", libc::SIGABRT)
}

/// The handles are dropped by the unwinding thread, and nothing is left when it has ended, while the
/// owner itself still lives: the owner looks, and has a status of its own if something is left.
fn panics_on_a_thread(context: Context) -> Outcome {
    ends_by_itself("panics_on_a_thread", context, "panics", owner::PANICKED_AND_CLEAN << 8)
}

/// "Dies with its parent" must not mean "dies with the thread that made it".
fn children_outlive_the_thread_that_started_them(context: Context) -> Outcome {
    let (read, mut write) = pipe()?;
    let starter = std::thread::spawn(move || {
        let child = context.process().stdin(Stdio::from(read)).start((), |()| {
            let mut line = String::new();
            std::io::stdin().read_to_string(&mut line).map_err(|error| error.to_string())?;
            Ok::<_, String>(line)
        })?;
        let pool = context.pool().workers(2).build()?;
        assert_eq!(pool.map([1, 2], |(), n: u32| n).collect::<Result<Vec<_>, _>>()?, [1, 2]);
        Ok::<_, offspring::Error>((child, pool))
    });
    let (child, pool) = starter.join().expect("the thread ended")?;
    harness::eventually("the thread has left the process", || {
        std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
    });
    assert_eq!(pool.map(0..100, |(), n: u32| n).map(Result::unwrap).sum::<u32>(), 4950);
    assert_eq!(pool.shutdown()?.replaced(), 0, "workers died with the thread that started them");
    write.write_all(b"go")?;
    drop(write);
    assert_eq!(child.join()?, Ok("go".to_owned()));
    Ok(())
}

fn pipe() -> std::io::Result<(File, File)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two numbers.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) };
    if made == -1 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this number for us.
    let read = unsafe { File::from_raw_fd(ends[0]) };
    // SAFETY: as above.
    let write = unsafe { File::from_raw_fd(ends[1]) };
    Ok((read, write))
}
