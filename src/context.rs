//! The value that chooses how children start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How children start.
///
/// A plain value: there is no global setting, and several contexts work side by side in one program.
/// The default is [`Context::Spawn`] on every system: it needs no promise, works beside threads, and
/// behaves the same everywhere.
///
/// # Examples
///
/// ```
/// use offspring::Context;
///
/// let context: Context = "fork-server".parse()?;
/// assert_eq!(context, Context::ForkServer);
/// assert_eq!(context.to_string(), "forkserver");
/// assert!(!context.inherits_memory());
/// # Ok::<(), offspring::ParseContextError>(())
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum Context {
    /// In the calling process: no child at all.
    ///
    /// For debugging and as a fallback. Arguments and results still go through the codec, so what works
    /// here does not fail on Spawn for a reason of serialization. What it cannot do: survive a crash,
    /// end a task at its deadline or by `kill`, or cap its memory.
    Inline,
    /// A copy of the calling process, made by fork(2).
    ///
    /// Inherits all memory by copy-on-write. Refused unless the program promised that it may be forked
    /// ([`allow_fork`](crate::allow_fork)) and the calling process has exactly one thread. Costs some
    /// 20 to 25 µs for each MiB of memory that the parent has in 4 KiB pages.
    Fork,
    /// A fresh run of the same program, which enters at [`init`](crate::init).
    ///
    /// Inherits nothing but the environment, the directory, standard output and standard error. Standard input is
    /// `/dev/null`, as on every context, unless [`ProcessBuilder::stdin`](crate::ProcessBuilder::stdin) says
    /// otherwise. Costs one exec, whatever the size of the parent.
    #[default]
    Spawn,
    /// A copy of a template: a fresh run of the same program that entered at [`init`](crate::init) and
    /// has one thread.
    ///
    /// As isolated as Spawn, at the cost of a small fork. The template starts with the first child and
    /// ends with the program. It keeps one idle child (`offspring-spare` in `ps`) ready for the next
    /// start, which so waits for no fork. The workers of a pool are copies of a template of their own, which is itself a copy of
    /// that one if it exists, as long as what this process may do and has (its user, limits, environment, and so on) is what
    /// it was.
    ForkServer,
}

impl Context {
    /// Every context there is, on any system.
    pub const ALL: [Self; 4] = [Self::Inline, Self::Fork, Self::Spawn, Self::ForkServer];

    /// The contexts that this system has: all four, on Linux and on macOS (where nothing was run yet).
    ///
    /// Whether a fork is *permitted* is another question, answered at each start: see
    /// [`Context::Fork`].
    #[must_use]
    pub fn available() -> &'static [Self] {
        &Self::ALL
    }

    /// Whether children see the memory of the calling process as it is when they start.
    ///
    /// If not, a plain static has its initial value in the child, whatever the parent did to it.
    #[must_use]
    pub fn inherits_memory(self) -> bool {
        matches!(self, Self::Inline | Self::Fork)
    }

    /// Whether tasks run in another process, so that a crash or a leak does not touch this one.
    #[must_use]
    pub fn is_isolated(self) -> bool {
        !matches!(self, Self::Inline)
    }

    /// The context named by the environment variable `OFFSPRING_CONTEXT`, or `default`.
    ///
    /// For debugging without a change of code: `OFFSPRING_CONTEXT=inline`.
    ///
    /// # Errors
    ///
    /// When the variable is set to something else than `inline`, `fork`, `spawn` or `forkserver`.
    pub fn from_env_or(default: Self) -> Result<Self, ParseContextError> {
        match std::env::var_os("OFFSPRING_CONTEXT") {
            None => Ok(default),
            Some(name) => name.to_string_lossy().parse(),
        }
    }

    /// The word for it in messages and in [`FromStr`].
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Fork => "fork",
            Self::Spawn => "spawn",
            Self::ForkServer => "forkserver",
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A text that names no [`Context`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseContextError(String);

impl fmt::Display for ParseContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a context; use inline, fork, spawn or forkserver", self.0)
    }
}

impl std::error::Error for ParseContextError {}

impl FromStr for Context {
    type Err = ParseContextError;

    /// Reads `inline`, `fork`, `spawn` or `forkserver`, in any case; `-` and `_` are skipped.
    fn from_str(text: &str) -> Result<Self, ParseContextError> {
        let plain: String = text
            .trim()
            .chars()
            .filter(|letter| !matches!(letter, '-' | '_'))
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        let found = Self::ALL.into_iter().find(|context| context.word() == plain);
        found.ok_or_else(|| ParseContextError(text.into()))
    }
}
