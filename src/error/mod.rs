//! What can go wrong: one public type, with answers to "what happened" and "may I try again".

mod display;
mod ended;
mod panic;
mod task;

use std::error::Error as StdError;
use std::io;

use serde::{Deserialize, Serialize};

use offspring_platform::wait::Exit;

use crate::codec::CodecError;
use crate::context::Context;
use crate::transcript::Excerpt;

pub(crate) use ended::Ended;
pub use panic::Panic;
pub use task::TaskError;

/// What happened, as far as a program wants to decide on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A fork was asked for, and the program never called [`allow_fork`](crate::allow_fork). In a test, the attribute
    /// names Fork for that.
    ForkNotAllowed,
    /// A fork was asked for in a process with more than one thread, or one that cannot be shown to
    /// have only one.
    Multithreaded {
        /// How many threads there are, where the system says.
        threads: Option<usize>,
    },
    /// A child was to be started by exec, and the program never called [`init`](crate::init). In tests, the module
    /// `testing` has what does it.
    NotInitialized,
    /// The child could not be started: the system refused, or it died before it could say hello.
    Start,
    /// The child is another build of the program: the file changed on disk.
    ProgramChanged,
    /// Children of children of children: more generations than the limit of 10; or pools inside of pools
    /// with more processes than the limit of 4,096 in all.
    TooDeep,
    /// The function panicked; see [`Error::panic`].
    Panicked,
    /// The process ended without an answer; see [`Error::exit`]. Or that at the other end of a pipe, in the middle of a
    /// message.
    Died,
    /// A deadline passed.
    TimedOut,
    /// The task was cancelled before it could answer. Or the pool was ended before the call.
    Cancelled,
    /// The arguments could not be encoded.
    EncodeArguments,
    /// The child could not decode the arguments.
    DecodeArguments,
    /// The child could not encode the result.
    EncodeResult,
    /// The result could not be decoded.
    DecodeResult,
    /// The function that makes a worker's state failed in every worker that was tried. Or the builder of a
    /// [`Global`](crate::Global) or [`Shared`](crate::Shared) failed.
    Init,
    /// State that was to be the same in the child could not be captured, set, undone or brought back;
    /// [`Error::capture`] says which. See [`capture`](fn@crate::capture).
    Capture,
    /// The peer sent something that is not part of the protocol.
    Protocol,
    /// The object was used up or closed before.
    Closed,
    /// The pool has as many tasks as it may hold; see [`Pool::try_submit`](crate::Pool::try_submit). Or a queue or pipe
    /// is full, and the call does not wait. Or somebody still writes to the table that was to be frozen; see
    /// [`LentSlice::freeze`](crate::LentSlice::freeze).
    Busy,
    /// A process died or panicked while it held the lock; see [`sync::Mutex`](crate::sync::Mutex).
    Poisoned,
    /// Somebody broke the barrier; see [`sync::Barrier`](crate::sync::Barrier).
    Broken,
    /// A setting is not possible.
    Invalid,
    /// A [`Global`](crate::Global) was read that was never set, or not before this process was started.
    Unset,
    /// A call to the operating system failed; see [`StdError::source`].
    System,
}

/// How far the function had got, in other words: may I try again?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// None of the user's code ran: trying again repeats nothing.
    NotStarted,
    /// The function had begun, so its effects may be there already.
    Started,
    /// Nobody knows.
    Unknown,
}

/// Why a child could not be started, or did not deliver.
///
/// [`kind`](Error::kind) says what happened and [`phase`](Error::phase) whether it can be tried again
/// without doing something twice. The message says what was attempted, what happened, and what to do.
///
/// A task that returns `Err` is not an error of this type: it is the task's value, `Ok(Err(_))`.
pub struct Error(Box<Repr>);

pub(crate) struct Repr {
    kind: ErrorKind,
    phase: Phase,
    /// What was being done, to be read after "could not".
    doing: &'static str,
    /// What happened, where the kind and the parts below do not say it.
    detail: Option<String>,
    /// What the user can do about it.
    advice: Option<&'static str>,
    context: Option<Context>,
    pid: Option<u32>,
    worker: Option<usize>,
    task_index: Option<u64>,
    task_name: Option<String>,
    capture: Option<String>,
    exit: Option<Exit>,
    /// The system ended the process for want of memory.
    out_of_memory: bool,
    panic: Option<Panic>,
    /// What it wrote last.
    excerpt: Option<Excerpt>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());

impl Error {
    pub(crate) fn new(kind: ErrorKind, doing: &'static str) -> Self {
        Self(Box::new(Repr {
            kind,
            phase: Phase::NotStarted,
            doing,
            detail: None,
            advice: None,
            context: None,
            pid: None,
            worker: None,
            task_index: None,
            task_name: None,
            capture: None,
            exit: None,
            out_of_memory: false,
            panic: None,
            excerpt: None,
            source: None,
        }))
    }

    pub(crate) fn system(doing: &'static str, source: io::Error) -> Self {
        Self::new(ErrorKind::System, doing).caused_by(source)
    }

    /// A result came, and could not be decoded.
    pub(crate) fn undecodable(doing: &'static str, cause: &CodecError) -> Self {
        Self::new(ErrorKind::DecodeResult, doing).at(Phase::Started).detail(cause.to_string())
    }

