//! By fork: a copy of the calling process.

use offspring_platform::fork::{self, Permission, Side};
use offspring_platform::signal::Blocked;
use offspring_platform::threads::{NotSingleThreaded, SingleThreaded};
use offspring_platform::watch::Watch;
use offspring_platform::{descriptors, exit, fd, lifeline};

use super::{DOING, Ending, Specification, Started, failed, tell_surroundings};
use crate::Context;
use crate::channel::Link;
use crate::child::{self, Birth, launch::Launch};
use crate::codec::Encoded;
use crate::error::{Error, ErrorKind};

/// Both gates: the promise of the program's author, and the proof that there is one thread. Signals
/// stay blocked until the fork, so that no handler can start a second thread in between.
pub(crate) fn check() -> Result<(Permission, SingleThreaded, Blocked), Error> {
    let permission = Permission::promised().ok_or_else(|| {
        Error::new(ErrorKind::ForkNotAllowed, DOING).in_context(Context::Fork).advice(
            "call `unsafe { offspring::allow_fork() }` once in `main`, or use spawn or forkserver",
        )
    })?;
    fork::flush_standard();
    let blocked = Blocked::all().map_err(|error| failed(Context::Fork, "signals", error))?;
    let witness = SingleThreaded::check(&blocked).map_err(|why| {
        let threads = match why {
            NotSingleThreaded::Threads(count) => count,
            NotSingleThreaded::Unknown => None,
        };
        Error::new(ErrorKind::Multithreaded { threads }, DOING)
            .in_context(Context::Fork)
            .advice("use spawn or forkserver, which work beside threads")
    })?;
    Ok((permission, witness, blocked))
}

/// Starts a child.
pub(super) fn start(
    mut launch: Launch,
    specification: &Specification,
    arguments: Encoded,
) -> Result<Started, Error> {
    let fail = |error| failed(Context::Fork, "the system refused", error);
    let mut sent = Encoded::default();
    tell_surroundings(&mut launch, specification, &mut sent);
    let (permission, witness, blocked) = check()?;
    let (ours, theirs) = descriptors::socket_pair().map_err(fail)?;
    let (keeper, end) = lifeline::new().map_err(fail)?;
    match fork::fork(permission, witness, blocked, vec![theirs, end]).map_err(fail)? {
        Side::Parent(pid) => Ok(Started {
            pid,
            link: Link::new(ours),
            keeper,
            ending: Ending::Own { watch: Watch::child(pid).ok() },
        }),
        Side::Child(kept) => {
            let _bomb = exit::Bomb::arm();
            let mut kept = kept.into_iter();
            let (Some(channel), Some(end)) = (kept.next(), kept.next()) else {
                exit::now(exit::FELL_OUT)
            };
            let copies = |list: &Encoded| {
                list.descriptors.iter().map(|one| fd::duplicate(one.as_fd())).collect()
            };
            let (Ok(streams), Ok(carried)) = (copies(&sent), copies(&arguments)) else {
                exit::now(exit::FELL_OUT)
            };
            child::live(Birth {
                link: Link::new(channel),
                lifeline: end,
                launch,
                descriptors: streams,
                message: Some((arguments.bytes, carried)),
                forked: true,
            })
        }
    }
}
