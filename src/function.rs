//! What a child runs: the user's function, between decoding its argument and encoding its result.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use offspring_platform::function::{self, Body, Descriptor, NotFound, Shape};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Exit;
use crate::capture::Flaw;
use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind, Panic, Phase};
use crate::supervisor::protocol::How;

/// The only shape of call: bytes in, bytes out, and the state of the worker beside them.
pub(crate) struct Call<'a> {
    /// The state of the worker, made by its initialiser.
    pub(crate) state: &'a mut Option<Box<dyn Any>>,
    pub(crate) input: Cow<'a, [u8]>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where the result goes.
    pub(crate) output: &'a mut Encoded,
    /// `None` until the function has run.
    pub(crate) outcome: Option<Result<(), Failure>>,
}

impl Call<'_> {
    fn argument<A: DeserializeOwned + 'static>(&mut self) -> Result<A, Failure> {
        let input = std::mem::take(&mut self.input);
        codec::decode(input, std::mem::take(&mut self.descriptors))
            .map_err(|error| Failure::Arguments(error.to_string()))
    }

    /// Encodes the result and drops it, here, so that a panic in its destructor is caught as well.
    fn result<R: Serialize + 'static>(&mut self, result: R) -> Result<(), Failure> {
        encode_result(result, self.output)
    }
}

fn encode_result<R: Serialize + 'static>(
    mut result: R,
    output: &mut Encoded,
) -> Result<(), Failure> {
    if let Some(bytes) = codec::take_bytes(&mut result) {
        output.bytes = bytes;
        return Ok(());
    }
    let encoded = codec::encode_into(&result, output);
    // Whoever receives it knows what it mentions, or cannot be told.
    output.mentions.clear();
    encoded.map_err(|error| Failure::Result(error.to_string()))
}

/// See [`Call`].
pub(crate) struct Calls;

impl Shape for Calls {
    type Call<'a> = Call<'a>;
}

/// How a call failed inside the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Failure {
    Panicked(Panic),
    Arguments(String),
    Result(String),
    Function(String),
    /// What the initialiser of a worker returned as its error.
    Init(String),
    /// What is to run after a fork failed like this.
    Hook(String),
    /// The process that ran it ended without an answer.
    Died(How),
    /// What was captured for it could not be set or undone.
    Captured(Box<Flaw>),
}

impl Failure {
    /// As the user sees it.
    pub(crate) fn into_error(self, doing: &'static str) -> Error {
        match self {
            Self::Panicked(panic) => {
                Error::new(ErrorKind::Panicked, doing).at(Phase::Started).panicked(panic)
            }
            Self::Arguments(text) => Error::new(ErrorKind::DecodeArguments, doing).detail(text),
            Self::Result(text) => {
                Error::new(ErrorKind::EncodeResult, doing).at(Phase::Started).detail(text)
            }
            Self::Function(text) => Error::new(ErrorKind::Protocol, doing).detail(text),
            Self::Init(text) => Error::new(ErrorKind::Init, doing).detail(text),
            Self::Captured(flaw) => flaw.into_error(doing),
            Self::Hook(text) => Error::new(ErrorKind::Start, doing).detail(text),
            Self::Died(how) => {
                let error = Error::new(ErrorKind::Died, doing).at(Phase::Started);
                match how.into() {
                    Exit::Code(0) => {
                        error.advice("a task must return, not exit").ended(Exit::Code(0))
                    }
                    exit => error.ended(exit),
                }
            }
        }
    }

    /// As the user sees it when the call was that of the builder of what is called so.
    pub(crate) fn of_builder(self, doing: &'static str, title: &str) -> Error {
        let error = Error::new(ErrorKind::Protocol, doing);
        match self {
            Self::Panicked(panic) => Error::new(ErrorKind::Panicked, doing)
                .at(Phase::Started)
                .named(title)
                .panicked(panic),
            Self::Init(text) => Error::new(ErrorKind::Init, doing)
                .at(Phase::Started)
                .detail(format!("the builder of {title} failed: {text}")),
            Self::Arguments(text) => Error::new(ErrorKind::DecodeArguments, doing)
                .detail(format!("the specification of {title}: {text}")),
            Self::Function(text) => error.detail(format!("the builder of {title}: {text}")),
            other => other.into_error(doing).named(title),
        }
    }

    /// As the user sees it when the call was that of a pool's initialiser: what the error befalls are
    /// tasks that never began.
    pub(crate) fn of_initialiser(self) -> Error {
        const DOING: &str = "initialise a worker";
        match self {
            Self::Panicked(panic) => Error::new(ErrorKind::Init, DOING).panicked(panic),
            other => other.into_error(DOING),
        }
    }
}

/// A function as it is named to a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name(i64);

