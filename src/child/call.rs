//! A child that runs one function.

use std::os::fd::OwnedFd;

use crate::channel::{Kind, Link};
use crate::codec::{self, Encoded};
use crate::function::{Finder, Inherited, Name};

/// Runs the function, sends what came of it, and ends.
pub(super) fn run(
    mut link: Link,
    function: Name,
    message: Option<(Vec<u8>, Vec<OwnedFd>)>,
    inherited: Option<Inherited<'_>>,
) -> ! {
    let (bytes, descriptors) = match message {
        Some(message) => message,
        None => {
            let frame = super::arguments(&mut link);
            (frame.bytes, frame.descriptors)
        }
    };
    let mut result = Encoded::default();
    let mut finder = Finder::with(inherited);
    match finder.call(function, &mut None, bytes.into(), descriptors, &mut result) {
        Ok(()) => super::send(&mut link, Kind::Done, 0, result),
        Err(failure) => {
            let message = codec::encode(&failure).unwrap_or_default();
            super::send(&mut link, Kind::Failed, 0, message);
        }
    }
    super::end()
}
