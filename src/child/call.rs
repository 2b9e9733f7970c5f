//! A child that runs one function.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::capture::{self, Data, Set};
use crate::codec::{self, Encoded};
use crate::function::{Failed, Finder, Inherited, Name};
use crate::link::{Kind, Link};

/// Runs the function, sends what came of it, and ends.
pub(super) fn run(
    mut link: Link,
    function: Name,
    message: Option<(Vec<u8>, Vec<OwnedFd>)>,
    captured: Option<Arc<Set>>,
    inherited: Option<Inherited<'_>>,
) -> ! {
    let ((bytes, descriptors), captured) = match message {
        Some(message) => (message, captured),
        None => {
            let (frame, captured) = super::arguments(&mut link);
            ((frame.bytes, frame.descriptors), captured.map(|(_, set)| set))
        }
    };
    let mut result = Encoded::default();
    let mut finder = Finder::with(inherited);
    let (came, pieces) = capture::in_child(captured, Data::Collected, || {
        finder.call(function, &mut None, bytes.into(), descriptors, &mut result)
    });
    if let Some(bytes) = pieces {
        super::send(&mut link, Kind::Brought, 0, Encoded { bytes, ..Encoded::default() });
    }
    match came {
        Ok(()) => super::send(&mut link, Kind::Done, 0, result),
        Err(failure) => {
            let message = codec::encode(&Failed::here(failure, 0)).unwrap_or_default();
            super::send(&mut link, Kind::Failed, 0, message);
        }
    }
    super::end()
}
