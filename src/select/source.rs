//! One of the things that a selector waits for: asked without a system call, polled, and asked again.

use std::os::fd::BorrowedFd;

use offspring_platform::poll::Interest;

use crate::channel::{pipe, queue};
use crate::error::Error;
use crate::woken::{Needs, Woken};
use crate::{pool, process};

/// See the head of the file.
#[derive(Debug)]
pub(super) enum Source<'a> {
    Queue(queue::Watch<'a>),
    Pipe(pipe::Watch<'a>),
    Process(process::Watch<'a>),
    Task(pool::Watch),
    Descriptor(BorrowedFd<'a>),
    /// It was ready when it was added, and stays so.
    Ready,
}

impl Source<'_> {
    /// Whether it is ready, as far as can be said without a system call.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Queue(queue) => queue.has_any(),
            Self::Pipe(pipe) => pipe.has_any(),
            Self::Process(process) => process.has_ended(),
            Self::Task(task) => task.is_settled(),
            Self::Descriptor(_) => false,
            Self::Ready => true,
        }
    }

    /// The last look before a sleep.
    pub(super) fn announce(&self) -> bool {
        match self {
            Self::Queue(queue) => queue.announce(),
            other => other.is_ready(),
        }
    }

    /// What to poll for it. Tasks have nothing of their own: their pool has.
    pub(super) fn interests<'s>(
        &'s self,
        into: &mut Vec<Interest<'s>>,
        needs: &mut Needs,
    ) -> Result<(), Error> {
        match self {
            Self::Queue(queue) => into.push(queue.interest(needs)?),
            Self::Pipe(pipe) => into.push(pipe.interest(needs)?),
            Self::Process(process) => process.interests(into, needs)?,
            Self::Descriptor(descriptor) => into.push(Interest::readable(*descriptor)),
            Self::Task(_) | Self::Ready => {}
        }
        Ok(())
    }

    /// Whether it is ready, after it was polled.
    pub(super) fn look(&mut self, woken: Woken) -> Result<bool, Error> {
        match self {
            Self::Queue(queue) => queue.look(woken),
            Self::Pipe(pipe) => Ok(pipe.look(woken)),
            Self::Process(process) => process.look(woken),
            Self::Descriptor(_) => Ok(woken.any()),
            Self::Task(_) | Self::Ready => Ok(self.is_ready()),
        }
    }
}
