//! Making an object: from its specification where it is first made, and again in other processes.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::sync::Arc;

use offspring_platform::fd;
use once_cell::sync::OnceCell;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::recipe::{Encode, Entry, Key, Recipe};
use super::registry;
use crate::codec;
use crate::error::{Error, ErrorKind, Phase};
use crate::function::{self, Failure, Made, Name};

const REBUILD: &str = "rebuild shared state from its specification";

thread_local! {
    /// What this thread is making. A builder that asks for its own object would wait for itself.
    static MAKING: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// What an object shall be made from, and by whom.
pub(super) struct Plan {
    pub(super) builder: Name,
    pub(super) label: String,
}

impl Entry {
    /// One whose object was just made.
    pub(super) fn first<A, T>(key: Key, plan: Plan, specification: A, value: T) -> Arc<Self>
    where
        A: Serialize + Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let Plan { builder, label } = plan;
        let recipe = Recipe::new(key, type_name::<T>().to_owned(), label, builder);
        let title = recipe.title();
        let encode: Encode = Box::new(move || {
            codec::encode(&specification).map_err(|error| {
                Error::new(ErrorKind::EncodeArguments, "send shared state to a child")
                    .detail(format!("the specification of {title} cannot be encoded: {error}"))
            })
        });
        let value: OnceCell<Box<dyn Any + Send + Sync>> = OnceCell::with_value(Box::new(value));
        Arc::new(Self { recipe: Arc::new(recipe), encode: Some(encode), value })
    }

    /// The object; made now, if this process does not have it yet.
    pub(super) fn value<T: Send + Sync + 'static>(&self) -> Result<&T, Error> {
        let value = match self.value.get() {
            Some(value) => value,
            None => self.make()?,
        };
        value.downcast_ref::<T>().ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "read shared state").detail(format!(
                "{} is not of type `{}`",
                self.recipe.title(),
                type_name::<T>()
            ))
        })
    }

    #[cold]
    fn make(&self) -> Result<&Box<dyn Any + Send + Sync>, Error> {
        struct Making;
        impl Drop for Making {
            fn drop(&mut self) {
                MAKING.with_borrow_mut(Vec::pop);
            }
        }
        let key = self.recipe.key;
        if MAKING.with_borrow(|making| making.contains(&key)) {
            return Err(Error::new(ErrorKind::Invalid, REBUILD)
                .detail(format!("the builder of {} asks for it", self.recipe.title())));
        }
        MAKING.with_borrow_mut(|making| making.push(key));
        let _making = Making;
        self.value.get_or_try_init(|| self.rebuild())
    }

    fn rebuild(&self) -> Result<Box<dyn Any + Send + Sync>, Error> {
        let fail = |failure: Box<Failure>| failure.of_builder(REBUILD, &self.recipe.title());
        let message = &self.told()?.message;
        let copies = message.descriptors.iter().map(|one| fd::duplicate(one.as_fd()));
        let copies =
            copies.collect::<Result<_, _>>().map_err(|error| Error::system(REBUILD, error))?;
        let mut state = None;
        let bytes = Cow::Borrowed(message.bytes.as_slice());
        function::call(self.recipe.builder, &mut state, bytes, copies).map_err(fail)?;
        match state.map(|state| state.downcast::<Made>()) {
            Some(Ok(made)) => Ok(made.0),
            _ => Err(fail(Box::new(Failure::Function("its builder made nothing".into())))),
        }
    }
}

/// In a template: makes all that this process was told of, so that its children inherit it. `is_alone` says
/// whether the process can still be forked. `Err` is the text of what went wrong.
pub(crate) fn all(is_alone: impl Fn() -> bool) -> Result<(), String> {
    for entry in registry::kept() {
        if entry.value.get().is_none() {
            entry.make().map_err(|error| error.to_string())?;
            if !is_alone() {
                return Err(format!(
                    "the builder of {} left a thread running, so the template cannot be forked; end the thread \
                     in the builder, or use spawn",
                    entry.recipe.title()
                ));
            }
        }
    }
    Ok(())
}

/// Names a builder, and makes the object here. A panic of the builder is the caller's.
pub(super) fn plain<A, T, F>(specification: &A, builder: F) -> Result<(Name, T), Error>
where
    A: Serialize + DeserializeOwned + Clone + 'static,
    T: Send + Sync + 'static,
    F: Fn(A) -> T + Copy + 'static,
{
    let name = function::builder::<F, A, T>(builder)?;
    Ok((name, builder(specification.clone())))
}

/// The same, for one that can fail.
pub(super) fn fallible<A, T, E, F>(
    specification: &A,
    builder: F,
    doing: &'static str,
) -> Result<(Name, T), Error>
where
    A: Serialize + DeserializeOwned + Clone + 'static,
    T: Send + Sync + 'static,
    E: Display + 'static,
    F: Fn(A) -> Result<T, E> + Copy + 'static,
{
    let name = function::fallible_builder::<F, A, T, E>(builder)?;
    let value = builder(specification.clone()).map_err(|error| {
        Error::new(ErrorKind::Init, doing)
            .at(Phase::Started)
            .detail(format!("the builder of a `{}` failed: {error}", type_name::<T>()))
    })?;
    Ok((name, value))
}
