//! What may come of a task, by what was done since it was given to the pool.

use offspring::{ErrorKind, Phase, TaskError};
use serde::{Deserialize, Serialize};

/// What a task is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) n: u64,
    /// So long is the argument, and so long the result.
    pub(crate) padding: Vec<u8>,
    pub(crate) result: usize,
    /// So long it takes, in microseconds.
    pub(crate) micros: u64,
    pub(crate) act: Act,
}

/// What else it does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    Nothing,
    Panic,
    /// Only in another process.
    Abort,
}

/// What a task returns: its number, the length of its argument, and so many bytes.
pub(crate) type Answer = (u64, usize, Vec<u8>);

impl Job {
    pub(crate) fn run(self) -> Answer {
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_micros(self.micros) {}
        match self.act {
            Act::Nothing => {}
            Act::Panic => panic!("job {} panics", self.n),
            Act::Abort => std::process::abort(),
        }
        (self.n, self.padding.len(), vec![self.n as u8; self.result])
    }

    fn fits(&self, answer: &Answer) -> bool {
        let (n, length, bytes) = answer;
        *n == self.n
            && *length == self.padding.len()
            && bytes.len() == self.result
            && bytes.iter().all(|byte| *byte == self.n as u8)
    }
}

/// What is known of one task.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) job: Job,
    /// Its place among the inputs, or its number.
    pub(crate) index: u64,
    /// How many kills could not befall it any more when it was given to the pool.
    pub(crate) kills_before: u64,
    pub(crate) cancelled: bool,
}

/// What has been done to the pool.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct History {
    /// Workers that were killed from outside.
    pub(crate) kills: u64,
    pub(crate) ended: bool,
}

impl Expected {
    /// Whether the outcome may be, and why not.
    pub(crate) fn check(
        &self,
        result: &Result<Answer, TaskError>,
        history: History,
    ) -> Result<(), String> {
        let killed = history.kills > self.kills_before;
        let error = match result {
            Ok(answer) if self.job.act == Act::Nothing && self.job.fits(answer) => return Ok(()),
            Ok((n, length, bytes)) => {
                let got = (n, length, bytes.len(), bytes.first());
                return Err(format!("a wrong answer: {got:?}, of {:?}", self.short()));
            }
            Err(error) => error,
        };
        let may_be = match (error.kind(), error.phase()) {
            (ErrorKind::Panicked, Phase::Started) => {
                let told = error.panic().map(|panic| panic.message().to_owned());
                self.job.act == Act::Panic && told == Some(format!("job {} panics", self.job.n))
            }
            (ErrorKind::Died, Phase::Started) => match error.signal() {
                Some(libc::SIGABRT) => self.job.act == Act::Abort,
                Some(libc::SIGKILL) => killed,
                _ => false,
            },
            (ErrorKind::Cancelled, _) => self.cancelled || history.ended,
            _ => false,
        };
        match may_be && error.index() == self.index {
            true => Ok(()),
            false => Err(format!("this may not be: {error} ({history:?}), of {:?}", self.short())),
        }
    }

    /// Without the bytes.
    fn short(&self) -> (u64, u64, usize, usize, Act, bool) {
        let Job { n, padding, result, act, .. } = &self.job;
        (self.index, *n, padding.len(), *result, *act, self.cancelled)
    }
}
