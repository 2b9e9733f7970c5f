//! Open files, sockets and listeners in arguments and results.

use std::any::type_name;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};

use offspring_platform::fd::duplicate;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::descriptors;

/// Something that owns a descriptor, and may travel to another process: a file, a socket, a listener, the
/// end of a pipe, an [`OwnedFd`].
///
/// It dereferences to what it holds. It travels in arguments, results, worker state and messages, on every
/// context. What arrives is a **duplicate**: both processes have the same open file, each with a descriptor
/// of its own. So the sender's stays open until the sender closes it; the position in a file, and flags like
/// "does not block", are common to both; a connection ends when both have closed it.
///
/// [`Context::Inline`](crate::Context::Inline) duplicates in the same way, in the one process. A child by
/// fork inherits the open files of its parent anyway; what comes in its arguments is a duplicate as well.
///
/// At most 250 descriptors travel in one value, those of [`SharedSlice`](crate::SharedSlice)s and of the
/// ends of [channels](crate::channel) counted; more are an error of the kind
/// [`EncodeArguments`](crate::ErrorKind::EncodeArguments) (or `EncodeResult`). What arrives is closed on
/// exec, like all files of std.
///
/// # Examples
///
/// ```standalone_crate
/// use std::io::Write;
/// use std::net::{TcpListener, TcpStream};
///
/// use offspring::{Context, Sendable};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     offspring::init();
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     let child = Context::Spawn.process().start(
///         Sendable::new(listener),
///         |listener: Sendable<TcpListener>| {
///             let (mut stream, _) = listener.accept().expect("somebody connects");
///             stream.write_all(b"hello").expect("somebody reads");
///         },
///     )?;
///     let greeting = std::io::read_to_string(TcpStream::connect(address)?)?;
///     child.join()?;
///     assert_eq!(greeting, "hello");
///     Ok(())
/// }
/// ```
pub struct Sendable<T>(T);

impl<T: AsFd + From<OwnedFd>> Sendable<T> {
    /// Makes it sendable. Nothing happens to what it holds.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self(inner)
    }

    /// What it holds.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsFd + From<OwnedFd>> From<T> for Sendable<T> {
    fn from(inner: T) -> Self {
        Self(inner)
    }
}

impl<T> Deref for Sendable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Sendable<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Sendable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sendable").field(&self.0).finish()
    }
}

impl<T: AsFd + From<OwnedFd>> Serialize for Sendable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A duplicate of its own: what is sent later must not be what the program closes meanwhile.
        let own = duplicate(self.0.as_fd()).and_then(descriptors::of_user);
        let carried = own.map_err(|error| {
            let name = type_name::<T>();
            S::Error::custom(format!("the descriptor of a `{name}` was not duplicated: {error}"))
        })?;
        let index = descriptors::put(&carried).ok_or_else(|| {
            S::Error::custom("a descriptor travels only in what offspring sends to another process")
        })?;
        index.serialize(serializer)
    }
}

impl<'de, T: AsFd + From<OwnedFd>> Deserialize<'de> for Sendable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u32::deserialize(deserializer)?;
        let fd = descriptors::take(index).ok_or_else(|| {
            let name = type_name::<T>();
            D::Error::custom(format!(
                "the descriptor of a `{name}` did not arrive; is there room for it (`ulimit -n`)?"
            ))
        })?;
        Ok(Self(T::from(fd)))
    }
}
