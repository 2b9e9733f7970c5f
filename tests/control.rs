//! What an owner does with its children: waiting, stopping, letting go, their surroundings, groups.

#![allow(
    clippy::unused_unit,
    reason = "a task that never returns needs it; Rust 1.85's lint disagrees"
)]

mod harness;
mod torture;

mod control {
    pub(crate) mod contexts;
    pub(crate) mod endings;
    pub(crate) mod errors;
    pub(crate) mod groups;
    pub(crate) mod hostile;
    /// Only Linux has namespaces, and a name of a process that is given once.
    #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
    pub(crate) mod reused;
    pub(crate) mod settings;
    pub(crate) mod stage;
    pub(crate) mod streams;
    pub(crate) mod terminated;
    pub(crate) mod waiting;
}

#[cfg(all(target_os = "linux", not(offspring_force_portable)))]
use control::reused;
use control::{contexts, endings, errors, groups, hostile, settings, streams, terminated, waiting};

fn main() -> std::process::ExitCode {
    harness::programs::set(&[
        ("context-from-environment", contexts::context_from_environment),
        ("detached-child-of-one-that-returns", endings::parent_that_returns),
        ("detached-child-of-one-that-is-killed", endings::parent_that_is_killed),
        ("late", settings::late_program),
        ("stops-after-hello", settings::stopping_program),
        ("without-init", errors::program_without_init),
        ("without-promise", errors::program_without_promise),
        ("ignores-endings-of-children", hostile::program_that_ignores_endings),
        ("ignores-that-its-group-is-terminated", terminated::program),
        #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
        ("reused", reused::program),
    ]);
    harness::main(&[
        contexts::CASES,
        endings::CASES,
        errors::ON_INLINE,
        errors::ON_PROCESSES,
        groups::ON_ALL,
        groups::ON_PROCESSES,
        hostile::ON_ALL,
        hostile::BESIDE_THREADS,
        #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
        reused::CASES,
        #[cfg(all(target_os = "linux", not(offspring_force_portable)))]
        reused::BESIDE_THREADS,
        settings::ON_ALL,
        settings::ON_PROCESSES,
        settings::BY_EXEC,
        streams::CASES,
        terminated::CASES,
        waiting::ON_ALL,
        waiting::ON_PROCESSES,
    ])
}
