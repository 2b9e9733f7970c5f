//! Which shared objects the receiver of a value has to know, because the value mentions them.

use std::sync::Arc;

use super::recipe::{Entry, Recipe};
use crate::codec::mentions::Mentioned;
use crate::error::Error;

/// Takes away the objects among what a value mentions: all of it, since nothing else is ever noted.
pub(crate) fn entries(mentioned: &mut Vec<Mentioned>) -> impl Iterator<Item = Arc<Entry>> + '_ {
    mentioned.drain(..).filter_map(|object| object.downcast().ok())
}

/// What the receiver of some tasks has to know, as it can be sent. Mostly nothing, which takes no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mentions(Option<Arc<Vec<Arc<Recipe>>>>);

impl Mentions {
    /// What is needed for what a value mentions; see [`Mentions::prepare`].
    pub(crate) fn of(
        mentioned: &mut Vec<Mentioned>,
        inherited: Option<u64>,
    ) -> Result<Self, Error> {
        Self::prepare(entries(mentioned), inherited)
    }

    /// Encodes what is needed for these, but for what a fork at the time `inherited` has inherited. Runs the
    /// user's `Serialize`, so no lock may be held.
    pub(crate) fn prepare(
        entries: impl IntoIterator<Item = Arc<Entry>>,
        inherited: Option<u64>,
    ) -> Result<Self, Error> {
        let mut this = Self::default();
        for entry in entries {
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
