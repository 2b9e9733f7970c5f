//! What a child runs: the user's function, between decoding its argument and encoding its result.

/// A child has come to a moment at which a test may want it to die.
macro_rules! reached {
    ($moment:ident) => {
        #[cfg(feature = "test")]
        crate::testing::reached(crate::testing::KillAt::$moment);
    };
}

pub(crate) use reached;

mod failure;
mod flaw;
mod inherited;
mod kinds;
pub(crate) mod panic;

use std::any::Any;
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use offspring_platform::function::{self, Descriptor, NotFound, Shape};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Encoded};
use crate::error::{Error, ErrorKind};

pub(crate) use failure::{Failed, Failure};
pub(crate) use flaw::{Flaw, Step};
pub(crate) use inherited::{Given, Inherited, run_inherited};
pub(crate) use kinds::{
    Made, builder, collector, fallible, fallible_builder, finale, initial, plain, stateful,
};

/// The only shape of call: bytes in, bytes out, and the state of the worker beside them.
pub(crate) struct Call<'a> {
    /// The state of the worker, made by its initialiser.
    pub(crate) state: &'a mut Option<Box<dyn Any>>,
    pub(crate) input: Cow<'a, [u8]>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where the result goes.
    pub(crate) output: &'a mut Encoded,
    /// `None` until the function has run.
    pub(crate) outcome: Option<Result<(), Box<Failure>>>,
}

impl Call<'_> {
    fn argument<A: DeserializeOwned + 'static>(&mut self) -> Result<A, Box<Failure>> {
        let decoded = match self.input {
            // What is borrowed is not taken out of its place first.
            Cow::Borrowed(bytes) if self.descriptors.is_empty() => {
                codec::decode(Cow::Borrowed(bytes), Vec::new())
            }
            _ => codec::decode(
                std::mem::take(&mut self.input),
                std::mem::take(&mut self.descriptors),
            ),
        };
        decoded.map_err(|error| Box::new(Failure::Arguments(error.to_string())))
    }

    /// Encodes the result and drops it, here, so that a panic in its destructor is caught as well.
    fn result<R: Serialize + 'static>(&mut self, result: R) -> Result<(), Box<Failure>> {
        encode_result(result, self.output)
    }
}

fn encode_result<R: Serialize + 'static>(
    mut result: R,
    output: &mut Encoded,
) -> Result<(), Box<Failure>> {
    if let Some(bytes) = codec::take_bytes(&mut result) {
        output.bytes = bytes;
        return Ok(());
    }
    let encoded = codec::encode_into(&result, output);
    // Whoever receives it knows what it mentions, or cannot be told.
    output.mentions.clear();
    encoded.map_err(|error| Box::new(Failure::Result(error.to_string())))
}

/// See [`Call`].
pub(crate) struct Calls;

impl Shape for Calls {
    type Call<'a> = Call<'a>;
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

/// Runs user code, and turns a panic into a [`Failure`].
///
/// The failure is boxed, here and on the whole way to where it is told: an outcome that fits into a register is not
/// copied from one caller's stack to the next.
#[inline]
fn perform(run: impl FnOnce() -> Result<(), Box<Failure>>) -> Result<(), Box<Failure>> {
    // The state of a worker may be half changed by a panic; that the next task sees it is documented.
    panic::caught(|| catch_unwind(AssertUnwindSafe(run)))
        .unwrap_or_else(|panic| Err(Box::new(Failure::Panicked(*panic))))
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

    #[inline]
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
    #[inline]
    pub(crate) fn call(
        &mut self,
        name: Name,
        state: &mut Option<Box<dyn Any>>,
        input: Cow<'_, [u8]>,
        descriptors: Vec<OwnedFd>,
        output: &mut Encoded,
    ) -> Result<(), Box<Failure>> {
        if name == Name::INHERITED {
            let nothing = || Failure::Function("this process inherited no function".into());
            let inherited = self.inherited.ok_or_else(nothing)?;
            return (inherited.run)(state, &input, output);
        }
        let mut call = Call { state, input, descriptors, output, outcome: None };
        let ran = self.find(name).and_then(|found| found.call::<Calls>(&mut call));
        if let Err(error) = ran {
            return Err(Box::new(Failure::Function(error.to_string())));
        }
        let nothing = || Failure::Function("the function did not run".into());
        call.outcome.unwrap_or_else(|| Err(Box::new(nothing())))
    }

    /// The same, with a place of its own for the result.
    pub(crate) fn call_once(
        &mut self,
        name: Name,
        state: &mut Option<Box<dyn Any>>,
        input: Cow<'_, [u8]>,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Encoded, Box<Failure>> {
        let mut output = Encoded::default();
        self.call(name, state, input, descriptors, &mut output)?;
        Ok(output)
    }
}

/// Runs a named function, once.
pub(crate) fn call(
    name: Name,
    state: &mut Option<Box<dyn Any>>,
    input: Cow<'_, [u8]>,
    descriptors: Vec<OwnedFd>,
) -> Result<Encoded, Box<Failure>> {
    Finder::default().call_once(name, state, input, descriptors)
}
