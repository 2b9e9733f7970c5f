//! Programs and their `main`: where children enter, and everything that can be wrong there.

mod harness;
mod tools;
mod torture;

#[path = "entry/environment.rs"]
mod environment;
#[path = "entry/forged.rs"]
mod forged;
#[path = "entry/mains.rs"]
mod mains;
#[path = "entry/paths.rs"]
mod paths;
#[path = "entry/swapped.rs"]
mod swapped;
#[path = "entry/template.rs"]
mod template;
#[path = "entry/threads.rs"]
mod threads;

use std::process::ExitCode;

use offspring::Context;

/// The contexts whose children enter by exec.
const BY_EXEC: &[Context] = &[Context::Spawn, Context::ForkServer];
/// For cases that do not depend on a context.
const ONCE: &[Context] = &[Context::Spawn];

fn main() -> ExitCode {
    harness::programs::set(&[
        ("dies", mains::dies),
        ("workers_die", mains::workers_die),
        ("workers_hang", mains::workers_hang),
        ("forgotten", mains::forgotten),
        ("late", mains::late),
        ("twice", mains::twice),
        ("no_promise", mains::no_promise),
        ("answers", paths::answers),
        ("replaced", paths::replaced),
        ("swapped", swapped::swapped),
        ("rebuilt", swapped::rebuilt),
        ("arguments", environment::arguments),
        ("large", environment::large),
        ("thread_first", environment::thread_first),
        ("ordinary", forged::ordinary),
        ("privileged", forged::privileged),
        ("first_use", threads::first_use),
        ("first_use_by_a_thread_that_ends", threads::first_use_by_a_thread_that_ends),
        ("slow_template", threads::slow_template),
        ("template_killed", template::killed),
        ("template_stopped", template::stopped),
        ("template_stopped_too_long", template::stopped_too_long),
        ("template_left_stopped", template::left_stopped),
    ]);
    harness::main(&[
        mains::CASES,
        mains::CASES_BY_EXEC,
        paths::CASES,
        swapped::CASES,
        environment::CASES,
        environment::CASES_BY_EXEC,
        forged::CASES,
        threads::CASES_BY_EXEC,
        threads::CASES,
        template::CASES,
    ])
}
