//! One child process that runs one function.

mod beside;
mod builder;
mod detached;
mod ending;
mod group;
mod inline;
mod running;

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use offspring_platform::signal::Signal;
use offspring_platform::wait::Exit;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::inline::Answer;
use crate::logging;
use crate::woken::after;

pub(crate) use beside::Watch;
pub use builder::ProcessBuilder;
pub(crate) use builder::start_inherited;
pub use group::ProcessGroup;
use inline::Inline;
use running::Running;

/// A child process that runs one function and returns its result.
///
/// Made by [`Context::process`]. On [`Context::Inline`] there is no process: the function has run when
/// `start` returns, in the calling thread.
///
/// Dropping it stops the child: SIGTERM, then after 200 ms SIGKILL; then it is collected. A child also
/// ends when its parent does, in whatever way the parent ends; on Linux the kernel sees to that.
///
/// # Examples
///
/// ```standalone_crate
/// use offspring::Context;
///
/// fn main() -> offspring::Result<()> {
///     offspring::init();
///     let child = Context::Spawn.process().name("adder").start((2, 3), |(a, b): (i32, i32)| a + b)?;
///     assert_eq!(child.join()?, 5);
///     Ok(())
/// }
/// ```
#[must_use = "dropping a process stops it; keep it, `join` it, or `detach` it"]
pub struct Process<R> {
    child: Child,
    delivered: bool,
    result: PhantomData<fn() -> R>,
}

enum Child {
    Running(Box<Running>),
    Inline(Inline),
    /// Detached.
    Gone,
}

impl Child {
    fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Inline(_) | Self::Gone => None,
        }
    }

    fn running_mut(&mut self) -> Option<&mut Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::Inline(_) | Self::Gone => None,
        }
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// How long a dropped child may take to end by itself.
const GRACE: Duration = Duration::from_millis(200);

impl<R> Process<R> {
    fn running(running: Running) -> Self {
        Self { child: Child::Running(Box::new(running)), delivered: false, result: PhantomData }
    }

    fn inline(inline: Inline) -> Self {
        Self { child: Child::Inline(inline), delivered: false, result: PhantomData }
    }

    /// The number of the process. On Inline, that of the calling process.
    #[must_use]
    pub fn id(&self) -> u32 {
        match &self.child {
            Child::Running(running) => u32::try_from(running.pid).unwrap_or(0),
            Child::Inline(_) | Child::Gone => std::process::id(),
        }
    }

    /// The name given to the builder, or else the name of the function's type.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.child {
            Child::Running(running) => &running.name,
            Child::Inline(inline) => &inline.name,
            Child::Gone => "",
        }
    }

    /// Whether the process runs. On Inline: no, it has run already.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Child::Running(running) => {
                // If the system cannot say, it was running when it last could.
                let _ = running.look();
                running.exit().is_none()
            }
            Child::Inline(_) | Child::Gone => false,
        }
    }

    /// How the process ended, or `None` while it runs. Does not wait.
    ///
    /// On Inline it is always status 0.
    pub fn exit_status(&mut self) -> Option<Exit> {
        match &mut self.child {
            Child::Running(running) => {
                let _ = running.look();
                running.exit()
            }
            Child::Inline(_) => Some(Exit::Code(0)),
            Child::Gone => None,
        }
    }

    /// Asks the process to end, with SIGTERM; its default is to end at once. No effect on one that has
    /// ended, and none on Inline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when the system refuses.
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(Signal::Terminate)
    }

    /// Ends the process at once, with SIGKILL. No effect on one that has ended, and none on Inline.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when the system refuses.
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::Kill)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        match &self.child {
            Child::Running(running) => {
                running.signal(signal).map_err(|error| Error::system("signal a child", error))
            }
            Child::Inline(_) | Child::Gone => Ok(()),
        }
    }

    /// Asks the process to end, waits up to `grace`, kills it if it has not, and returns how it ended.
    /// With a grace of zero it is killed at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::System`] when the system refuses.
    pub fn stop(&mut self, grace: Duration) -> Result<Exit, Error> {
        match &mut self.child {
            Child::Running(running) => {
                running.stop(grace).map_err(|error| Error::system("stop a child", error))
            }
            Child::Inline(_) | Child::Gone => Ok(Exit::Code(0)),
        }
    }

    /// To wait for its end beside other things; `None` when there is nothing to wait for.
    pub(crate) fn watch(&mut self) -> Option<Watch<'_>> {
        self.child.running_mut().map(Watch::new)
    }

    /// Lets the process run on without this handle; its result is thrown away.
    ///
    /// It still ends when this process does. It is collected when a later child is started or joined.
    pub fn detach(mut self) {
        if let Child::Running(running) = std::mem::replace(&mut self.child, Child::Gone) {
            detached::keep(*running);
        }
    }
}

