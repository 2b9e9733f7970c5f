//! Templates of the fork server that have made the globals, so that children inherit them.
//!
//! Making them is the user's code: it may panic, hang, crash, or leave a thread running. So it never runs in a
//! template that has children. One that has made what it was told, and forked a first child, is never told
//! more: when another global is set, the next start begins a new template, and the old one ends with the last
//! of its children. One that does not come so far costs nobody anything: its globals are remembered, and
//! children make those themselves, as they do on Spawn.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::template::{DOING, Template};
use super::turn::Turn;
use crate::error::Error;
use crate::launch::Specification;
use crate::state::notice::Known;
use crate::state::{Key, Mentions};

/// What `ps` shows; 15 bytes count.
const NAME: &str = "offspring-state";

/// Such a template. It lives as long as it is the last one, or has a child.
#[derive(Debug, Clone)]
pub(crate) struct Prepared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    template: Mutex<Template>,
    /// What it was told of.
    keys: BTreeSet<Key>,
    /// Of these, what the one before had not made.
    added: BTreeSet<Key>,
    /// It has forked a child, so all is made.
    proven: AtomicBool,
}

struct Place {
    last: Option<Prepared>,
    /// What could not be made in a template.
    refused: BTreeSet<Key>,
}

static PLACE: Mutex<Place> = Mutex::new(Place { last: None, refused: BTreeSet::new() });

/// Of starting one.
static STARTING: Turn = Turn::new();

fn lock() -> MutexGuard<'static, Place> {
    // Nothing under it panics half-way.
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The template that has made these globals, or will have before it forks. `None` if there are none, or this
/// child has to make its own: what makes them may look at the environment and the directory.
///
/// # Errors
///
/// When another thread starts one, and that takes longer than this start may.
pub(crate) fn with_globals(
    globals: &Mentions,
    specification: &Specification,
) -> Result<Option<Prepared>, Error> {
    let own_surroundings =
        !specification.environment.is_empty() || specification.directory.is_some();
    if globals.is_empty() || own_surroundings {
        return Ok(None);
    }
    if let There::Ready(found) = there(globals) {
        return Ok(found);
    }
    let (_turn, left) = STARTING.take(specification.start_timeout, DOING)?;
    // Another thread may have started it meanwhile.
    match there(globals) {
        There::Ready(found) => Ok(found),
        There::Missing(keys) => Ok(start(globals, keys, left)),
    }
}

/// What there is already for some globals.
enum There {
    /// A template has made these; or none shall.
    Ready(Option<Prepared>),
    /// None has made these.
    Missing(BTreeSet<Key>),
}

fn there(globals: &Mentions) -> There {
    let mut place = lock();
    let all = globals.iter().map(|recipe| recipe.key);
    let keys: BTreeSet<Key> = all.filter(|key| !place.refused.contains(key)).collect();
    if keys.is_empty() {
        return There::Ready(None);
    }
    let dead = place.last.take_if(|last| !last.lock().is_usable());
    let last = place.last.as_ref().filter(|last| last.0.keys.is_superset(&keys));
    let there = match last {
        Some(last) => There::Ready(Some(last.clone())),
        None => There::Missing(keys),
    };
    drop(place);
    // It is waited for, if that was the last of it.
    drop(dead);
    there
}

/// Not under the lock: it may take long.
fn start(globals: &Mentions, keys: BTreeSet<Key>, limit: Duration) -> Option<Prepared> {
    // Should it not start, then the plain one will not either, and says why.
    let mut template = Template::start(limit, NAME).ok()?;
    let link = template.supervisor.link.as_mut()?;
    let wanted = globals.iter().filter(|recipe| keys.contains(&recipe.key));
    Known::default().tell(link, &wanted.cloned().collect()).ok()?;
    let mut place = lock();
    let before = place.last.as_ref().map(|last| last.0.keys.clone()).unwrap_or_default();
    let added = &keys - &before;
    let (template, proven) = (Mutex::new(template), AtomicBool::new(false));
    let prepared = Prepared(Arc::new(Inner { template, keys, added, proven }));
    let old = place.last.replace(prepared.clone());
    drop(place);
    // The one before ends, if it has no child.
    drop(old);
    Some(prepared)
}

impl Prepared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Template> {
        // A panic while it was held leaves it whole: the worst is a template that does not answer.
        self.0.template.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down that its children have inherited what it has made.
    pub(crate) fn assume(&self, globals: &Mentions, known: &mut Known) {
        let made = globals.iter().filter(|recipe| self.0.keys.contains(&recipe.key));
        made.for_each(|recipe| known.assume(recipe));
    }

    /// It has forked a child.
    pub(crate) fn has_served(&self) {
        self.0.proven.store(true, Ordering::Relaxed);
    }

    /// It has died, or does not answer in time, or says that it cannot fork.
    pub(crate) fn give_up(&self) {
        let mut place = lock();
        if place.last.as_ref().is_some_and(|last| Arc::ptr_eq(&last.0, &self.0)) {
            place.last = None;
        }
        if !self.0.proven.load(Ordering::Relaxed) {
            place.refused.extend(&self.0.added);
            // It may be in the user's code for ever, and has no child.
            self.lock().supervisor.kill();
        }
    }
}
