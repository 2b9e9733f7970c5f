//! A handle to an object that is made once in each process, or inherited.

use std::any::type_name;
use std::fmt;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

use offspring_platform::random;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use super::build::{self, Plan};
use super::recipe::{Entry, Key};
use super::registry::{self, Taken};
use crate::codec::mentions;
use crate::error::{Error, ErrorKind};
use crate::function::Name;

const MAKE: &str = "make a shared object";

/// A handle to an object that every process has once, made from the same specification.
///
/// Like a [`Global`](crate::Global), without a static. The handle travels in arguments, in the arguments of
/// initialisers and in specifications as a number of 8 bytes.
///
/// * On Inline and Fork it leads to the object itself, if that was made before the fork: nothing is encoded, so
///   `T` may hold locks, files, closures.
/// * Other children are sent the specification with the first task or argument that mentions it, once for each
///   worker, also those whose pool is older than the object. They make the object when they first
///   [`get`](Shared::get) it, and keep it for later tasks.
///
/// * The template of a pool by ForkServer makes what its initialiser is given, as it does with a
///   [`Global`](crate::Global). That of single processes does not: what it has made stays in its memory.
///
/// When the last handle in the process that made it is dropped, and no task that mentions it is under way, the
/// object is dropped. Workers are told with a later task, and drop what they made, once no handle in their state
/// is left, and no pool lives whose initialiser was given one: it would give it to the next worker. What a child
/// inherited is never dropped in the child.
///
/// To come back in a result, the object must be known to the receiver: one that was made in a child is not, and
/// that is an error.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, Shared};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let words = Shared::new("one two three".to_owned(), |text: String| {
///         text.split(' ').map(str::to_owned).collect::<Vec<_>>()
///     })?;
///     let pool = Context::Spawn.pool().workers(2).build()?;
///     let tasks = (0..3).map(|n| (words.clone(), n));
///     let found = pool.map(tasks, |(), (words, n): (Shared<Vec<String>>, usize)| {
///         words.get().map(|words| words[n].clone()).map_err(|error| error.to_string())
///     });
///     let found: Vec<String> = found.map(|word| Ok::<_, Box<dyn std::error::Error>>(word??)).collect::<Result<_, _>>()?;
///     assert_eq!(found, ["one", "two", "three"]);
///     Ok(())
/// }
/// ```
pub struct Shared<T> {
    entry: Arc<Entry>,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { entry: self.entry.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for Shared<T> {
    /// The number, the type, and the name if it has one; not the object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared<{}>(", type_name::<T>())?;
        if let Key::Shared(id) = self.entry.recipe.key {
            write!(f, "{id:016x}")?;
        }
        if !self.entry.recipe.label.is_empty() {
            write!(f, ", {:?}", self.entry.recipe.label)?;
        }
        f.write_str(")")
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// Makes the object from its specification, now and here. Children make it with the same function from the
    /// same specification, or inherit it.
    ///
    /// The function is a `fn` or a closure that captures nothing. On Spawn and ForkServer the specification is
    /// encoded when the first task is sent that mentions the object, once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when the system has no random numbers for its name.
    ///
    /// # Panics
    ///
    /// When the function does.
    pub fn new<A, F>(specification: A, build: F) -> Result<Self, Error>
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        F: Fn(A) -> T + Copy + 'static,
    {
        let made = build::plain(&specification, build)?;
        Self::install(String::new(), specification, made)
    }

    /// Like [`Shared::new`], with a function that can fail.
    ///
    /// # Errors
    ///
    /// As [`Shared::new`], and [`ErrorKind::Init`] with the text of the function's error.
    ///
    /// # Panics
    ///
    /// As [`Shared::new`].
    pub fn try_new<A, E, F>(specification: A, build: F) -> Result<Self, Error>
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Display + 'static,
        F: Fn(A) -> Result<T, E> + Copy + 'static,
    {
        let made = build::fallible(&specification, build, MAKE)?;
        Self::install(String::new(), specification, made)
    }

    /// Like [`Shared::new`], with a name that errors and `Debug` show.
    ///
    /// # Errors
    ///
    /// As [`Shared::new`], and [`ErrorKind::Invalid`] when an object of this name is alive in this process.
    ///
    /// # Panics
    ///
    /// As [`Shared::new`].
    pub fn named<A, F>(name: impl Into<String>, specification: A, build: F) -> Result<Self, Error>
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        F: Fn(A) -> T + Copy + 'static,
    {
        let name = name.into();
        if registry::has_label(&name) {
            return Err(called_already(&name));
        }
        let made = build::plain(&specification, build)?;
        Self::install(name, specification, made)
    }

    fn install<A>(label: String, specification: A, made: (Name, T)) -> Result<Self, Error>
    where
        A: Serialize + Send + Sync + 'static,
    {
        let (builder, value) = made;
        let nonce = random::nonce().map_err(|error| Error::system(MAKE, error))?;
        // Half of it: two of a million are the same once in many millions of programs.
        let [id, _] = [nonce as u64, (nonce >> 64) as u64];
        let entry = Entry::first(Key::Shared(id), Plan { builder, label }, specification, value);
        registry::add_new(&entry).map_err(|taken| match taken {
            // Another thread was faster.
            Taken::Label => called_already(&entry.recipe.label),
            Taken::Key => Error::new(ErrorKind::System, MAKE)
                .detail("the system gave the same random number twice")
                .advice("try again"),
        })?;
        Ok(Self { entry, value: PhantomData })
    }

    /// The object. In a child that does not have it yet, makes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Panicked`], [`ErrorKind::Init`], [`ErrorKind::DecodeArguments`]: it could not be made in
    /// this child. The next call tries again.
    pub fn get(&self) -> Result<&T, Error> {
        self.entry.value()
    }
}

fn called_already(name: &str) -> Error {
    Error::new(ErrorKind::Invalid, MAKE)
        .detail(format!("a shared object is called {name:?} already"))
        .advice("drop it first, or take another name")
}

impl<T> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Key::Shared(id) = self.entry.recipe.key else {
            return Err(S::Error::custom("the handle of a shared object has the key of a global"));
        };
        if !mentions::note(self.entry.clone()) {
            return Err(S::Error::custom(
                "the handle of a shared object travels only in what offspring sends to another process",
            ));
        }
        serializer.serialize_u64(id)
    }
}

impl<'de, T: Send + Sync + 'static> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = u64::deserialize(deserializer)?;
        let Some(entry) = registry::find(Key::Shared(id)) else {
            return Err(D::Error::custom(format!(
                "the shared object {id:016x} of type `{}` is not known in this process (pid {}): it was made in \
                 another, from which it cannot be sent here, or its last handle was dropped",
                type_name::<T>(),
                std::process::id()
            )));
        };
        if entry.recipe.type_name != type_name::<T>() {
            return Err(D::Error::custom(format!(
                "the shared object {id:016x} is of type `{}`, not `{}`",
                entry.recipe.type_name,
                type_name::<T>()
            )));
        }
        Ok(Self { entry, value: PhantomData })
    }
}
