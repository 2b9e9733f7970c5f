//! Which captures are registered in this process, and what they hold now.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::applied;
use super::brought::Sink;
use super::set::{Entry, Set};
use crate::codec::{CodecError, Encoded};
use crate::error::{Error, ErrorKind, Phase};
use crate::function::Name;

type Get = dyn Fn() -> Result<Encoded, CodecError> + Send + Sync;
type Merge = dyn Fn(&[u8]) -> Result<(), CodecError> + Send + Sync;

/// One that is registered.
pub(super) struct Capture {
    pub(super) id: u64,
    pub(super) name: Arc<str>,
    pub(super) get: Arc<Get>,
    pub(super) set: Name,
    /// What the child runs after the task, and what this process does with the data.
    pub(super) back: Option<(Name, Box<Merge>)>,
}

impl Capture {
    /// Runs the user's closure on what a task brought back.
    pub(super) fn merge(&self, bytes: &[u8]) -> Result<(), Error> {
        let Some((_, merge)) = &self.back else { return Ok(()) };
        merge(bytes).map_err(|error| {
            Error::new(ErrorKind::Capture, super::MERGING)
                .at(Phase::Started)
                .captured(&self.name)
                .detail(format!("what the capture `{}` brought back: {error}", self.name))
        })
    }
}

struct Registry {
    captures: Arc<[Arc<Capture>]>,
    /// What was captured last. What has not changed is not sent again.
    last: Option<Arc<Set>>,
    next_capture: u64,
    next_set: u64,
}

/// How many there are, and one more while this process runs a task that was given some: with 0, nobody has
/// to look further.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

/// No user code runs while this is held.
fn lock() -> MutexGuard<'static, Option<Registry>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn registry(place: &mut Option<Registry>) -> &mut Registry {
    place.get_or_insert_with(|| Registry {
        captures: Arc::new([]),
        last: None,
        next_capture: 0,
        next_set: 0,
    })
}

