//! Where a test program enters offspring, before its `main`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use offspring_platform::entry::{self, Entered};
use offspring_platform::{constructors, exit, runtime};

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
    let is_child = std::env::var_os(NOTE).is_some();
    if !is_child && std::env::var_os(WANTED).is_none() {
        crate::init();
        return;
    }
    // Nothing unwinds from here into the loader.
    let bomb = exit::Bomb::arm();
    if let Err(error) = runtime::prepare() {
        fail(&format!("this process cannot be prepared: {error}"));
    }
    constructors::run_later_than(constructor);
    crate::init();
    if let Some((wanted, entered)) = entry::take_note(WANTED) {
        run(&wanted.to_string_lossy(), &entered);
    }
    // What it was, was for another process. It goes on as an ordinary one, whose constructors have run.
    std::mem::forget(bomb);
}

/// Runs the test that is wanted. Returns if somebody else was meant, who started this process.
fn run(wanted: &str, entered: &Entered) {
    let (owner, label) = match wanted.split_once(':') {
        Some((pid, label)) if pid.parse::<u32>().is_ok() => (pid.parse::<u32>().ok(), label),
        _ => (None, wanted),
    };
    if owner.is_some_and(|owner| owner != std::os::unix::process::parent_id()) {
        return;
    }
    let list: Vec<&'static Test> = tests().clone();
    let found = list.iter().find_map(|test| Some((*test, test.context_of(label)?)));
    match found {
        Some((test, context)) => alone::run(test, context, owner.map(|_| entered)),
        None => fail(&format!("{WANTED} is {wanted:?}, but no test of this program has that name")),
    }
}

#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
pub(super) fn fail(why: &str) -> ! {
    eprintln!("offspring: {why}");
    exit::now(exit::FELL_OUT)
}
