//! The places, and what is expected there.

use std::process::Command;

use offspring::Context;

use super::everyday::{CONTEXT, TOLD};
use crate::harness::{self, Case, Outcome, PROCESSES, programs};

pub(crate) const CASES: &[Case] = crate::cases![on PROCESSES =>
    // The portable way knows the path of the program from there.
    #[cfg(not(offspring_force_portable))]
    without_proc,
    where_proc_hides_others,
    // The portable way has its memory there.
    #[cfg(not(offspring_force_portable))]
    with_little_shared_memory,
    with_64_descriptors,
    as_the_first_process,
    on_a_read_only_root,
    as_another_user,
    with_too_few_processes,
    with_too_few_descriptors,
];

/// What a place makes of the program.
#[derive(Clone, Copy)]
enum Expected {
    Done,
    /// An error whose text has this in it.
    Told(&'static str),
}

/// Runs the program by a shell that sets up the place. What of it may be refused comes first, and is tried first.
fn run(context: Context, wrapper: &[&str], setup: &str, expected: Expected) -> Outcome {
    let program = programs::command("everyday");
    let mut words = wrapper.to_vec();
    let first = if words.is_empty() { "sh" } else { words.remove(0) };
    let arguments: &[&str] = if wrapper.is_empty() { &["-c"] } else { &["sh", "-c"] };
    let shell = |text: &str| {
        let mut command = Command::new(first);
        command.args(&words).args(arguments).arg(text).arg(program.get_program());
        command
    };
    let tried = shell(&format!("{setup} true")).output()?;
    if !tried.status.success() {
        let reason = String::from_utf8_lossy(&tried.stderr).into_owned();
        harness::not_tested(format_args!("this user cannot set it up: {reason}"));
        return Ok(());
    }
    let mut command = shell(&format!("{setup} \"$0\""));
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.env(CONTEXT, context.to_string()).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    let seen = format!("{}\n--- said\n{said}\n--- errors\n{errors}", output.status);
    println!("{seen}");
    match expected {
        Expected::Done => assert_eq!(output.status.code(), Some(0), "{seen}"),
        Expected::Told(wanted) => {
            assert_eq!(output.status.code(), Some(TOLD.into()), "{seen}");
            assert!(said.contains(wanted), "the error does not say {wanted:?}: {seen}");
        }
    }
    Ok(())
}

const MOUNTS: &[&str] = &["unshare", "-m"];
const ANOTHER_USER: &str = "exec setpriv --reuid=12345 --regid=12345 --clear-groups";

#[cfg(not(offspring_force_portable))]
fn without_proc(context: Context) -> Outcome {
    let setup = "mount --make-rprivate / && umount -l /proc && exec";
    run(context, MOUNTS, setup, Expected::Done)
}

/// A user sees the processes of nobody else, and as one who is not root.
fn where_proc_hides_others(context: Context) -> Outcome {
    let mount = "mount --make-rprivate / && mount -t proc -o hidepid=2 proc /proc &&";
    run(context, MOUNTS, &format!("{mount} {ANOTHER_USER}"), Expected::Done)
}

#[cfg(not(offspring_force_portable))]
fn with_little_shared_memory(context: Context) -> Outcome {
    let setup = "mount --make-rprivate / && mount -t tmpfs -o size=1M tmpfs /dev/shm && exec";
    run(context, MOUNTS, setup, Expected::Done)
}

fn with_64_descriptors(context: Context) -> Outcome {
    run(context, &[], "ulimit -n 64 && exec", Expected::Done)
}

/// As in a container: nobody collects what it adopts, and signals without a handler do not end it.
fn as_the_first_process(context: Context) -> Outcome {
    run(context, &["unshare", "-p", "-f", "--mount-proc"], "exec", Expected::Done)
}

fn on_a_read_only_root(context: Context) -> Outcome {
    let setup = "mount --make-rprivate / && mount -o remount,bind,ro / && exec";
    run(context, MOUNTS, setup, Expected::Done)
}

fn as_another_user(context: Context) -> Outcome {
    run(context, &[], ANOTHER_USER, Expected::Done)
}

/// Itself and one more: the template or supervisor has no child, or there is nobody to make one.
fn with_too_few_processes(context: Context) -> Outcome {
    // A user of its own, of whom no other process is.
    let user = 50_000 + std::process::id() % 10_000;
    let ids = format!("--reuid={user} --regid={user} --clear-groups");
    let setup = format!("exec setpriv {ids} prlimit --nproc=2:2");
    // Where its lifeline is a thread, a child that can have none cannot say so.
    let portable = cfg!(offspring_force_portable);
    let told = if portable { "could not start" } else { "Resource temporarily unavailable" };
    run(context, &[], &setup, Expected::Told(told))
}

fn with_too_few_descriptors(context: Context) -> Outcome {
    run(context, &[], "ulimit -n 8 && exec", Expected::Told("Too many open files"))
}