/// Counts the task that runs in this process, whose captures are passed on to its own tasks.
pub(super) fn count_running(runs: bool) {
    if runs {
        ACTIVE.fetch_add(1, Ordering::Relaxed);
    } else {
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What sets that are gone held.
static GONE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// Whether there is some. Whoever drops a set comes by later, so it is enough that a thread sees its own.
static IS_ANY_GONE: AtomicBool = AtomicBool::new(false);

/// Keeps this until somebody comes along who holds no lock.
pub(super) fn drop_later(mut entries: Vec<Entry>) {
    let mut gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    gone.append(&mut entries);
    IS_ANY_GONE.store(true, Ordering::Relaxed);
}

/// Drops what sets that are gone held. Runs the user's code, so no lock may be held.
#[inline]
pub(crate) fn drop_gone() {
    if IS_ANY_GONE.load(Ordering::Relaxed) {
        drop_all_gone();
    }
}

#[cold]
fn drop_all_gone() {
    let mut place = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    IS_ANY_GONE.store(false, Ordering::Relaxed);
    let gone = std::mem::take(&mut *place);
    drop(place);
    drop(gone);
}

/// What owns sets has it as its last field: nobody may come by after it.
#[derive(Debug)]
pub(crate) struct DropsGone;

impl Drop for DropsGone {
    fn drop(&mut self) {
        drop_gone();
    }
}

/// Registers a capture; returns its number.
pub(super) fn add(name: &str, get: Arc<Get>, set: Name) -> Result<u64, Error> {
    let passed_on = applied::running().is_some_and(|running| running.has(name));
    let mut place = lock();
    let registry = registry(&mut place);
    if passed_on || registry.captures.iter().any(|capture| *capture.name == *name) {
        return Err(Error::new(ErrorKind::Invalid, super::REGISTERING)
            .captured(name)
            .detail(format!("there is a capture called `{name}` already"))
            .advice("drop the guard of the other first, or choose another name"));
    }
    let id = registry.next_capture;
    registry.next_capture += 1;
    let capture = Capture { id, name: name.into(), get, set, back: None };
    let others = registry.captures.iter().cloned();
    registry.captures = others.chain([Arc::new(capture)]).collect();
    ACTIVE.fetch_add(1, Ordering::Relaxed);
    Ok(id)
}

/// From here on, it brings something back.
pub(super) fn bring_back(id: u64, collect: Name, merge: Box<Merge>) {
    let mut place = lock();
    let registry = registry(&mut place);
    let mut merge = Some(merge);
    let changed = registry.captures.iter().map(|capture| {
        if capture.id != id {
            return capture.clone();
        }
        let Capture { id, name, get, set, .. } = &**capture;
        let back = merge.take().map(|merge| (collect, merge));
        Arc::new(Capture { id: *id, name: name.clone(), get: get.clone(), set: *set, back })
    });
    let changed = changed.collect();
    let before = std::mem::replace(&mut registry.captures, changed);
    drop(place);
    // What the user's closures own is dropped without the lock.
    drop(before);
}

/// Takes it away; nothing happens if it is not there.
pub(super) fn remove(id: u64) {
    let mut place = lock();
    let registry = registry(&mut place);
    let left: Arc<[Arc<Capture>]> =
        registry.captures.iter().filter(|capture| capture.id != id).cloned().collect();
    let before = std::mem::replace(&mut registry.captures, left);
    ACTIVE.fetch_sub(before.len() - registry.captures.len(), Ordering::Relaxed);
    let last = registry.last.take();
    drop(place);
    // What the user's closures own is dropped without the lock.
    drop((before, last));
    drop_gone();
}

/// In a child: whatever was registered before it became one is its parent's. Nothing of it is dropped.
pub(crate) fn disown() {
    std::mem::forget(lock().take());
    std::mem::forget(std::mem::take(&mut *GONE.lock().unwrap_or_else(PoisonError::into_inner)));
    ACTIVE.store(0, Ordering::Relaxed);
    applied::disown();
}

/// Whether [`current`] may find anything.
#[inline]
pub(crate) fn is_used() -> bool {
    ACTIVE.load(Ordering::Relaxed) != 0
}

/// What a child or task that is started now is to be given; `None` if nothing is captured. Runs the user's
/// code, which may panic.
#[inline]
pub(crate) fn current() -> Result<Option<Arc<Set>>, Error> {
    if is_used() { look() } else { Ok(None) }
}

#[cold]
fn look() -> Result<Option<Arc<Set>>, Error> {
    let (captures, last) = {
        let mut place = lock();
        let registry = registry(&mut place);
        (registry.captures.clone(), registry.last.clone())
    };
    let running = applied::running();
    let mut entries = running.map_or_else(Vec::new, |running| running.passed_on());
    for capture in captures.iter() {
        let value = (capture.get)().map_err(|error| {
            Error::new(ErrorKind::Capture, super::CAPTURING)
                .captured(&capture.name)
                .detail(format!("what the capture `{}` holds: {error}", capture.name))
        })?;
        let (collect, sink) = match &capture.back {
            Some((collect, _)) => (Some(*collect), Sink::Merge(capture.clone())),
            None => (None, Sink::Nowhere),
        };
        let (name, set) = (capture.name.clone(), capture.set);
        entries.push(Entry { name, set, collect, value: Arc::new(value), sink });
    }
    if entries.is_empty() {
        return Ok(None);
    }
    if let Some(last) = last.filter(|last| last.holds(&entries)) {
        return Ok(Some(last));
    }
    // Without the lock: it may encode what shared objects are made from.
    let set = Arc::new(Set::new(next_set(), entries)?);
    let before = keep(&set, &captures);
    drop(before);
    drop_gone();
    Ok(Some(set))
}

/// A number for a set.
fn next_set() -> u64 {
    let mut place = lock();
    let registry = registry(&mut place);
    registry.next_set += 1;
    registry.next_set - 1
}

/// Remembers what these captures held, unless there are others by now: nobody would come and forget it. Returns what
/// may only be dropped without the lock.
fn keep(set: &Arc<Set>, captures: &Arc<[Arc<Capture>]>) -> Option<Arc<Set>> {
    let mut place = lock();
    let registry = registry(&mut place);
    if Arc::ptr_eq(&registry.captures, captures) {
        registry.last.replace(set.clone())
    } else {
        None
    }
}