impl<R: DeserializeOwned + 'static> Process<R> {
    /// Waits until the process has ended, collects it, and returns what the function returned.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Panicked`]: the function panicked; [`Error::panic`] has the message and the place.
    /// * [`ErrorKind::Died`]: the process ended without an answer, also with status 0;
    ///   [`Error::exit`] says how. If the system ended it because memory ran out, that is SIGKILL and no
    ///   more; only a pool asks for the reason.
    /// * [`ErrorKind::DecodeArguments`], [`ErrorKind::EncodeResult`], [`ErrorKind::DecodeResult`]: a
    ///   value did not survive its way.
    /// * [`ErrorKind::Capture`]: what was captured could not be set, undone or brought back.
    /// * [`ErrorKind::Protocol`], [`ErrorKind::System`]: the channel to the process broke.
    /// * [`ErrorKind::Closed`]: [`Process::join_timeout`] has returned the result before.
    ///
    /// A function that returns `Err` is no error here: that is its value.
    pub fn join(mut self) -> Result<R, Error> {
        self.finish()
    }

    fn finish(&mut self) -> Result<R, Error> {
        match self.join_until(None)? {
            Some(result) => Ok(result),
            // Without a deadline, there is an end.
            None => Err(Error::new(ErrorKind::Closed, JOIN)),
        }
    }

    /// Waits up to `limit` for the process to end; `None` if it has not. It is not disturbed, and can be
    /// waited for again.
    ///
    /// # Errors
    ///
    /// As [`Process::join`].
    pub fn join_timeout(&mut self, limit: Duration) -> Result<Option<R>, Error> {
        // A limit beyond all time is none.
        self.join_until(after(limit))
    }

    fn join_until(&mut self, deadline: Option<Instant>) -> Result<Option<R>, Error> {
        if self.delivered {
            return Err(Error::new(ErrorKind::Closed, JOIN)
                .in_context(self.context())
                .named(self.name())
                .detail("its result was returned before"));
        }
        let (answer, brought, error) = match &mut self.child {
            Child::Running(running) => {
                let ended = running.wait_for_end(deadline);
                if ended.map_err(|error| Error::system(JOIN, error))?.is_none() {
                    return Ok(None);
                }
                let answer = running.answer.take();
                let error = answer.is_none().then(|| running.no_answer(JOIN));
                let fill_in = Error::new(ErrorKind::Died, JOIN).of_process(running.pid);
                let brought = running.brought.take();
                (answer, brought, error.unwrap_or(fill_in).in_context(running.context))
            }
            Child::Inline(inline) => {
                let error = Error::new(ErrorKind::Closed, JOIN).in_context(Context::Inline);
                (inline.answer.take(), inline.brought.take(), error)
            }
            Child::Gone => (None, None, Error::new(ErrorKind::Closed, JOIN)),
        };
        self.delivered = true;
        detached::collect();
        logging::deliver();
        let (pid, context) = (self.pid_of_child(), error.context());
        let tell = |error: Error| {
            let error = error.of_process(pid).named(self.name());
            match context {
                Some(context) => error.in_context(context),
                None => error,
            }
        };
        // Runs the user's code, which may panic.
        let delivered = brought.map_or(Ok(()), |brought| brought.deliver());
        match answer {
            Some(Answer::Done(bytes, descriptors)) => {
                delivered.map_err(tell)?;
                codec::decode(bytes.into(), descriptors)
                    .map(Some)
                    .map_err(|cause| tell(Error::undecodable(JOIN, &cause)))
            }
            Some(Answer::Failed(failure)) => Err(tell(failure.into_error(JOIN))),
            None => Err(error),
        }
    }

    fn context(&self) -> Context {
        match &self.child {
            Child::Running(running) => running.context,
            Child::Inline(_) | Child::Gone => Context::Inline,
        }
    }

    fn pid_of_child(&self) -> i32 {
        match &self.child {
            Child::Running(running) => running.pid,
            Child::Inline(_) | Child::Gone => 0,
        }
    }
}

const JOIN: &str = "get the result of a child process";

impl<R> AsFd for Process<R> {
    /// A descriptor that becomes readable when the process has ended, for use with `poll` and the like.
    ///
    /// # Panics
    ///
    /// In a forked child that inherited this handle from its parent.
    fn as_fd(&self) -> BorrowedFd<'_> {
        let descriptor = match &self.child {
            Child::Running(running) => running.sentinel(),
            Child::Inline(inline) => inline.sentinel.borrow(),
            Child::Gone => Err(std::io::ErrorKind::NotFound.into()),
        };
        #[expect(clippy::expect_used, reason = "documented under `# Panics`")]
        descriptor.expect("a process handle is of use only in the process that made it")
    }
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        if let Some(running) = self.child.running_mut() {
            // A drop cannot report; the kill that ends it does not depend on what failed here.
            let _ = running.stop(GRACE);
        }
    }
}
