//! State that is made from a specification: globals, shared objects, hooks; and what is not shared.

#[path = "state/counts.rs"]
mod counts;
#[path = "state/globals.rs"]
mod globals;
mod harness;
#[path = "state/hooks.rs"]
mod hooks;
#[path = "state/isolation.rs"]
mod isolation;
#[path = "state/objects.rs"]
mod objects;
#[path = "state/pools.rs"]
mod pools;
#[path = "state/prepared.rs"]
mod prepared;
#[path = "state/siblings.rs"]
mod siblings;
#[path = "state/templates.rs"]
mod templates;
mod torture;
// Builders know by the name of their process that they are in a template.
#[cfg(target_os = "linux")]
#[path = "state/unmade.rs"]
mod unmade;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use offspring::Context;
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    harness::programs::set(siblings::PROGRAMS);
    harness::main(&[
        counts::CASES,
        counts::FORK,
        globals::CASES,
        globals::PROCESSES,
        hooks::CASES,
        hooks::PROCESSES,
        isolation::CASES,
        isolation::PROCESSES,
        objects::CASES,
        objects::PROCESSES,
        pools::CASES,
        pools::PROCESSES,
        prepared::CASES,
        siblings::PROCESSES,
        siblings::BY_EXEC,
        #[cfg(target_os = "linux")]
        unmade::CASES,
        templates::PROCESSES,
        templates::TEMPLATES,
    ])
}

/// How often this process has encoded a [`Recipe`].
static ENCODED: AtomicU32 = AtomicU32::new(0);
/// How often this process has made a [`Table`].
static MADE: AtomicU32 = AtomicU32::new(0);
/// How often this process has dropped one.
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// A specification that counts how often it is encoded.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Recipe {
    factor: u64,
}

impl Serialize for Recipe {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain {
            factor: u64,
        }
        ENCODED.fetch_add(1, Ordering::SeqCst);
        Plain { factor: self.factor }.serialize(serializer)
    }
}

/// Not to be serialized by anybody: a lock, a closure, an address (AC10, AC15).
struct Table {
    multiply: Box<dyn Fn(u64) -> u64 + Send + Sync>,
    calls: Mutex<u32>,
}

impl Table {
    fn make(recipe: Recipe) -> Self {
        MADE.fetch_add(1, Ordering::SeqCst);
        Self { multiply: Box::new(move |n| recipe.factor * n), calls: Mutex::new(0) }
    }

    fn apply(&self, n: u64) -> u64 {
        *self.calls.lock().expect("nobody panics with it") += 1;
        (self.multiply)(n)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

fn encoded() -> u32 {
    ENCODED.load(Ordering::SeqCst)
}

fn made() -> u32 {
    MADE.load(Ordering::SeqCst)
}

fn dropped() -> u32 {
    DROPPED.load(Ordering::SeqCst)
}

/// How often a process of this context makes what its parent has made already, in all that the counter of the
/// process shows: a copy has the parent's count.
fn made_in_child(context: Context) -> u32 {
    // Once in the parent, whose count a copy inherits; once in the child, which begins at zero.
    assert!(Context::ALL.contains(&context));
    1
}

/// Errors as values, which is what tasks return.
type Told<T> = Result<T, String>;

fn told<T>(result: offspring::Result<T>) -> Told<T> {
    result.map_err(|error| error.to_string())
}
