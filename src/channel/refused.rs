//! A message that was not sent comes back with the reason.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;

use crate::error::Error;

/// Why a message was not sent, and the message. Dereferences to [`Error`].
///
/// Its [`kind`](Error::kind) is [`Busy`](crate::ErrorKind::Busy) when there was no room,
/// [`TimedOut`](crate::ErrorKind::TimedOut) when there was none all the time,
/// [`Closed`](crate::ErrorKind::Closed) when nobody is left to receive,
/// [`EncodeArguments`](crate::ErrorKind::EncodeArguments) when the message cannot be encoded, and
/// [`System`](crate::ErrorKind::System) when the system refused. In none of these was it sent.
pub struct SendError<T> {
    error: Error,
    message: T,
}

impl<T> SendError<T> {
    pub(crate) fn new(error: Error, message: T) -> Self {
        Self { error, message }
    }

    /// The message.
    #[must_use]
    pub fn into_message(self) -> T {
        self.message
    }
}

impl<T> Deref for SendError<T> {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.error
    }
}

impl<T> From<SendError<T>> for Error {
    fn from(refused: SendError<T>) -> Self {
        refused.error
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (a message of type `{}`)", self.error, type_name::<T>())
    }
}

impl<T> StdError for SendError<T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}
