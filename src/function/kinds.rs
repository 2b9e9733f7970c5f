//! The kinds of functions that users hand over, each as a body that a child can run by name.

use std::any::{Any, type_name};
use std::fmt::Display;
use std::marker::PhantomData;

use offspring_platform::function::{self, Body};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Call, Calls, Failure, Name, name_of, perform};
use crate::error::Error;

/// `Fn(A) -> R`: a process.
struct Plain<F, A, R>(PhantomData<fn(F, A) -> R>);

impl<F, A, R> Body<Calls> for Plain<F, A, R>
where
    F: Fn(A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        call.outcome = Some(perform(|| {
            reached!(Arguments);
            let argument = call.argument::<A>()?;
            reached!(Task);
            let result = function(argument);
            reached!(Result);
            call.result(result)
        }));
    }
}

/// Makes what the worker, or its process, has from now on, from an argument.
fn make<A: DeserializeOwned + 'static>(
    call: &mut Call<'_>,
    make: impl FnOnce(A) -> Result<Box<dyn Any>, Box<Failure>>,
) {
    call.outcome = Some(perform(|| {
        let argument = call.argument::<A>()?;
        *call.state = Some(make(argument)?);
        Ok(())
    }));
}

/// What the user's function says in place of what it should make.
pub(super) fn told(error: impl Display) -> Box<Failure> {
    Box::new(Failure::Init(error.to_string()))
}

/// What a [`Built`] made.
pub(crate) struct Made(pub(crate) Box<dyn Any + Send + Sync>);

/// `Fn(A) -> T`: makes shared state from its specification.
struct Built<F, A, T>(PhantomData<fn(F, A) -> T>);

impl<F, A, T> Body<Calls> for Built<F, A, T>
where
    F: Fn(A) -> T + Copy + 'static,
    A: DeserializeOwned + 'static,
    T: Send + Sync + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        make(call, |specification: A| Ok(Box::new(Made(Box::new(function(specification))))));
    }
}

/// `Fn(A) -> Result<T, E>`: the same, and can fail.
struct FallibleBuilt<F, A, T, E>(PhantomData<fn(F, A, T, E)>);

impl<F, A, T, E> Body<Calls> for FallibleBuilt<F, A, T, E>
where
    F: Fn(A) -> Result<T, E> + Copy + 'static,
    A: DeserializeOwned + 'static,
    T: Send + Sync + 'static,
    E: Display + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        make(call, |specification: A| {
            Ok(Box::new(Made(Box::new(function(specification).map_err(told)?))))
        });
    }
}

/// `Fn(A) -> S`: the initialiser of a worker.
struct Initial<F, A, S>(PhantomData<fn(F, A) -> S>);

impl<F, A, S> Body<Calls> for Initial<F, A, S>
where
    F: Fn(A) -> S + Copy + 'static,
    A: DeserializeOwned + 'static,
    S: 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        make(call, |argument: A| Ok(Box::new(function(argument))));
    }
}

/// `Fn(A) -> Result<S, E>`: the initialiser of a worker that can fail.
struct Fallible<F, A, S, E>(PhantomData<fn(F, A, S, E)>);

impl<F, A, S, E> Body<Calls> for Fallible<F, A, S, E>
where
    F: Fn(A) -> Result<S, E> + Copy + 'static,
    A: DeserializeOwned + 'static,
    S: 'static,
    E: Display + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        make(call, |argument: A| Ok(Box::new(function(argument).map_err(told)?)));
    }
}

/// `Fn(S) -> X`: what a worker does at its end.
struct Final<F, S, X>(PhantomData<fn(F, S) -> X>);

impl<F, S, X> Body<Calls> for Final<F, S, X>
where
    F: Fn(S) -> X + Copy + 'static,
    S: 'static,
    X: Serialize + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        call.outcome = Some(perform(|| {
            let state = call.state.take().and_then(|state| state.downcast::<S>().ok());
            let state = state.ok_or_else(|| {
                Failure::Function(format!("the worker has no state of type `{}`", type_name::<S>()))
            })?;
            let value = function(*state);
            call.result(value)
        }));
    }
}

