//! All objects that this process knows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use offspring_platform::fd;

use super::recipe::{Entry, Key};

/// See the head of the file.
struct Registry {
    /// All of them. They live as long as somebody has a handle.
    known: BTreeMap<Key, Weak<Entry>>,
    /// Those that this process keeps: globals, and what it was told of by its owner.
    kept: BTreeMap<Key, Kept>,
}

struct Kept {
    entry: Arc<Entry>,
    /// Which process put it here: that or a fork of it.
    generation: u64,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { known: BTreeMap::new(), kept: BTreeMap::new() });

static SERIAL: AtomicU64 = AtomicU64::new(0);

fn lock() -> MutexGuard<'static, Registry> {
    // Nothing under it panics half-way.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn next_serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed) + 1
}

/// What was made until now: a child that is forked at this time inherits all that is not newer.
pub(crate) fn now() -> u64 {
    SERIAL.load(Ordering::Relaxed)
}

/// Whether somebody in this process has a handle of a shared object.
pub(crate) fn has_handles() -> bool {
    let shared = |(key, entry): (&Key, &Weak<Entry>)| {
        !matches!(key, Key::Global(_)) && entry.strong_count() > 0
    };
    lock().known.iter().any(shared)
}

/// The object, if this process knows it.
pub(super) fn find(key: Key) -> Option<Arc<Entry>> {
    lock().known.get(&key).and_then(Weak::upgrade)
}

/// Whether a live object has this label.
pub(super) fn has_label(label: &str) -> bool {
    let found: Vec<_> = lock().known.values().filter_map(Weak::upgrade).collect();
    // Dropped without the lock, since the last one takes it.
    found.iter().any(|entry| entry.recipe.label == label)
}

/// What another object has already that a new one was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Key,
    Label,
}

/// Makes one known that this process has made, as long as somebody has it, if no other live one has its label; the empty
/// one is none.
pub(super) fn add_new(entry: &Arc<Entry>) -> Result<(), Taken> {
    let label = &entry.recipe.label;
    let mut registry = lock();
    let named = if label.is_empty() { None } else { Some(registry.known.values()) };
    let others: Vec<_> = named.into_iter().flatten().filter_map(Weak::upgrade).collect();
    let is_taken = others.iter().any(|other| other.recipe.label == *label);
    let added = if is_taken { Err(Taken::Label) } else { insert(&mut registry, entry) };
    drop(registry);
    // Without the lock, since the last handle takes it.
    drop(others);
    added
}

fn insert(registry: &mut Registry, entry: &Arc<Entry>) -> Result<(), Taken> {
    let key = entry.recipe.key;
    if registry.known.get(&key).is_some_and(|known| known.strong_count() > 0) {
        return Err(Taken::Key);
    }
    registry.known.insert(key, Arc::downgrade(entry));
    Ok(())
}

/// Makes it known, as long as somebody has it. False if one with this key is known already.
pub(super) fn add(entry: &Arc<Entry>) -> bool {
    insert(&mut lock(), entry).is_ok()
}

/// Makes it known, and keeps it. False if one with this key is known already; then that one is kept.
pub(super) fn keep(entry: Arc<Entry>) -> bool {
    let is_new = add(&entry);
    let entry = if is_new { Some(entry) } else { find(entry.recipe.key) };
    if let Some(entry) = entry {
        let key = entry.recipe.key;
        let kept = Kept { entry, generation: fd::generation() };
        lock().kept.entry(key).or_insert(kept);
    }
    is_new
}

/// Keeps it no longer. What was inherited is not dropped: it belongs to the process that made it.
pub(super) fn release(key: Key) -> Option<Arc<Entry>> {
    let mut registry = lock();
    let kept = registry.kept.get(&key)?;
    if kept.generation != fd::generation() {
        return None;
    }
    registry.kept.remove(&key).map(|kept| kept.entry)
}

/// All globals that are set, with those that are not newer than `time` left out.
pub(crate) fn globals(newer_than: Option<u64>) -> Vec<Arc<Entry>> {
    let registry = lock();
    let newer = |entry: &Entry| newer_than.is_none_or(|time| entry.recipe.serial > time);
    let all = registry.kept.iter().take_while(|(key, _)| matches!(key, Key::Global(_)));
    all.map(|(_, kept)| kept.entry.clone()).filter(|entry| newer(entry)).collect()
}

/// All that this process keeps, globals first.
pub(super) fn kept() -> Vec<Arc<Entry>> {
    lock().kept.values().map(|kept| kept.entry.clone()).collect()
}

/// Keeps nothing any longer: what a fuzz target has said is not for its next run.
#[cfg(fuzzing)]
pub(crate) fn forget_all() {
    let kept = std::mem::take(&mut lock().kept);
    drop(kept);
}

/// The object is gone.
pub(super) fn remove(key: Key) {
    let mut registry = lock();
    if registry.known.get(&key).is_some_and(|known| known.strong_count() == 0) {
        registry.known.remove(&key);
    }
}