impl Name {
    /// What a forked child inherited, in the place of a function: see [`Inherited`]. No place in a
    /// program is so far from another.
    pub(crate) const INHERITED: Self = Self(i64::MIN);

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.to_ne_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(i64::from_ne_bytes(bytes))
    }
}

fn name_of(descriptor: &'static Descriptor) -> Result<Name, Error> {
    let distance = descriptor.distance().map_err(|error| {
        Error::new(ErrorKind::Invalid, "name the function to a child")
            .named(descriptor.name())
            .caused_by(error)
            .detail("the function is not part of the program itself")
            .advice("call it from a function of the program")
    })?;
    Ok(Name(distance))
}

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
            let argument = call.argument::<A>()?;
            call.result(function(argument))
        }));
    }
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
        call.outcome = Some(perform(|| {
            let specification = call.argument::<A>()?;
            *call.state = Some(Box::new(Made(Box::new(function(specification)))));
            Ok(())
        }));
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
        call.outcome = Some(perform(|| {
            let specification = call.argument::<A>()?;
            let made = function(specification).map_err(|error| Failure::Init(error.to_string()))?;
            *call.state = Some(Box::new(Made(Box::new(made))));
            Ok(())
        }));
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
        call.outcome = Some(perform(|| {
            let argument = call.argument::<A>()?;
            *call.state = Some(Box::new(function(argument)));
            Ok(())
        }));
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
        call.outcome = Some(perform(|| {
            let argument = call.argument::<A>()?;
            let state = function(argument).map_err(|error| Failure::Init(error.to_string()))?;
            *call.state = Some(Box::new(state));
            Ok(())
        }));
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
            let argument = call.argument::<A>()?;
            let state = call.state.as_mut().and_then(|state| state.downcast_mut::<S>());
            let Some(state) = state else {
                let text = format!("the worker has no state of type `{}`", type_name::<S>());
                return Err(Failure::Function(text));
            };
            let result = function(state, argument);
            call.result(result)
        }));
    }
}

/// Runs user code, and turns a panic into a [`Failure`].
fn perform(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    // The state of a worker may be half changed by a panic; that the next task sees it is documented.
    crate::child::panic::caught(|| catch_unwind(AssertUnwindSafe(run)))
        .unwrap_or_else(|panic| Err(Failure::Panicked(panic)))
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

/// What a forked child runs without a name for it, because it is a copy of the process that has it: a
/// closure with its captures. It is handed down the stack, from the fork to where tasks are run, and
/// never returned from, so it may borrow.
pub(crate) type Inherited<'a> = &'a (dyn Fn(&[u8], &mut Encoded) -> Result<(), Failure> + 'a);

/// Runs a closure that was inherited. Its result is appended to `output`.
pub(crate) fn run_inherited<R: Serialize + 'static>(
    run: impl FnOnce() -> R,
    output: &mut Encoded,
) -> Result<(), Failure> {
    perform(|| encode_result(run(), output))
}

/// Finds functions by their names; remembers the last, which is mostly the next.
#[derive(Default)]
pub(crate) struct Finder<'a> {
    last: Option<(Name, &'static Descriptor)>,
    inherited: Option<Inherited<'a>>,
}

impl<'a> Finder<'a> {
    /// One that also finds what this process inherited.
    pub(crate) fn with(inherited: Option<Inherited<'a>>) -> Self {
        Self { last: None, inherited }
    }

    fn find(&mut self, name: Name) -> Result<&'static Descriptor, NotFound> {
        match self.last {
            Some((last, found)) if last == name => Ok(found),
            _ => {
                let found = function::find(name.0)?;
                self.last = Some((name, found));
                Ok(found)
            }
        }
    }

    /// Runs a named function. Its result is appended to `output`.
    pub(crate) fn call(
        &mut self,
        name: Name,
        state: &mut Option<Box<dyn Any>>,
        input: Cow<'_, [u8]>,
        descriptors: Vec<OwnedFd>,
        output: &mut Encoded,
    ) -> Result<(), Failure> {
        if name == Name::INHERITED {
            let nothing = || Failure::Function("this process inherited no function".into());
            return self.inherited.ok_or_else(nothing)?(&input, output);
        }
        let mut call = Call { state, input, descriptors, output, outcome: None };
        let ran = self.find(name).and_then(|found| found.call::<Calls>(&mut call));
        if let Err(error) = ran {
            return Err(Failure::Function(error.to_string()));
        }
        call.outcome.unwrap_or_else(|| Err(Failure::Function("the function did not run".into())))
    }
}

/// Runs a named function, once.
pub(crate) fn call(
    name: Name,
    state: &mut Option<Box<dyn Any>>,
    input: Cow<'_, [u8]>,
    descriptors: Vec<OwnedFd>,
) -> Result<Encoded, Failure> {
    let mut output = Encoded::default();
    Finder::default().call(name, state, input, descriptors, &mut output)?;
    Ok(output)
}
