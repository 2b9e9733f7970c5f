//! Describing a child process before it is started.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use offspring_platform::environment::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::inline::Inline;
use super::running::Running;
use super::{Process, ProcessGroup, detached};
use crate::capture::{self, Set};
use crate::codec::{self, Encoded};
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::function::{self, Inherited, Name};
use crate::launch::message::Role;
use crate::launch::{Specification, Stdio};
use crate::start;
use crate::start::Message;

/// How a child process shall be started. Made by [`Context::process`].
///
/// All settings have the same effect on Fork, Spawn and ForkServer. On Inline there is no child, so
/// they have none.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct ProcessBuilder {
    context: Context,
    specification: Specification,
}

impl Context {
    /// Begins to describe a child process.
    pub fn process(self) -> ProcessBuilder {
        ProcessBuilder { context: self, specification: Specification::default() }
    }
}

impl ProcessBuilder {
    /// Names the process, in errors and in `ps` (there, the first 15 bytes). Default: the name of the
    /// function's type.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.specification.name = Some(name.into());
        self
    }

    /// Sets an environment variable. By default the child has the environment that this process has
    /// when it is started.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let change = Change::Set(name.as_ref().into(), value.as_ref().into());
        self.specification.environment.push(change);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.specification.environment.push(Change::Remove(name.as_ref().into()));
        self
    }

    /// Removes all environment variables, also those set before on this builder.
    pub fn env_clear(mut self) -> Self {
        self.specification.environment.push(Change::Clear);
        self
    }

    /// The working directory. Default: that of this process when the child is started.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.specification.directory = Some(directory.as_ref().into());
        self
    }

    /// Standard input. Default: [`Stdio::null`], because several children reading one terminal is
    /// rarely what is wanted.
    pub fn stdin(mut self, stream: impl Into<Stdio>) -> Self {
        self.specification.standard[0] = stream.into().into_stream();
        self
    }

    /// Standard output. Default: [`Stdio::inherit`].
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Self {
        self.specification.standard[1] = stream.into().into_stream();
        self
    }

    /// Standard error. Default: [`Stdio::inherit`]. With [`Stdio::captured`], errors have its last lines.
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Self {
        self.specification.standard[2] = stream.into().into_stream();
        self
    }

    /// Limits the child's address space, in bytes; allocations beyond it fail, which usually aborts the
    /// child. Default: no limit.
    ///
    /// # Platform notes
    ///
    /// * Linux: address space, not resident memory. A forked child starts with all that its parent has.
    /// * macOS: nothing happens. The system refuses a limit below the hundreds of gigabytes that each process has.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.specification.memory_limit = Some(bytes);
        self
    }

    /// How long the child may take until it says hello: until it is set up, and has run what is to run
    /// [after a fork](crate::after_fork). And then, how long it may take nothing of arguments that are too large for its
    /// channel; so it is no limit for their size. A child that takes longer is ended. Default: 30 seconds.
    ///
    /// On ForkServer the template has the same time for its own hello, and for each global that it makes; see
    /// [`Global`](crate::Global).
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.specification.start_timeout = limit;
        self
    }

    /// Starts a child that runs `function` on `arguments`.
    ///
    /// Returns when the child has said hello and was sent its arguments. The function is any `fn` item
    /// or closure that captures nothing; one that captures does not compile.
    ///
    /// # Errors
    ///
    /// What goes wrong before the function runs:
    ///
    /// * [`ErrorKind::ForkNotAllowed`], [`ErrorKind::Multithreaded`]: on Fork, the two gates.
    /// * [`ErrorKind::NotInitialized`]: on Spawn and ForkServer, [`init`](crate::init) was not called.
    /// * [`ErrorKind::EncodeArguments`]: the arguments' `Serialize` failed.
    /// * [`ErrorKind::Start`], [`ErrorKind::TimedOut`]: the child did not come up, or did not take its arguments.
    /// * [`ErrorKind::ProgramChanged`]: the child is another build of this program.
    /// * [`ErrorKind::Invalid`]: a setting, or a function of another shared object.
    /// * [`ErrorKind::TooDeep`]: more generations of children than the limit.
    /// * [`ErrorKind::Capture`]: the value of a capture could not be encoded.
    /// * [`ErrorKind::System`]: a call to the system failed.
    pub fn start<A, R, F>(&self, arguments: A, function: F) -> Result<Process<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(A) -> R + Copy + 'static,
    {
        detached::collect();
        let (function, function_name) = function::plain::<F, A, R>(function)?;
        let name = self.specification.name.as_deref().unwrap_or(function_name);
        let message = codec::encode_owned(arguments).map_err(|error| {
            Error::new(ErrorKind::EncodeArguments, "start a child process")
                .in_context(self.context)
                .named(name)
                .detail(error.to_string())
        })?;
        let captured =
            capture::current().map_err(|error| error.in_context(self.context).named(name))?;
        if self.context == Context::Inline {
            let run = Inline::run(function, name, &message, captured.as_ref())?;
            return Ok(Process::inline(run));
        }
        let role = Role::Call { function };
        let specification = &self.specification.here();
        start_running(self.context, specification, role, name, message, None, captured)
    }

    /// Starts one child for each of `arguments`, which belong together: the first failure stops them
    /// all.
    ///
    /// # Errors
    ///
    /// As [`ProcessBuilder::start`]. Those that were started before are stopped.
    pub fn start_group<A, R, F>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        function: F,
    ) -> Result<ProcessGroup<R>, Error>
    where
        A: Serialize + DeserializeOwned + 'static,
        R: Serialize + DeserializeOwned + 'static,
        F: Fn(A) -> R + Copy + 'static,
    {
        let mut group = ProcessGroup::new();
        for (index, argument) in arguments.into_iter().enumerate() {
            let process = self.start(argument, function).map_err(|error| error.of_worker(index))?;
            group.push(process);
        }
        Ok(group)
    }
}

/// Starts a child by fork that runs what it inherits, with default settings.
pub(crate) fn start_inherited<R>(
    name: &str,
    inherited: Inherited<'_>,
) -> Result<Process<R>, Error> {
    detached::collect();
    let specification = Specification::default();
    let role = Role::Call { function: Name::INHERITED };
    let nothing = Encoded::default();
    let captured =
        capture::current().map_err(|error| error.in_context(Context::Fork).named(name))?;
    let context = Context::Fork;
    start_running(context, &specification, role, name, nothing, Some(inherited), captured)
}

fn start_running<R>(
    context: Context,
    specification: &Specification,
    role: Role,
    name: &str,
    message: Encoded,
    inherited: Option<Inherited<'_>>,
    captured: Option<Arc<Set>>,
) -> Result<Process<R>, Error> {
    let message = Message { arguments: message, captured: captured.as_ref() };
    let started = start::start(context, specification, role, name, message, inherited)
        .map_err(|error| error.in_context(context).named(name))?;
    let mut running = Running::new(context, name.to_owned(), started, captured);
    running.greet(specification)?;
    Ok(Process::running(running))
}
