//! The failure of one task of a pool.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;

use super::Error;

/// Why one task of a pool has no result.
///
/// It concerns that task alone: the pool goes on. Dereferences to [`Error`], which has the details.
pub struct TaskError(Error);

impl TaskError {
    pub(crate) fn new(error: Error) -> Self {
        Self(error)
    }

    /// The index of the task among the inputs of its `map`, from 0; for `submit` its number among those submitted, for
    /// `broadcast` that of the worker.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.0.task_index().unwrap_or(0)
    }

    /// The name of the function's type.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.task_name().unwrap_or("?")
    }
}

impl Deref for TaskError {
    type Target = Error;

    fn deref(&self) -> &Error {
        &self.0
    }
}

impl From<TaskError> for Error {
    fn from(error: TaskError) -> Self {
        error.0
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for TaskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
