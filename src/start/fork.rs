//! By fork: a copy of the calling process.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use offspring_platform::fork::{self, Side};
use offspring_platform::watch::Watch;
use offspring_platform::{descriptors, exit, fd, lifeline};

use super::{Ending, Message, Started, Wanted, tell_surroundings};
use crate::capture::Set;
use crate::child::{self, Birth};
use crate::codec::Encoded;
use crate::context::Context;
use crate::error::Error;
use crate::function::Inherited;
use crate::launch::message::Launch;
use crate::launch::{failed, gates};
use crate::link::Link;
use crate::logging;

/// Starts a child.
pub(super) fn start(
    mut launch: Launch,
    wanted: Wanted<'_>,
    message: Message<'_>,
    inherited: Option<Inherited<'_>>,
) -> Result<Started, Error> {
    let fail = |error| failed(Context::Fork, "the system refused", error);
    let mut sent = Encoded::default();
    tell_surroundings(&mut launch, wanted, &mut sent).map_err(fail)?;
    let logs = logging::attach(&mut launch, &mut sent).map_err(fail)?;
    let (permission, witness, blocked) = gates::check_fork()?;
    let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
    let (keeper, end) = lifeline::new().map_err(fail)?;
    match fork::fork(permission, witness, blocked, vec![theirs, end]).map_err(fail)? {
        Side::Parent(pid) => Ok(Started {
            pid,
            link: Link::new(ours),
            keeper,
            ending: Ending::Own { watch: Watch::child(pid).ok() },
            logs,
            transcript: None,
        }),
        Side::Child(kept) => {
            let _bomb = exit::Bomb::arm();
            let mut kept = kept.into_iter();
            let (Some(channel), Some(end)) = (kept.next(), kept.next()) else {
                exit::now(exit::FELL_OUT)
            };
            let copies = |list: &Encoded| -> io::Result<Vec<OwnedFd>> {
                list.descriptors.iter().map(|one| fd::duplicate(one.as_fd())).collect()
            };
            let Message { mut arguments, captured } = message;
            let (Ok(streams), Ok(carried)) = (copies(&sent), copies(&arguments)) else {
                exit::now(exit::FELL_OUT)
            };
            let captured = captured.map(|set| {
                let message = set.message();
                let set = copies(message).map(|carried| Set::received(&message.bytes, carried));
                match set {
                    Ok(Ok(set)) => Arc::new(set),
                    _ => exit::now(exit::FELL_OUT),
                }
            });
            // The child has its duplicates. What it inherited besides would keep channels open for as long
            // as it lives; only a closure may have captured some of it.
            drop(std::mem::take(&mut sent.descriptors));
            let bytes = std::mem::take(&mut arguments.bytes);
            drop(std::mem::take(&mut arguments.descriptors));
            if !inherited.is_some_and(|inherited| inherited.captures_channels) {
                fd::close_capturable();
            }
            let birth = Birth {
                link: Link::new(channel),
                launch,
                descriptors: streams,
                message: Some((bytes, carried)),
                captured,
                inherited,
                forked: true,
            };
            child::live(birth.tied(end))
        }
    }
}