    pub(crate) fn at(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    pub(crate) fn detail(mut self, text: impl Into<String>) -> Self {
        self.0.detail = Some(text.into());
        self
    }

    pub(crate) fn advice(mut self, text: &'static str) -> Self {
        self.0.advice = Some(text);
        self
    }

    pub(crate) fn in_context(mut self, context: Context) -> Self {
        self.0.context = Some(context);
        self
    }

    pub(crate) fn of_process(mut self, pid: i32) -> Self {
        self.0.pid = u32::try_from(pid).ok().filter(|pid| *pid != 0);
        self
    }

    pub(crate) fn of_worker(mut self, index: usize) -> Self {
        self.0.worker = Some(index);
        self
    }

    pub(crate) fn of_task(mut self, index: u64, name: &str) -> Self {
        self.0.task_index = Some(index);
        self.0.task_name = Some(name.to_owned());
        self
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.0.task_name = Some(name.to_owned());
        self
    }

    pub(crate) fn captured(mut self, name: &str) -> Self {
        self.0.capture = Some(name.to_owned());
        self
    }

    pub(crate) fn ended(mut self, exit: Exit) -> Self {
        self.0.exit = Some(exit);
        self
    }

    /// The system ended the process because memory ran out.
    pub(crate) fn out_of_memory(mut self) -> Self {
        self.0.out_of_memory = true;
        self.detail("the system ended the process because memory ran out")
            .advice("give it less to do at once, or allow more memory")
    }

    pub(crate) fn panicked(mut self, panic: Panic) -> Self {
        self.0.panic = Some(panic);
        self
    }

    pub(crate) fn wrote(mut self, excerpt: Option<Excerpt>) -> Self {
        self.0.excerpt = excerpt;
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error once more, for another task that it befell. Its cause becomes part of the text.
    pub(crate) fn again(&self) -> Self {
        let this = &*self.0;
        let detail = match (&this.detail, &this.source) {
            (Some(detail), Some(source)) => Some(format!("{detail}: {source}")),
            (None, Some(source)) => Some(source.to_string()),
            (detail, None) => detail.clone(),
        };
        Self(Box::new(Repr {
            detail,
            task_name: this.task_name.clone(),
            capture: this.capture.clone(),
            panic: this.panic.clone(),
            excerpt: this.excerpt.clone(),
            source: None,
            ..*this
        }))
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far the function had got.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The context of the child.
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        self.0.context
    }

    /// The process that failed, if there was one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.0.pid
    }

    /// The index of the worker in its pool, or of the process in its group.
    #[must_use]
    pub fn worker(&self) -> Option<usize> {
        self.0.worker
    }

    /// The index of the task among the inputs of its `map`, from 0; for `submit` its number among those submitted, for
    /// `broadcast` that of the worker.
    #[must_use]
    pub fn task_index(&self) -> Option<u64> {
        self.0.task_index
    }

    /// The name of the function's type, or of the process.
    #[must_use]
    pub fn task_name(&self) -> Option<&str> {
        self.0.task_name.as_deref()
    }

    /// The name of the [`capture`](fn@crate::capture) that failed, if one did.
    #[must_use]
    pub fn capture(&self) -> Option<&str> {
        self.0.capture.as_deref()
    }

    /// How the process ended, if it did.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.0.exit
    }

    /// The number of the signal that ended the process, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self.0.exit {
            Some(Exit::Signal { signal, .. }) => Some(signal),
            _ => None,
        }
    }

    /// Whether the system ended the process because memory ran out. What was to be done may succeed with less at once,
    /// or where there is more.
    ///
    /// Told of the workers of a pool, since only its supervisor asks the system for the reason of a SIGKILL. `false`
    /// where nobody knows: of a single [`Process`](crate::Process), and of the copy of a worker in which a task ran with
    /// [`Reuse::PerTask`](crate::Reuse::PerTask). An allocation that fails, as beyond a
    /// [`memory_limit`](crate::PoolBuilder::memory_limit), makes the process abort, and is not meant.
    ///
    /// # Platform notes
    ///
    /// * Linux: as the memory cgroup counts such ends, where it does. Who was killed by somebody in the moment in which
    ///   another process of the cgroup was ended for want of memory cannot be told from that one.
    /// * macOS: never.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.0.out_of_memory
    }

    /// The panic that ended the function, if one did.
    #[must_use]
    pub fn panic(&self) -> Option<&Panic> {
        self.0.panic.as_ref()
    }

    /// The last lines that the child wrote to a stream that was captured: [`Stdio::captured`](crate::Stdio::captured).
    /// `None` when none was, or the child is not to blame; empty when it wrote nothing.
    ///
    /// At most [`Stdio::CAPTURED`](crate::Stdio::CAPTURED) bytes, cut at the beginning of a line where one is near;
    /// bytes that are no UTF-8 are replaced by U+FFFD. For a task of a pool, what was written since it began (what
    /// an earlier task left buffered, or a thread or program of it still writes, may be among it); for an
    /// initialiser, since the start of its worker. Without what std's hook printed about the panic that is
    /// [`Error::panic`].
    ///
    /// It is the last part of the error's text, where control characters are escaped.
    #[must_use]
    pub fn stderr(&self) -> Option<&str> {
        self.0.excerpt.as_ref().map(|excerpt| excerpt.text.as_str())
    }

    /// How many bytes were written before those that [`Error::stderr`] has, and are left out.
    #[must_use]
    pub fn stderr_left_out(&self) -> u64 {
        self.0.excerpt.as_ref().map_or(0, |excerpt| excerpt.left_out)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Invalid => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
