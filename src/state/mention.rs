//! Which shared objects a value mentions.
//!
//! A handle in a value is a number. While the value is encoded, the object is noted on a list of this thread,
//! so that whoever sends the value can make sure that the receiver knows it. Values that mention none pay for
//! a look at a number.

use std::cell::RefCell;
use std::sync::Arc;

use super::recipe::{Entry, Recipe};
use crate::codec::descriptors;
use crate::error::Error;

thread_local! {
    /// Each with the number of its value: one may be encoded while another is.
    static NOTED: RefCell<Vec<(u32, Arc<Entry>)>> = const { RefCell::new(Vec::new()) };
}

/// Takes down that the value that this thread is encoding mentions the object. False if there is none.
pub(super) fn note(entry: &Arc<Entry>) -> bool {
    let value = descriptors::encoding();
    if value == 0 {
        return false;
    }
    NOTED.with_borrow_mut(|list| {
        if !list.iter().any(|(of, other)| *of == value && Arc::ptr_eq(other, entry)) {
            list.push((value, entry.clone()));
            descriptors::listed();
        }
    });
    true
}

/// Takes off the list what this value mentions, and appends it.
#[cold]
pub(crate) fn take(value: u32, into: &mut Vec<Arc<Entry>>) {
    NOTED.with_borrow_mut(|list| {
        let first = list.iter().position(|(of, _)| *of >= value).unwrap_or(list.len());
        descriptors::unlisted(list.len() - first);
        into.extend(list.drain(first..).map(|(_, entry)| entry));
    });
}

/// What the receiver of some tasks has to know, as it can be sent. Mostly nothing, which takes no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mentions(Option<Arc<Vec<Arc<Recipe>>>>);

impl Mentions {
    /// Encodes what is needed for these, but for what a fork at the time `inherited` has inherited. Runs the
    /// user's `Serialize`, so no lock may be held.
    pub(crate) fn prepare(
        entries: &mut Vec<Arc<Entry>>,
        inherited: Option<u64>,
    ) -> Result<Self, Error> {
        let mut this = Self::default();
        for entry in entries.drain(..) {
            if inherited.is_none_or(|time| entry.recipe.serial > time) {
                entry.told()?;
                this.add(&entry.recipe);
            }
        }
        Ok(this)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Recipe>> {
        self.0.iter().flat_map(|list| list.iter())
    }

    fn add(&mut self, recipe: &Arc<Recipe>) {
        if !self.iter().any(|known| Arc::ptr_eq(known, recipe)) {
            Arc::make_mut(self.0.get_or_insert_default()).push(recipe.clone());
        }
    }

    /// Adds those of others.
    pub(crate) fn join(&mut self, others: Self) {
        match &self.0 {
            None => *self = others,
            Some(_) => others.iter().for_each(|recipe| self.add(recipe)),
        }
    }

    /// Whether this is the same list, not only one of the same length.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                Arc::ptr_eq(one, other)
                    || (one.len() == other.len()
                        && one.iter().zip(other.iter()).all(|(one, other)| Arc::ptr_eq(one, other)))
            }
            _ => false,
        }
    }
}

impl FromIterator<Arc<Recipe>> for Mentions {
    fn from_iter<I: IntoIterator<Item = Arc<Recipe>>>(recipes: I) -> Self {
        let mut this = Self::default();
        recipes.into_iter().for_each(|recipe| this.add(&recipe));
        this
    }
}
