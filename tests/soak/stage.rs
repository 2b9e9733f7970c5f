//! The case, and the program in which all happens: with a library that lets calls fail.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use offspring::Context;

use super::times::Times;
use super::{faults, killer, load};
use crate::harness::leaks::Snapshot;
use crate::harness::preload::{self, Guarded};
use crate::harness::scarcity::Group;
use crate::harness::{self, Case, Outcome, PROCESSES, programs};
use crate::torture;

const CASES: &[Case] =
    crate::cases![on PROCESSES => a_loaded_pool_leaves_nothing_and_does_not_grow];
const PROGRAMS: &[programs::Program] = &[("soak", soak), ("killer", killer::main)];
/// How much memory the pool and its owner may have together.
pub(crate) const GROUP: u64 = 256 << 20;
const CONTEXT: &str = "SOAK_CONTEXT";

pub(crate) fn main() -> ExitCode {
    programs::set(PROGRAMS);
    let times = Times::from_env();
    harness::main_within(times.warm + times.total + Duration::from_secs(300), &[CASES])
}

fn a_loaded_pool_leaves_nothing_and_does_not_grow(context: Context) -> Outcome {
    let library = preload::compile("enomem");
    let page = std::env::temp_dir().join("page");
    faults::make_page(&page);
    let mut command = programs::command("soak");
    preload::put_before(&mut command, &library);
    command.env(faults::PAGE, &page).stdin(Stdio::null());
    // Some tasks panic, which is to cost little.
    command.env(CONTEXT, context.to_string()).env_remove("RUST_BACKTRACE");
    let mut program = Guarded(command.spawn()?);
    let status = program.0.wait()?;
    for file in [page, library] {
        std::fs::remove_file(file)?;
    }
    assert!(status.success(), "the program ended with {status}");
    Ok(())
}

/// Lets this process end with the one that started it.
pub(crate) fn end_with_parent() {
    // SAFETY: the call takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

fn soak() -> ExitCode {
    // SAFETY: the program owns no memory or kernel object that must not exist twice.
    unsafe { offspring::allow_fork() };
    offspring::init();
    end_with_parent();
    torture::no_core_files();
    let context = std::env::var(CONTEXT).expect("the case says on what");
    let context: Context = context.parse().expect("a context");
    if context == Context::ForkServer {
        // The template lives as long as the program; it is no leak.
        let warm = context.process().start((), |()| ());
        warm.and_then(offspring::Process::join).expect("the fork server starts");
    }
    let before = Snapshot::take();
    // What exceeds it is a task, and that says so.
    let group = Group::protected_or_say(GROUP);
    load::run(context, Times::from_env(), group.is_some()).expect("the pool works to its end");
    drop(group);
    if let Err(leak) = before.compare() {
        eprintln!("the program leaks: {leak}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
