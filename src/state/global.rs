//! A static that is set once, and found set in every child.

use std::any::type_name;
use std::fmt;
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use offspring_platform::function;
use once_cell::sync::OnceCell;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build::{self, Plan};
use super::recipe::{Entry, Key};
use super::registry;
use crate::error::{Error, ErrorKind};
use crate::function::Name;

const SET: &str = "set a global";
const GET: &str = "read a global";

/// A static that is set once, from a specification, and that children find set.
///
/// * On Inline and Fork, [`get`](Global::get) finds the object itself: nothing is sent, nothing is encoded, so
///   `T` may hold locks, files, closures.
/// * A child by Spawn is sent the specification, encoded once, when it is started. It makes the object from it
///   when it first asks for it, and keeps it.
/// * Processes by ForkServer inherit the object from a template that makes it once, when the first of them is
///   started after it was set, which has to wait for that. It is made in the environment and directory that
///   this process had then. A process that was given others makes its own, as on Spawn; and so does each if the
///   function fails in the template, leaves a thread running there, or takes longer than `start_timeout`. What
///   it inherits it has in common with other processes, such as the place in an open file.
/// * A pool by ForkServer has a template of its own, from which all its workers are forked. It makes the object
///   once, in the environment and directory of the workers, before the first of them, and they inherit it. So
///   the function must leave no thread running there; that, and any other failure of it, is an error of the
///   pool, which all tasks get, and costs nobody else anything.
///
/// `T` needs no serde on any context; the specification does. What a child changes through inner mutability is
/// its own affair: the parent and other children do not see it, nor does a child see what the parent changes.
///
/// A worker knows the globals that were set when its pool was built, also if it replaces another later; and a
/// process those that were set when it was started. To read one that was not set is an error, never a value
/// of an earlier time: a global is set once.
///
/// Costs nothing where it is not used, and some hundred bytes for each child where it is.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::{Context, Global};
///
/// struct Model { factor: u64 }
///
/// impl Model {
///     fn load(factor: u64) -> Self {
///         Self { factor }
///     }
/// }
///
/// static MODEL: Global<Model> = Global::new();
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     MODEL.set(3, Model::load)?;
///     let child = Context::Spawn.process().start(14, |n: u64| match MODEL.get() {
///         Ok(model) => Ok(model.factor * n),
///         Err(error) => Err(error.to_string()),
///     })?;
///     assert_eq!(child.join()?, Ok(42));
///     Ok(())
/// }
/// ```
pub struct Global<T> {
    entry: OnceCell<Arc<Entry>>,
    /// Where it is written down: its name, for people.
    place: &'static Location<'static>,
    value: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Global<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Global<{}>({})", type_name::<T>(), self.place)
    }
}

impl<T> Global<T> {
    /// One that is not set.
    #[track_caller]
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is of use in a static only")]
    pub const fn new() -> Self {
        Self { entry: OnceCell::new(), place: Location::caller(), value: PhantomData }
    }

    fn error(&self, kind: ErrorKind, doing: &'static str, what: &str) -> Error {
        Error::new(kind, doing).detail(format!(
            "the global `{}` ({}) {what}",
            type_name::<T>(),
            self.place
        ))
    }
}

impl<T: Send + Sync + 'static> Global<T> {
    /// Makes the object from its specification, now and here. Children make it with the same function from the
    /// same specification, or inherit it.
    ///
    /// The function is a `fn` or a closure that captures nothing. On Spawn and ForkServer the specification is
    /// encoded when the first child is started that is to know it, once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when it is set already, or is no static of the program itself.
    ///
    /// # Panics
    ///
    /// When the function does; then nothing is set.
    pub fn set<A, F>(&'static self, specification: A, build: F) -> Result<(), Error>
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        F: Fn(A) -> T + Copy + 'static,
    {
        self.check_unset()?;
        let made = build::plain(&specification, build)?;
        self.install(specification, made)
    }

    /// Like [`Global::set`], with a function that can fail.
    ///
    /// # Errors
    ///
    /// As [`Global::set`], and [`ErrorKind::Init`] with the text of the function's error.
    ///
    /// # Panics
    ///
    /// As [`Global::set`].
    pub fn try_set<A, E, F>(&'static self, specification: A, build: F) -> Result<(), Error>
    where
        A: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
        E: Display + 'static,
        F: Fn(A) -> Result<T, E> + Copy + 'static,
    {
        self.check_unset()?;
        let made = build::fallible(&specification, build, SET)?;
        self.install(specification, made)
    }

    /// The object. In a child that does not have it yet, makes it.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Unset`]: it was never set, or not yet when this process, or the pool of this worker, was
    ///   started.
    /// * [`ErrorKind::Panicked`], [`ErrorKind::Init`], [`ErrorKind::DecodeArguments`]: it could not be made in
    ///   this child. The next call tries again.
    pub fn get(&'static self) -> Result<&'static T, Error> {
        let entry = match self.entry.get() {
            Some(entry) => entry,
            None => self.find()?,
        };
        entry.value()
    }

    /// Finds what this process was told about it.
    #[cold]
    fn find(&'static self) -> Result<&'static Arc<Entry>, Error> {
        let found = registry::find(self.key(GET)?).ok_or_else(|| {
            self.error(
                ErrorKind::Unset,
                GET,
                "was not set when this process or its pool was started",
            )
            .advice("set it before the process is started, or the pool is built")
        })?;
        Ok(self.entry.get_or_init(|| found))
    }

    fn key(&'static self, doing: &'static str) -> Result<Key, Error> {
        let distance = function::place_of(self).map_err(|_| {
            self.error(ErrorKind::Invalid, doing, "is no static of the program itself")
                .advice("declare it as a `static`, in the program and not in a shared library")
        })?;
        Ok(Key::Global(distance))
    }

    fn check_unset(&'static self) -> Result<(), Error> {
        let known = self.entry.get().is_some() || registry::find(self.key(SET)?).is_some();
        if known { Err(self.is_set()) } else { Ok(()) }
    }

    fn is_set(&self) -> Error {
        self.error(ErrorKind::Invalid, SET, "is set already")
            .advice("it is set once, so that nobody has an older value")
    }

    fn install<A>(&'static self, specification: A, made: (Name, T)) -> Result<(), Error>
    where
        A: Serialize + Send + Sync + 'static,
    {
        let (builder, value) = made;
        let plan = Plan { builder, label: self.place.to_string() };
        let entry = Entry::first(self.key(SET)?, plan, specification, value);
        // Another thread, or the builder itself, may have been faster.
        if registry::keep(entry) { self.find().map(|_| ()) } else { Err(self.is_set()) }
    }
}
