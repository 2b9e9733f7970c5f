//! Where a test program enters offspring, before its `main`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use offspring_platform::entry::{self, Entered};
use offspring_platform::{constructors, exit, program, runtime};

use super::alone;
use super::run::Test;
use crate::launch::handover::NOTE;

/// The variable that says which test a process is to run: `<pid of the test program>:<name>`, or the name
/// alone, by hand, to run one test in a debugger.
pub(super) const WANTED: &str = "OFFSPRING_TEST";

/// The tests whose constructors ran.
static TESTS: Mutex<Vec<&'static Test>> = Mutex::new(Vec::new());

fn tests() -> MutexGuard<'static, Vec<&'static Test>> {
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the constructors call, one for each test function and each `enable!`; `constructor` is the caller.
///
/// In a test program as somebody starts it, it does no more than [`init`](crate::init). In a child, and in the
/// process of a test, the first of them runs the constructors that are left, and does not return.
pub fn enter(test: Option<&'static Test>, constructor: extern "C" fn()) {
    static ENTERED: AtomicBool = AtomicBool::new(false);
    tests().extend(test);
    if ENTERED.swap(true, Ordering::Relaxed) {
        return;
    }
    let is_child = is_for_this_process(NOTE);
    if !is_child && !is_for_this_process(WANTED) {
        crate::init();
        return;
    }
    // Nothing unwinds from here into the loader, and nothing returns: the constructors would run again.
    let _bomb = exit::Bomb::arm();
    if let Err(error) = runtime::prepare() {
        fail(&format!("this process cannot be prepared: {error}"));
    }
    constructors::run_later_than(constructor);
    crate::init();
    match entry::take_note(WANTED) {
        Some((wanted, entered)) => run(&wanted.to_string_lossy(), &entered),
        None => fail("this process was started as a child, and then was none"),
    }
}

/// Whether a note in the environment was written for this process, and not for another that it was inherited
/// from. Both kinds begin with the pid of who wrote them; one that was written by hand does not.
fn is_for_this_process(variable: &str) -> bool {
    let Some(note) = std::env::var_os(variable).filter(|_| !program::is_privileged()) else {
        return false;
    };
    match owner(&note.to_string_lossy()) {
        Some((pid, _)) => pid == std::os::unix::process::parent_id(),
        None => variable == WANTED,
    }
}

/// The pid at the beginning of a note, and what follows.
fn owner(note: &str) -> Option<(u32, &str)> {
    let (pid, rest) = note.split_once(':')?;
    Some((pid.parse().ok()?, rest))
}

/// Runs the test that is wanted.
fn run(wanted: &str, entered: &Entered) -> ! {
    let (started, label) = match owner(wanted) {
        Some((_, label)) => (Some(entered), label),
        None => (None, wanted),
    };
    let list: Vec<&'static Test> = tests().clone();
    let found = list.iter().find_map(|test| Some((*test, test.context_of(label)?)));
    if let Some((test, context)) = found {
        alone::run(test, context, started);
    }
    let why = match list.iter().find_map(|test| test.instead_of(label)) {
        // Nobody has said that it works on another context, or without one.
        Some(labels) => format!("that test is there as `{}` only", labels.join("` and `")),
        None => "no test of this program has that name".to_owned(),
    };
    fail(&format!("{WANTED} is {wanted:?}, but {why}"))
}

#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
pub(super) fn fail(why: &str) -> ! {
    eprintln!("offspring: {why}");
    exit::now(exit::FELL_OUT)
}
