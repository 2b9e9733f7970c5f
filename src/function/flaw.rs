//! How what was captured for a task failed in the child, and how the user sees that.

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::error::{Error, ErrorKind, Panic, Phase};

/// How a capture failed in the child.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flaw {
    name: String,
    step: Step,
    /// What it says, if it did not panic.
    text: Option<String>,
    panic: Option<Panic>,
}

/// At which step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Step {
    Set,
    Collect,
    Undo,
}

impl Flaw {
    /// The failure of a task whose capture failed like this.
    pub(crate) fn of(name: &str, step: Step, failure: Failure) -> Box<Failure> {
        let (text, panic) = match failure {
            Failure::Panicked(panic) => (None, Some(panic)),
            Failure::Arguments(text)
            | Failure::Result(text)
            | Failure::Function(text)
            | Failure::Hook(text)
            | Failure::Init(text) => (Some(text), None),
            Failure::Died(_) | Failure::Captured(_) => (None, None),
        };
        Box::new(Failure::Captured(Box::new(Self { name: name.to_owned(), step, text, panic })))
    }

    /// As the user sees it.
    pub(super) fn into_error(self, doing: &'static str) -> Error {
        let Self { name, step, text, panic } = self;
        let what = match step {
            Step::Set => {
                format!("the capture `{name}` could not be set, so the function did not run")
            }
            Step::Collect => format!("the capture `{name}` could not bring back what it collects"),
            Step::Undo => format!("the capture `{name}` could not be undone"),
        };
        let phase = match step {
            Step::Set => Phase::NotStarted,
            Step::Collect | Step::Undo => Phase::Started,
        };
        let detail = match text {
            Some(text) => format!("{what}: {text}"),
            None => what,
        };
        let error = Error::new(ErrorKind::Capture, doing).at(phase).captured(&name).detail(detail);
        match panic {
            Some(panic) => error.panicked(panic),
            None => error,
        }
    }
}
