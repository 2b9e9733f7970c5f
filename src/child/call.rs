//! A child that runs one function.

use std::os::fd::OwnedFd;

use offspring_platform::exit;

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
        None => match link.wait_for_frame(None) {
            Ok(Some(frame)) if frame.kind == Kind::Arguments => (frame.bytes, frame.descriptors),
            // The owner is gone, or is none of ours.
            _ => exit::now(exit::FELL_OUT),
        },
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
