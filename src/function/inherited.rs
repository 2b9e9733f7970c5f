//! What a forked child runs without a name for it, because it is a copy of the process that has it.

use std::any::Any;
use std::cell::Cell;
use std::fmt::{self, Display};

use offspring_platform::{fd, shared};
use serde::Serialize;

use super::kinds::told;
use super::{Failure, encode_result, perform};
use crate::codec::Encoded;

/// What it is called with: the state of the worker, the input, and where its result is appended.
type Run<'a> =
    dyn Fn(&mut Option<Box<dyn Any>>, &[u8], &mut Encoded) -> Result<(), Box<Failure>> + 'a;

/// A closure with its captures. It is handed down the stack, from the fork to where tasks are run, and
/// never returned from, so it may borrow.
#[derive(Clone, Copy)]
pub(crate) struct Inherited<'a> {
    pub(crate) run: &'a Run<'a>,
    /// Ends of channels may be among its captures, so all that this process has stay open in the child.
    pub(crate) captures_channels: bool,
}

/// Runs a closure that was inherited. Its result is appended to `output`.
pub(crate) fn run_inherited<R: Serialize + 'static>(
    run: impl FnOnce() -> R,
    output: &mut Encoded,
) -> Result<(), Box<Failure>> {
    perform(|| {
        reached!(Task);
        let result = run();
        reached!(Result);
        encode_result(result, output)
    })
}

/// An initialiser, and its argument as it is: workers by fork have a copy of it, which nobody encodes.
pub(crate) struct Given(Box<Run<'static>>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

impl Given {
    /// Whether an argument that this process has means the same to a forked child which has a copy of it as
    /// to one which is sent it. Ends of channels and tables that are being filled do not: they are not
    /// inherited. Nobody can look into the argument, so none of these may exist.
    pub(crate) fn is_possible() -> bool {
        !fd::has_capturable() && !shared::is_being_filled()
    }

    /// `Fn(A) -> S`.
    pub(crate) fn new<A, S, F>(argument: A, function: F) -> Self
    where
        A: 'static,
        S: 'static,
        F: Fn(A) -> S + 'static,
    {
        Self::fallible(argument, move |argument| Ok::<S, &str>(function(argument)))
    }

    /// `Fn(A) -> Result<S, E>`.
    pub(crate) fn fallible<A, S, E, F>(argument: A, function: F) -> Self
    where
        A: 'static,
        S: 'static,
        E: Display + 'static,
        F: Fn(A) -> Result<S, E> + 'static,
    {
        let argument = Cell::new(Some(argument));
        Self(Box::new(move |state, _, _| {
            let Some(argument) = argument.take() else {
                let text = "the worker has made its state of this argument already";
                return Err(Box::new(Failure::Function(text.into())));
            };
            perform(|| {
                *state = Some(Box::new(function(argument).map_err(told)?));
                Ok(())
            })
        }))
    }

    /// As it goes to the forked child.
    pub(crate) fn inherited(&self) -> Inherited<'_> {
        // It cannot have any: see `is_possible`.
        Inherited { run: &self.0, captures_channels: false }
    }
}
