//! One object that several processes make from the same specification: what is known of it here.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::sync::OnceCell;
use serde::{Deserialize, Serialize};

use super::registry;
use crate::codec::{Encoded, descriptors};
use crate::error::{Error, ErrorKind};
use crate::function::Name;

/// Which object it is, in all processes of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Key {
    /// The place of a static in the program.
    Global(i64),
    /// A random number.
    Shared(u64),
}

/// What another process needs to make the object. Holds nothing of the user's but bytes, so it can be dropped
/// anywhere.
pub(crate) struct Recipe {
    pub(crate) key: Key,
    /// How many were known to this process before it.
    pub(crate) serial: u64,
    pub(crate) type_name: String,
    /// Given by the user, or the place in the source.
    pub(crate) label: String,
    pub(crate) builder: Name,
    /// Made when it is needed first.
    told: OnceCell<Told>,
}

/// The encoded specification, and what has to be known before it can be decoded.
pub(crate) struct Told {
    pub(crate) message: Arc<Encoded>,
    pub(crate) needs: Vec<Arc<Recipe>>,
}

/// How many recipes are not needed by anybody any more.
static RETIRED: AtomicU64 = AtomicU64::new(0);

/// Changes whenever receivers may have something to forget.
pub(crate) fn retired() -> u64 {
    RETIRED.load(Ordering::Relaxed)
}

impl Recipe {
    pub(super) fn new(key: Key, type_name: String, label: String, builder: Name) -> Self {
        let serial = registry::next_serial();
        Self { key, serial, type_name, label, builder, told: OnceCell::new() }
    }

    /// Of one that came from another process.
    pub(super) fn with_told(self, told: Told) -> Self {
        // It is new, so it had none.
        let _ = self.told.set(told);
        self
    }

    /// The encoded specification, if it was encoded already.
    pub(crate) fn told(&self) -> Option<&Told> {
        self.told.get()
    }

    /// What errors call it.
    pub(crate) fn title(&self) -> String {
        match self.key {
            Key::Global(_) => format!("the global `{}` ({})", self.type_name, self.label),
            Key::Shared(id) if self.label.is_empty() => {
                format!("the shared object {id:016x} of type `{}`", self.type_name)
            }
            Key::Shared(_) => {
                format!("the shared object `{}` of type `{}`", self.label, self.type_name)
            }
        }
    }
}

impl Drop for Recipe {
    fn drop(&mut self) {
        RETIRED.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipe").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Encodes a specification that is still as the user gave it.
pub(super) type Encode = Box<dyn Fn() -> Result<Encoded, Error> + Send + Sync>;

/// An object as this process has it.
pub(crate) struct Entry {
    pub(crate) recipe: Arc<Recipe>,
    /// In the process where it was made first.
    pub(super) encode: Option<Encode>,
    pub(super) value: OnceCell<Box<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.recipe.key).finish_non_exhaustive()
    }
}

impl Entry {
    /// The encoded specification. Runs the user's `Serialize` the first time.
    pub(crate) fn told(&self) -> Result<&Told, Error> {
        self.recipe.told.get_or_try_init(|| {
            let encode = self.encode.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "encode the specification of shared state")
                    .detail(format!("{} has none", self.recipe.title()))
            })?;
            let mut message = descriptors::staying(encode)?;
            let mut mentioned = std::mem::take(&mut message.mentions);
            let needs = super::entries(&mut mentioned).map(|entry| {
                entry.told()?;
                Ok(entry.recipe.clone())
            });
            let needs = needs.collect::<Result<_, Error>>()?;
            Ok(Told { message: Arc::new(message), needs })
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        registry::remove(self.recipe.key);
    }
}
