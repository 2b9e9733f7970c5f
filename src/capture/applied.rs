//! In a child, or inline: what was captured is set, the task runs, then all of it is undone.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Set;
use super::brought::{self, Relay, Sink};
use super::registry;
use super::set::{Entry, copies};
use crate::codec::Encoded;
use crate::function::{self, Failure, Flaw, Name, Step, panic};

/// The task that this process runs.
pub(super) struct Running {
    set: Arc<Set>,
    relay: Arc<Relay>,
}

impl Running {
    pub(super) fn has(&self, name: &str) -> bool {
        self.set.entries.iter().any(|entry| *entry.name == *name)
    }

    /// What its own tasks are given: the values that it was given itself.
    pub(super) fn passed_on(&self) -> Vec<Entry> {
        (0..).zip(&self.set.entries).map(|(index, entry)| self.pass_on(index, entry)).collect()
    }

    fn pass_on(&self, index: u32, entry: &Entry) -> Entry {
        let sink = match entry.collect {
            Some(_) => Sink::Relay(self.relay.clone(), index),
            None => Sink::Nowhere,
        };
        Entry { sink, ..entry.clone() }
    }
}

/// `None` in a process that runs no task, or one without captures; and for those of Inline, which run where
/// the captures are registered.
static RUNNING: Mutex<Option<Arc<Running>>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Arc<Running>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn running() -> Option<Arc<Running>> {
    lock().clone()
}

/// See [`registry::disown`].
pub(super) fn disown() {
    std::mem::forget(lock().take());
}

/// What came of a task, and what it brought back, if that was asked for.
pub(crate) type Came<T> = (Result<T, Box<Failure>>, Option<Vec<u8>>);

/// Whether the data of the task is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    Collected,
    Left,
}

/// In a child: runs a task, with what was captured for it, if anything was. Its own tasks are given the
/// same.
#[inline]
pub(crate) fn in_child<T>(
    set: Option<Arc<Set>>,
    data: Data,
    run: impl FnOnce() -> Result<T, Box<Failure>>,
) -> Came<T> {
    match set {
        Some(set) => in_child_with(set, data, run),
        None => (run(), None),
    }
}

#[cold]
fn in_child_with<T>(
    set: Arc<Set>,
    data: Data,
    run: impl FnOnce() -> Result<T, Box<Failure>>,
) -> Came<T> {
    let relay = Arc::new(Relay::default());
    let running = Running { set: set.clone(), relay: relay.clone() };
    // Around setting and undoing too: both may start tasks. The user's code is caught in there.
    *lock() = Some(Arc::new(running));
    registry::count_running(true);
    let came = with(&set, data, &relay, run);
    registry::count_running(false);
    *lock() = None;
    came
}

/// In the process that owns the captures.
pub(crate) fn inline<T>(
    set: Option<&Arc<Set>>,
    run: impl FnOnce() -> Result<T, Box<Failure>>,
) -> Came<T> {
    match set {
        Some(set) => with(set, Data::Collected, &Relay::default(), run),
        None => (run(), None),
    }
}

fn with<T>(
    set: &Set,
    data: Data,
    relay: &Relay,
    run: impl FnOnce() -> Result<T, Box<Failure>>,
) -> Came<T> {
    let mut guards: Vec<(&Entry, Option<Box<dyn Any>>)> = Vec::with_capacity(set.entries.len());
    let mut outcome = None;
    for entry in &set.entries {
        let mut guard = None;
        let made = copies(&entry.value)
            .map_err(|error| Box::new(Failure::Function(error.to_string())))
            .and_then(|descriptors| call(entry.set, &mut guard, &entry.value.bytes, descriptors));
        match made {
            Ok(_) => guards.push((entry, guard)),
            Err(failure) => {
                outcome = Some(Err(Flaw::of(&entry.name, Step::Set, *failure)));
                break;
            }
        }
    }
    let whole = outcome.is_none();
    let mut outcome = outcome.unwrap_or_else(run);
    // The first failure is the one that is told.
    let mut fail = |failure| {
        if outcome.is_ok() {
            outcome = Err(failure);
        }
    };
    let mut pieces = None;
    if whole && data == Data::Collected {
        let entries = || (0..).zip(&set.entries);
        if entries().any(|(_, entry)| entry.collect.is_some()) {
            // What the task's own tasks brought comes first: they have ended before it.
            let mut all = relay.take();
            for (index, entry) in entries() {
                let Some(collect) = entry.collect else { continue };
                match call(collect, &mut None, &[], Vec::new()) {
                    Ok(found) if found.descriptors.is_empty() => {
                        brought::add(&mut all, index, &found.bytes);
                    }
                    Ok(_) => {
                        let text = "it holds a descriptor, and those are not brought back".into();
                        fail(Flaw::of(&entry.name, Step::Collect, Failure::Result(text)));
                    }
                    Err(failure) => fail(Flaw::of(&entry.name, Step::Collect, *failure)),
                }
            }
            pieces = Some(all);
        }
    }
    while let Some((entry, guard)) = guards.pop() {
        let undone = panic::caught(|| catch_unwind(AssertUnwindSafe(|| drop(guard))));
        if let Err(panic) = undone {
            fail(Flaw::of(&entry.name, Step::Undo, Failure::Panicked(*panic)));
        }
    }
    (outcome, pieces)
}

fn call(
    function: Name,
    state: &mut Option<Box<dyn Any>>,
    input: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<Encoded, Box<Failure>> {
    function::call(function, state, input.into(), descriptors)
}
