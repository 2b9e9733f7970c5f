//! What a child is told that is no task: frames of kind [`Kind::Notice`], which come before what needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use once_cell::sync::OnceCell;
use serde::{Deserialize, Serialize};

use super::mention::{Mentions, entries};
use super::recipe::{Entry, Key, Recipe, Told, retired};
use super::registry;
use crate::codec::descriptors::Carried;
use crate::codec::mentions::Mentioned;
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};
use crate::function::Name;
use crate::function::panic;
use crate::link::{Frame, Kind, Link};

/// What a notice says. What belongs to it, like an encoded specification, follows it in the frame.
#[derive(Debug, Serialize, Deserialize)]
enum Notice {
    /// This is how an object is made.
    Install { key: Key, type_name: String, label: String, builder: Name, needs: Vec<Key> },
    /// Nobody will mention this object again.
    Forget(Key),
}

/// What is before the notice itself: its length.
const LENGTH: usize = size_of::<u32>();

/// Puts a notice behind what waits to be sent.
fn queue(link: &mut Link, notice: &Notice, rest: &Arc<Encoded>) -> Result<(), Error> {
    let doing = "tell a child about shared state";
    let head = codec::encode(notice)
        .map_err(|error| Error::new(ErrorKind::Protocol, doing).caused_by(error))?;
    let length = u32::try_from(head.bytes.len())
        .map_err(|error| Error::new(ErrorKind::Invalid, doing).caused_by(error))?;
    let prefix = [&length.to_ne_bytes(), head.bytes.as_slice()].concat();
    link.queue_shared(Kind::Notice, 0, &prefix, rest);
    Ok(())
}

/// What a child was told, as its owner remembers it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    recipes: BTreeMap<Key, Weak<Recipe>>,
    /// What it has inherited: those of the list that it was not sent, and these, of which it was never told.
    assumed: BTreeSet<Key>,
    inherited: Vec<Weak<Recipe>>,
    /// [`retired`] when it was looked for what can be forgotten.
    retired: u64,
}

impl Known {
    /// Tells the child what it does not know of these, and what it may forget. Returns how many notices
    /// those are.
    pub(crate) fn tell(&mut self, link: &mut Link, mentions: &Mentions) -> Result<u64, Error> {
        let mut count = 0;
        for recipe in mentions.iter() {
            count += self.install(link, recipe)?;
        }
        if !self.recipes.is_empty() && self.retired != retired() {
            count += self.forget(link)?;
        }
        Ok(count)
    }

    /// Takes down that the child has inherited it, and what it needs.
    pub(crate) fn assume(&mut self, recipe: &Arc<Recipe>) {
        if self.recipes.insert(recipe.key, Arc::downgrade(recipe)).is_none() {
            self.assumed.insert(recipe.key);
            let Some(told) = recipe.told() else { return };
            told.needs.iter().for_each(|needed| self.assume(needed));
        }
    }

    /// Takes down for reports that the child has inherited these by fork, where nobody needs to be told.
    pub(crate) fn inherit(&mut self, recipes: &[Weak<Recipe>]) {
        self.inherited.extend_from_slice(recipes);
    }

    /// What the child has, how much was encoded for that, and whether it inherited it.
    pub(crate) fn items(&self) -> impl Iterator<Item = (Arc<Recipe>, usize, bool)> + '_ {
        let inherited =
            self.inherited.iter().filter_map(|recipe| Some((recipe.upgrade()?, 0, true)));
        let told = self.recipes.iter().filter_map(|(key, recipe)| {
            let recipe = recipe.upgrade()?;
            let bytes = recipe.told().map_or(0, |told| told.message.bytes.len());
            Some((recipe, bytes, self.assumed.contains(key)))
        });
        inherited.chain(told)
    }

    fn install(&mut self, link: &mut Link, recipe: &Arc<Recipe>) -> Result<u64, Error> {
        if self.recipes.get(&recipe.key).is_some_and(|known| known.strong_count() > 0) {
            return Ok(0);
        }
        // Encoded by whoever mentioned it.
        let Some(told) = recipe.told() else { return Ok(0) };
        let mut count = 1;
        for needed in &told.needs {
            count += self.install(link, needed)?;
        }
        let install = Notice::Install {
            key: recipe.key,
            type_name: recipe.type_name.clone(),
            label: recipe.label.clone(),
            builder: recipe.builder,
            needs: told.needs.iter().map(|needed| needed.key).collect(),
        };
        queue(link, &install, &told.message)?;
        self.recipes.insert(recipe.key, Arc::downgrade(recipe));
        Ok(count)
    }

    #[cold]
    fn forget(&mut self, link: &mut Link) -> Result<u64, Error> {
        self.retired = retired();
        let gone = self.recipes.iter().filter(|(_, recipe)| recipe.strong_count() == 0);
        let gone: Vec<Key> = gone.map(|(key, _)| *key).collect();
        for key in &gone {
            queue(link, &Notice::Forget(*key), &Arc::new(Encoded::default()))?;
            self.recipes.remove(key);
            self.assumed.remove(key);
        }
        Ok(gone.len() as u64)
    }
}

/// What every child that is started now has to know. Runs the user's `Serialize`.
pub(crate) fn globals() -> Result<Mentions, Error> {
    Mentions::prepare(registry::globals(None), None)
}

/// What a child that is started now has to know, besides what it inherits: all globals, and what its arguments
/// mention. Runs the user's `Serialize`.
pub(crate) fn for_child(mentioned: &mut Vec<Mentioned>) -> Result<Mentions, Error> {
    Mentions::prepare(registry::globals(None).into_iter().chain(entries(mentioned)), None)
}

/// Takes note of what the owner says. `None` if it makes no sense.
pub(crate) fn receive(frame: Frame) -> Option<()> {
    let (length, rest) = frame.bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let head = rest.get(..length)?;
    match codec::decode_own::<Notice>(head).ok()? {
        Notice::Install { key, type_name, label, builder, needs } => {
            let needs = needs.into_iter().filter_map(registry::find);
            let needs = needs.map(|entry| entry.recipe.clone()).collect();
            let bytes = rest[length..].to_vec();
            let descriptors = frame.descriptors.into_iter().map(|fd| Arc::new(fd) as Carried);
            let descriptors = descriptors.collect();
            let message = Arc::new(Encoded { bytes, descriptors, ..Encoded::default() });
            let recipe = Recipe::new(key, type_name, label, builder);
            let recipe = Arc::new(recipe.with_told(Told { message, needs }));
            // One that is known already, through a handle that is still held here, stays.
            registry::keep(Arc::new(Entry { recipe, encode: None, value: OnceCell::new() }));
        }
        Notice::Forget(key) => {
            let entry = registry::release(key);
            // The user's destructor. Its panic was printed; the worker is as good as before.
            let _ = panic::caught(|| catch_unwind(AssertUnwindSafe(|| drop(entry))));
        }
    }
    Some(())
}

/// A notice as a child gets it.
#[cfg(fuzzing)]
pub(crate) fn sample() -> Vec<u8> {
    let notice = Notice::Install {
        key: Key::Shared(7),
        type_name: "u8".into(),
        label: "label".into(),
        builder: Name::from_bytes([1; 8]),
        needs: vec![Key::Global(8)],
    };
    let head = codec::encode(&notice).expect("a notice can be encoded").bytes;
    let length = u32::try_from(head.len()).expect("a notice is short");
    [&length.to_ne_bytes(), head.as_slice(), b"specification"].concat()
}