/// `Fn() -> D`: what brings data back after a task.
struct Collector<F, D>(PhantomData<fn(F) -> D>);

impl<F, D> Body<Calls> for Collector<F, D>
where
    F: Fn() -> D + Copy + 'static,
    D: Serialize + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        call.outcome = Some(perform(|| {
            let data = function();
            call.result(data)
        }));
    }
}

/// `Fn(&mut S, A) -> R`: a task of a pool.
struct Stateful<F, S, A, R>(PhantomData<fn(F, S, A) -> R>);

impl<F, S, A, R> Body<Calls> for Stateful<F, S, A, R>
where
    F: Fn(&mut S, A) -> R + Copy + 'static,
    S: 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    type Function = F;

    fn run(function: F, call: &mut Call<'_>) {
        call.outcome = Some(perform(|| {
            reached!(Arguments);
            let argument = call.argument::<A>()?;
            reached!(Task);
            let state = call.state.as_mut().and_then(|state| state.downcast_mut::<S>());
            let Some(state) = state else {
                let text = format!("the worker has no state of type `{}`", type_name::<S>());
                return Err(Box::new(Failure::Function(text)));
            };
            let result = function(state, argument);
            reached!(Result);
            call.result(result)
        }));
    }
}

/// Names a process's function to a child. A closure that captures does not compile.
pub(crate) fn plain<F, A, R>(function: F) -> Result<(Name, &'static str), Error>
where
    F: Fn(A) -> R + Copy + 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    let descriptor = function::describe::<Calls, Plain<F, A, R>>(function);
    Ok((name_of(descriptor)?, descriptor.name()))
}

/// Names a builder of shared state to a child.
pub(crate) fn builder<F, A, T>(function: F) -> Result<Name, Error>
where
    F: Fn(A) -> T + Copy + 'static,
    A: DeserializeOwned + 'static,
    T: Send + Sync + 'static,
{
    name_of(function::describe::<Calls, Built<F, A, T>>(function))
}

/// Names a builder of shared state that can fail to a child.
pub(crate) fn fallible_builder<F, A, T, E>(function: F) -> Result<Name, Error>
where
    F: Fn(A) -> Result<T, E> + Copy + 'static,
    A: DeserializeOwned + 'static,
    T: Send + Sync + 'static,
    E: Display + 'static,
{
    name_of(function::describe::<Calls, FallibleBuilt<F, A, T, E>>(function))
}

/// Names an initialiser to a child.
pub(crate) fn initial<F, A, S>(function: F) -> Result<Name, Error>
where
    F: Fn(A) -> S + Copy + 'static,
    A: DeserializeOwned + 'static,
    S: 'static,
{
    name_of(function::describe::<Calls, Initial<F, A, S>>(function))
}

/// Names an initialiser that can fail to a child.
pub(crate) fn fallible<F, A, S, E>(function: F) -> Result<Name, Error>
where
    F: Fn(A) -> Result<S, E> + Copy + 'static,
    A: DeserializeOwned + 'static,
    S: 'static,
    E: Display + 'static,
{
    name_of(function::describe::<Calls, Fallible<F, A, S, E>>(function))
}

/// Names what a worker does at its end to a child.
pub(crate) fn finale<F, S, X>(function: F) -> Result<Name, Error>
where
    F: Fn(S) -> X + Copy + 'static,
    S: 'static,
    X: Serialize + 'static,
{
    name_of(function::describe::<Calls, Final<F, S, X>>(function))
}

/// Names what brings data back to a child.
pub(crate) fn collector<F, D>(function: F) -> Result<Name, Error>
where
    F: Fn() -> D + Copy + 'static,
    D: Serialize + 'static,
{
    name_of(function::describe::<Calls, Collector<F, D>>(function))
}

/// Names a task's function to a child.
pub(crate) fn stateful<F, S, A, R>(function: F) -> Result<(Name, &'static str), Error>
where
    F: Fn(&mut S, A) -> R + Copy + 'static,
    S: 'static,
    A: DeserializeOwned + 'static,
    R: Serialize + 'static,
{
    let descriptor = function::describe::<Calls, Stateful<F, S, A, R>>(function);
    Ok((name_of(descriptor)?, descriptor.name()))
}
