//! The texts of errors: what was attempted, what happened, who it concerns, what to do.

use std::error::Error as StdError;
use std::fmt::{self, Write};

use super::{Error, ErrorKind};
use crate::transcript::Excerpt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        self.last_words(f)
    }
}

impl Error {
    /// All but what was written last.
    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let this = &*self.0;
        write!(f, "could not {}", this.doing)?;
        if let Some(context) = this.context {
            write!(f, " ({context})")?;
        }
        f.write_str(": ")?;
        self.happened(f)?;
        let mut open = false;
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            f.write_str(if std::mem::replace(&mut open, true) { ", " } else { " (" })?;
            f.write_fmt(text)
        };
        if let Some(index) = this.task_index {
            part(f, format_args!("task {index}"))?;
        }
        if let Some(name) = &this.task_name {
            part(f, format_args!("`{name}`"))?;
        }
        if let Some(worker) = this.worker {
            part(f, format_args!("worker {worker}"))?;
        }
        if let Some(pid) = this.pid {
            part(f, format_args!("pid {pid}"))?;
        }
        if open {
            f.write_str(")")?;
        }
        if let Some(advice) = self.advised() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }

    /// What to do: what was said for this one, or what goes for all of its kind. Who panicked or failed has said it in
    /// its own words, and a task that was cancelled was so on purpose.
    fn advised(&self) -> Option<&'static str> {
        let this = &*self.0;
        this.advice.or(match this.kind {
            ErrorKind::EncodeArguments => {
                Some("send what serde can encode, or make it in the child")
            }
            ErrorKind::EncodeResult => Some("return what serde can encode"),
            ErrorKind::DecodeArguments | ErrorKind::DecodeResult => {
                Some("its `Deserialize` must read what its `Serialize` writes")
            }
            ErrorKind::Died if this.excerpt.is_none() => {
                Some("capture its standard error to see its last words")
            }
            _ => None,
        })
    }

    /// What was written last, in lines of their own.
    fn last_words(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Excerpt { text, left_out }) = &self.0.excerpt else { return Ok(()) };
        let text = text.trim_end();
        if text.is_empty() {
            return Ok(());
        }
        f.write_str("\nits last words")?;
        if *left_out > 0 {
            write!(f, " ({left_out} bytes before them are left out)")?;
        }
        f.write_str(":")?;
        for line in text.lines() {
            f.write_str("\n    ")?;
            for letter in line.chars() {
                match letter {
                    // They could change what stands elsewhere on a terminal.
                    letter if letter.is_control() && letter != '\t' => {
                        write!(f, "{}", letter.escape_default())?;
                    }
                    letter => f.write_char(letter)?,
                }
            }
        }
        Ok(())
    }

    /// What happened, in words.
    fn happened(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let this = &*self.0;
        if let Some(panic) = &this.panic {
            // Where it was is part of what happened, if it was not in the function.
            if let (Some(_), Some(detail)) = (&this.capture, &this.detail) {
                write!(f, "{detail}: ")?;
            }
            return write!(f, "{panic}");
        }
        let text = match this.kind {
            ErrorKind::ForkNotAllowed => "this program never promised that it may be forked",
            ErrorKind::Multithreaded { threads: Some(count) } => {
                return write!(f, "{count} threads are running, a fork needs exactly 1");
            }
            ErrorKind::Multithreaded { threads: None } => {
                "a second thread is running, or its absence cannot be shown; a fork needs exactly 1"
            }
            ErrorKind::NotInitialized => "this program never called `offspring::init()`",
            ErrorKind::Start => "the child did not come up",
            ErrorKind::ProgramChanged => "the program on disk is not the one that is running",
            ErrorKind::TooDeep => "too many generations of children",
            ErrorKind::Panicked => "the function panicked",
            ErrorKind::Died => "the process ended without an answer",
            ErrorKind::TimedOut => "time ran out",
            ErrorKind::Cancelled => "it was cancelled",
            ErrorKind::EncodeArguments => "the arguments could not be encoded",
            ErrorKind::DecodeArguments => "the child could not decode the arguments",
            ErrorKind::EncodeResult => "the child could not encode the result",
            ErrorKind::DecodeResult => "the result could not be decoded",
            ErrorKind::Init => "the workers could not be initialised",
            ErrorKind::Capture => {
                "what was captured for it could not be set, undone or brought back"
            }
            ErrorKind::Protocol => "the peer broke the protocol",
            ErrorKind::Busy => "the pool has as many tasks as it may hold",
            ErrorKind::Poisoned => {
                "a process died or panicked while it held the lock, so what it protects may be half done"
            }
            ErrorKind::Broken => "somebody broke or reset it",
            ErrorKind::Closed => "it was used up before",
            ErrorKind::Invalid => "the setting is not possible",
            ErrorKind::Unset => "it was not set",
            ErrorKind::System => "the system refused",
        };
        match &this.detail {
            Some(detail) => f.write_str(detail)?,
            None => f.write_str(text)?,
        }
        if let Some(exit) = this.exit {
            write!(f, ": {exit}")?;
        }
        Ok(())
    }
}

/// For those who `unwrap`: the message and its causes, not the structure.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        if let Some(backtrace) = self.panic().and_then(super::Panic::backtrace) {
            write!(f, "\n{}", backtrace.trim_end())?;
        }
        self.last_words(f)
    }
}
