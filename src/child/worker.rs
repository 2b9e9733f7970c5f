//! A child that makes its state once and then runs tasks: how it comes up.

use std::any::Any;
use std::os::fd::AsFd;

use offspring_platform::bell::Ringer;
use offspring_platform::clock::now;
use offspring_platform::{affinity, exit, ring, signal};

use super::bench::Bench;
use super::whoami::{Whoami, work_as};
use crate::capture::{self, Data};
use crate::codec::{self, Encoded};
use crate::context::Context;
use crate::function::{Failed, Failure, Finder, Inherited, reached};
use crate::launch::message::WorkerRole;
use crate::link::lane::{self, Status};
use crate::link::{Frame, Kind, Link};

/// The sequence number under which the outcome of the initialiser is reported.
pub(crate) const INITIALISER: u64 = 0;

/// That of what the worker says at its end.
pub(crate) const FINALISER: u64 = u64::MAX;

/// What comes before it says hello.
pub(super) fn prepare(role: &WorkerRole) {
    signal::leave_terminal_to_parent();
    if role.pinned {
        // A worker that may run everywhere is slower at most.
        let _ = affinity::pin(usize::try_from(role.index).unwrap_or(0));
    }
}

/// Makes the state, runs tasks until told to close.
pub(super) fn run(
    mut link: Link,
    forked: bool,
    context: Context,
    role: WorkerRole,
    inherited: Option<Inherited<'_>>,
) -> ! {
    let entered = now();
    let WorkerRole { index, generation, initialiser, .. } = role;
    work_as(Some(Whoami { context, index, generation, tasks_done: 0 }));
    super::queue_hello(&mut link);
    let (mut first, captured) = super::arguments(&mut link);
    // The last descriptors are those of the bell and of the rings.
    let (bell, rings) = (first.descriptors.pop(), first.descriptors.pop());
    let received = bell.zip(rings).and_then(|(bell, rings)| {
        Some((Ringer::received(bell).ok()?, ring::receive(rings.as_fd(), lane::SIZES).ok()?))
    });
    let Some((bell, rings)) = received else { exit::now(exit::FELL_OUT) };
    let status = Status::of(&rings.words);
    status.set_came_up(entered, 0);

    let mut state: Option<Box<dyn Any>> = Some(Box::new(()));
    let mut finder = Finder::with(inherited);
    if let Some(function) = initialiser {
        super::greet(&mut link, forked);
        let Frame { bytes, descriptors, .. } = first;
        let set = captured.as_ref().map(|(_, set)| set.clone());
        let (made, _) = capture::in_child(set, Data::Left, || {
            reached!(Init);
            finder.call_once(function, &mut state, bytes.into(), descriptors)
        });
        let failed = made.is_err();
        status.set_came_up(entered, if failed { 0 } else { now() });
        answer(&mut link, INITIALISER, made, 0);
        if failed {
            super::end();
        }
    } else {
        status.set_came_up(entered, now());
        // In one piece, so that its owner has to look once.
        link.queue(Kind::Done, INITIALISER, Encoded::default());
        super::greet(&mut link, forked);
    }
    status.set_initialised();
    Bench::new(role, link, rings, bell, finder, state, captured).work()
}

/// Says what became of the initialiser, or of what the worker does at its end; if it failed, with what it wrote
/// from this place of its transcript on.
pub(super) fn answer(link: &mut Link, id: u64, outcome: Result<Encoded, Box<Failure>>, mark: u64) {
    match outcome {
        Ok(result) => super::send(link, Kind::Done, id, result),
        Err(failure) => {
            let message = codec::encode(&Failed::here(failure, mark)).unwrap_or_default();
            super::send(link, Kind::Failed, id, message);
        }
    }
}
